// What people do in the pages of the loop, one flow each. usage: node loop.mjs NAME BASE '{"…": …}'; prints {"problems": […], …}
import { Watched, settled } from "./browser.mjs";

const [flow, base, optionsText = "{}"] = process.argv.slice(2);
const options = JSON.parse(optionsText);
const browser = await Watched.open(base);
const facts = {};

async function open(path) {
  const page = await (await browser.context()).newPage();
  await page.goto(`${base}${path}`);
  await settled(page);
  return page;
}
const expect = (what, ok) => ok || browser.problem(flow, what);

const flows = {
  /** A task that writes and then fails is watched: its lines come while it runs, then why it failed, and a link to a line. */
  async log() {
    const page = await open(`/p/default/pipelines/${options.pipeline}/runs/1?task=breaks`);
    const log = page.getByRole("log");
    await log.getByText("line 3").waitFor({ timeout: 30_000 });
    expect("a line came only when the task had ended", (await page.getByText("· live").count()) === 1);
    await log.getByText("the disk is full").waitFor({ timeout: 60_000 });
    await page.locator("p", { hasText: "exit code 3" }).waitFor({ timeout: 30_000 });
    await page.getByText("Not run").or(page.getByText("a stage that it needs")).first().waitFor();
    await page.getByRole("button", { name: "try 1" }).click();
    await page.waitForURL(/try=1/);
    await page.getByLabel("Search in the log").fill("LINE 4");
    await page.getByText("1 of 1").waitFor();
    await page.waitForURL(/q=LINE/);
    await log.getByRole("button", { name: "5", exact: true }).click();
    await page.waitForURL(/line=5/);
    await page.reload();
    await settled(page);
    await page.locator("[data-on] >> text=line 5").waitFor();
    await browser.inspect(page, "the log", { shift: 1 });
  },

  /** From an alert to what caused it and what it came from, and Back to the monitor. */
  async drift() {
    const page = await open("/p/default/monitors/digits");
    await page.getByText(/features drifted/).waitFor();
    await page.getByRole("button", { name: /p\d+, 5:/ }).first().click();
    await page.waitForURL(/feature=p\d+&window=wd_/);
    await page.getByText("≥ 0.25").first().waitFor();
    await page.getByRole("link", { name: /Lineage of the drift alert/ }).click();
    await page.waitForURL(/lineage\?id=al_/);
    await settled(page);
    await page.getByText("window 5").first().waitFor();
    await page.getByRole("button", { name: "More steps" }).click();
    await page.getByText("digits, revision 1").first().waitFor();
    await page.locator("label", { hasText: "Table" }).click();
    await page.getByRole("grid", { name: "Edges of the lineage" }).waitFor();
    await page.goBack();
    await page.waitForURL(/monitors\/digits/);
    await page.getByText(/features drifted/).waitFor();
  },

  /** The endpoint is asked in the page; the answer is there, and so is its request. */
  async ask() {
    const page = await open("/p/default/endpoints/digits/try");
    await page.getByRole("application").waitFor();
    await page.getByRole("button", { name: "Clear" }).click();
    const pad = await page.getByRole("application").boundingBox();
    await page.mouse.move(pad.x + pad.width * 0.5, pad.y + pad.height * 0.1);
    await page.mouse.down();
    await page.mouse.move(pad.x + pad.width * 0.5, pad.y + pad.height * 0.9, { steps: 12 });
    await page.mouse.up();
    await page.getByRole("button", { name: "Ask", exact: true }).click();
    facts.answer = await page.getByTestId("answer").innerText();
    expect(`the answer is '${facts.answer}'`, /^\d$/.test(facts.answer));
    facts.curl = await page.locator("pre", { hasText: "curl" }).innerText();
    await page.locator("label", { hasText: "Python" }).click();
    facts.python = await page.locator("pre", { hasText: "requests.post" }).innerText();
    await page.getByRole("link", { name: "open", exact: true }).click();
    await page.waitForURL(/requests\?peek=pr_/);
    await page.getByRole("complementary").getByText("not known").waitFor({ timeout: 15_000 });
  },

  /** The traffic is divided after its effect was shown; a captured request is replayed and is the same to the bit. */
  async traffic() {
    const page = await open("/p/default/endpoints/flowers/traffic");
    await page.getByRole("heading", { name: "Who answers" }).waitFor();
    await page.getByLabel("Percent").fill("10");
    await page.getByLabel("Sticky by header").fill("x-user");
    await page.getByRole("button", { name: "See the effect…" }).click();
    const sheet = page.getByRole("dialog");
    await sheet.getByText("becomes").first().waitFor();
    expect("the effect is not told", /90 %/.test(await sheet.innerText()) && /10 %/.test(await sheet.innerText()));
    await sheet.getByRole("button", { name: "Divide it" }).click();
    await page.getByText("canary", { exact: true }).waitFor({ timeout: 15_000 });
    await settled(page);
    await browser.inspect(page, "the traffic", { shift: 1 });
    await page.getByRole("link", { name: "Requests", exact: true }).or(page.getByRole("tab", { name: "Requests" })).first().click();
    await settled(page);
    await page.getByRole("grid").focus();
    await page.keyboard.press("Enter");
    await page.getByRole("button", { name: "Replay", exact: true }).click();
    await page.getByText("Bit-identical").waitFor({ timeout: 60_000 });
  },

  /** Keyboard only: to the run that did something, along its tasks, into another tab, and to an alert's lineage. */
  async keyboard() {
    const page = await open("/p/default");
    await page.locator("#main").focus();
    await page.keyboard.press("g");
    await page.keyboard.press("p");
    await page.waitForURL(/\/pipelines$/);
    await settled(page);
    await page.getByRole("grid").focus();
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/pipelines\/digits$/);
    await settled(page);
    await page.getByRole("grid", { name: "Runs" }).focus();
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/runs\/\d+$/);
    await settled(page);
    await page.locator(".react-flow__node").first().focus();
    await page.keyboard.press("ArrowUp"); // back along an edge, whichever way the graph is drawn
    await page.keyboard.press("ArrowLeft");
    await page.waitForURL(/task=/);
    await page.keyboard.press("g");
    await page.keyboard.press("w");
    await page.waitForURL(/\/monitors$/);
    await settled(page);
    await page.getByRole("grid").focus();
    await page.keyboard.press("Enter");
    await page.waitForURL(/\/monitors\/digits$/);
    await settled(page);
    await page.keyboard.press("j");
    await page.waitForURL(/feature=/);
    await page.keyboard.press("a");
    await page.waitForURL(/lineage\?id=al_/);
    await page.goBack();
    await page.waitForURL(/monitors\/digits\?feature=/);
  },
};

try {
  await flows[flow]();
} catch (e) {
  browser.problem(flow, e.message.slice(0, 1500));
}
await browser.close();
console.log(JSON.stringify({ problems: browser.problems, ...facts }));
