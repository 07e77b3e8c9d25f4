// What people do in the pages, one flow each. usage: node flows.mjs NAME BASE '{"…": …}'; prints {"problems": […], …}
import { readFile, writeFile } from "node:fs/promises";
import { Watched, settled } from "./browser.mjs";

const [flow, base, optionsText = "{}"] = process.argv.slice(2);
const options = JSON.parse(optionsText);
const browser = await Watched.open(base);
const live = (page) => page.getByText("Live", { exact: true }).waitFor({ timeout: 10_000 });

const flows = {
  /** Eight tabs of one browser share a stream: all are live, and all hear of an event. */
  async tabs() {
    const context = await browser.context();
    const tabs = [];
    for (let i = 0; i < 8; i++) {
      const tab = await context.newPage();
      await tab.goto(`${base}/p/default`);
      await live(tab);
      tabs.push(tab);
    }
    await writeFile(options.ready, "ready"); // the test now makes an experiment
    for (const tab of tabs) {
      await tab.bringToFront();
      await tab.getByText(options.text).first().waitFor({ timeout: 10_000 });
    }
  },

  /** The server is killed and comes back: the view stays, says so, and is live again. */
  async reconnect() {
    const context = await browser.context();
    const page = await context.newPage();
    await page.goto(`${base}${options.path}`);
    await live(page);
    await settled(page);
    const before = page.url();
    await browser.expecting([/ERR_|Failed to (load|fetch)|net::/], async () => {
      await writeFile(options.ready, "kill");
      await page.getByText("Reconnecting").waitFor({ timeout: 15_000 });
      await writeFile(options.ready, "start");
      while ((await readFile(options.ready, "utf8")) !== "started") await page.waitForTimeout(50);
      const began = Date.now();
      await live(page);
      if (Date.now() - began > 5000) browser.problem("reconnect", `took ${Date.now() - began} ms`);
    });
    if (page.url() !== before) browser.problem("reconnect", `the address became ${page.url()}`);
    if (await page.getByText("does not answer").count()) browser.problem("reconnect", "the page shows an error instead of what it had");
    // It hears of what happens after: the stream is a living one, not only a green dot.
    await writeFile(options.ready, "event");
    if (options.text) await page.getByText(options.text).first().waitFor({ timeout: 10_000 });
  },

  /** Keyboard only: palette to an object, the list of keys, chords, Back, a theme that stays after a reload. */
  async keyboard() {
    const context = await browser.context();
    const page = await context.newPage();
    await page.goto(`${base}/`);
    await settled(page);
    await page.keyboard.press("Control+k");
    await page.getByPlaceholder(/beginning of an id/).waitFor();
    await page.keyboard.type(options.search);
    await page.getByRole("option").or(page.locator("[data-action]")).or(page.getByText(options.found, { exact: false })).first().waitFor();
    await page.locator(".mantine-Spotlight-body").getByText(options.found).first().waitFor({ timeout: 5000 });
    await page.keyboard.press("Enter");
    await page.waitForURL((u) => u.pathname !== "/p/default", { timeout: 5000 });
    await settled(page);
    await page.goBack();
    await page.waitForURL((u) => u.pathname === "/p/default");
    await settled(page);
    await page.locator("#main").focus();
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keys" }).waitFor();
    await browser.inspect(page, "keys", { shift: 1 });
    await page.keyboard.press("Escape");
    await page.getByRole("dialog", { name: "Keys" }).waitFor({ state: "hidden" });
    await page.keyboard.press("g");
    await page.keyboard.press(options.chord);
    await page.waitForURL(new RegExp(options.chordPath), { timeout: 5000 });
    await page.getByRole("button", { name: "Dark theme" }).click();
    await page.reload();
    if ((await page.evaluate(() => document.documentElement.dataset.mantineColorScheme)) !== "dark") browser.problem("keyboard", "the theme did not stay");
  },

  /** Addresses: MLflow's links, unknown pages, a bad parameter, a link that another person opens. */
  async addresses() {
    const context = await browser.context();
    const page = await context.newPage();
    await page.goto(`${base}/#/experiments/1/runs/abcdef`);
    await page.waitForURL(/\/p\/default\/runs\/abcdef$/);
    await page.goto("about:blank");
    await page.goto(`${base}/nowhere/at/all`);
    await page.getByText("There is nothing at this address").waitFor();
    await page.goto(`${base}/login?next=//evil.example`);
    await page.getByRole("button", { name: "Sign in" }).waitFor();
    await browser.inspect(page, "login");
  },
};

try {
  await flows[flow]();
} catch (e) {
  browser.problems.push(`${flow}: ${e.message.split("\n").slice(0, 3).join(" ")}`);
}
await browser.close();
console.log(JSON.stringify({ problems: browser.problems }));
