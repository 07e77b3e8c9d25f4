// Finding, comparing and promoting. usage: node tracking.mjs NAME BASE '{"…": …}'; prints {"problems": […], …}
import { Watched, settled } from "./browser.mjs";

const [flow, base, optionsText = "{}"] = process.argv.slice(2);
const options = JSON.parse(optionsText);
const browser = await Watched.open(base);
const said = {};

const grid = (page) => page.getByRole("grid", { name: "Runs" });
const firstRow = async (page) => (await grid(page).locator("[data-index='0'] a").first().textContent())?.trim();
async function shown(page, name) {
  await page.waitForFunction((want) => document.querySelector("[role=grid] [data-index='0'] a")?.textContent?.trim() === want, name, { timeout: 10_000 })
    .catch(async () => browser.problem("runs", `the first row is ${await firstRow(page)}, not ${name}`));
}
const same = (what, found, wanted) => found === wanted || browser.problem(what, `found ${JSON.stringify(found)}, wanted ${JSON.stringify(wanted)}`);

const flows = {
  /** The best run of many by a filter with OR; the address is the view; a wrong filter is marked; Back undoes. */
  async find() {
    const page = await (await browser.context()).newPage();
    await page.goto(`${base}/p/default/runs?exp=${options.experiment}`);
    await settled(page);
    const filter = page.getByRole("combobox", { name: "Filter runs" });
    await filter.click();
    await page.keyboard.type("metrics.acc");
    await page.getByRole("option", { name: "accuracy" }).first().click();
    await page.keyboard.type("> 0.5 AND (params.model = 'svm' OR params.model = 'mlp')");
    await page.keyboard.press("Enter");
    await page.waitForURL(/q=metrics/);
    await grid(page).getByRole("button", { name: "accuracy" }).click();
    await page.waitForURL(/sort=metrics\.accuracy/);
    await shown(page, options.best);
    said.url = page.url();
    const other = await (await browser.context()).newPage(); // somebody else opens the link
    await other.goto(said.url);
    await settled(other);
    await shown(other, options.best);
    same("shared filter", await other.getByRole("combobox", { name: "Filter runs" }).inputValue(), await filter.inputValue());
    await browser.expecting([/400/], async () => {
      await filter.fill("metrics.accuracy >");
      await filter.press("Enter");
      await page.getByRole("alert").filter({ hasText: "at character 19" }).waitFor();
      same("aria-invalid", await filter.getAttribute("aria-invalid"), "true");
      await page.goBack();
    });
    await shown(page, options.best);
    await page.reload();
    await shown(page, options.best);
    await browser.inspect(page, "runs, filtered", { shift: 0.2 });
  },

  /** Keys alone: filter, choose two, compare, take a third column, and back to where one was. */
  async keyboard() {
    const page = await (await browser.context()).newPage();
    await page.goto(`${base}/p/default/runs?exp=${options.experiment}`);
    await settled(page);
    await page.keyboard.press("f");
    await page.keyboard.type("metrics.accuracy > 0.5");
    await page.keyboard.press("Enter");
    await page.waitForURL(/q=metrics/);
    await settled(page);
    await page.keyboard.press("Escape");
    await page.waitForFunction(() => document.activeElement?.getAttribute("role") === "grid");
    await page.keyboard.press(" ");
    await page.getByRole("complementary").waitFor(); // the peek
    await page.keyboard.press("j");
    await page.keyboard.press("Escape");
    for (const key of ["Home", "x", "j", "x"]) await page.keyboard.press(key);
    await page.getByText("2 selected").waitFor();
    await page.keyboard.press("C");
    await page.getByRole("heading", { name: "Compare 2 runs" }).waitFor();
    await settled(page);
    await page.getByLabel("best").first().waitFor();
    await browser.inspect(page, "compare", { shift: 0.2 });
    await page.goBack();
    await grid(page).waitFor();
    same("filter after Back", await page.getByRole("combobox", { name: "Filter runs" }).inputValue(), "metrics.accuracy > 0.5");
    await page.getByText("new run").waitFor({ timeout: 200 }).catch(() => {});
  },

  /** A run that came while one looks does not move the list: it is offered. */
  async fresh() {
    const page = await (await browser.context()).newPage();
    await page.goto(`${base}/p/default/runs?exp=${options.experiment}`);
    await settled(page);
    await page.getByText("Live", { exact: true }).waitFor({ timeout: 10_000 });
    const before = await firstRow(page);
    const made = await page.evaluate(async (experiment) => (await (await fetch("/api/2.0/mlflow/runs/create", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ experiment_id: experiment, start_time: Date.now(), run_name: "the-late-one" }) })).json()).run.info.run_id, options.experiment);
    const chip = page.getByRole("button", { name: "1 new run" });
    await chip.waitFor({ timeout: 5000 });
    same("first row while the new one waits", await firstRow(page), before);
    await chip.click();
    await shown(page, "the-late-one");
    said.made = made;
  },

  /** Promotion: the sheet says the effect, the toast has the way back. */
  async promote() {
    const page = await (await browser.context()).newPage();
    await page.goto(`${base}/p/default/models/${options.model}`);
    await settled(page);
    await page.getByRole("button", { name: `Promote v${options.version} to production` }).click();
    const sheet = page.getByRole("dialog");
    await sheet.getByText("What changes").waitFor();
    for (const text of ["Traffic", "Alias", "Baseline", options.previous ? `v${options.previous}` : "nothing serves"]) await sheet.getByText(text).first().waitFor();
    await sheet.getByRole("table", { name: "The gate's numbers" }).waitFor();
    await browser.inspect(page, "promotion sheet", { shift: 1 });
    await sheet.getByRole("button", { name: `Promote v${options.version}` }).click();
    await page.getByText(`${options.model} v${options.version} serves`).first().waitFor({ timeout: 60_000 });
    await sheet.waitFor({ state: "detached" });
    if (options.previous) {
      await page.getByRole("alert").getByRole("button", { name: "Roll back" }).click();
      await page.getByText(`v${options.previous} serves ${options.endpoint} again`).waitFor({ timeout: 60_000 });
    }
    await page.getByRole("row", { name: new RegExp(`${options.endpoint} production v${options.previous ?? options.version}`) }).first().waitFor({ timeout: 10_000 });
  },

  /** Rolling back from the model's page says what changes first. */
  async rollback() {
    const page = await (await browser.context()).newPage();
    await page.goto(`${base}/p/default/models/${options.model}`);
    await settled(page);
    await page.getByRole("button", { name: `Roll back ${options.endpoint}`, exact: true }).click();
    const sheet = page.getByRole("dialog");
    await sheet.getByText(`All requests to`).waitFor();
    await sheet.getByRole("button", { name: `Roll back to v${options.to}` }).click();
    await page.getByText(`v${options.to} serves ${options.endpoint} again`).waitFor({ timeout: 60_000 });
  },

  /** An evaluation: a cell of the matrix filters the rows; wrong ones are drawn. */
  async evaluation() {
    const page = await (await browser.context()).newPage();
    await page.goto(`${base}/p/default/evaluations/${options.id}`);
    await settled(page);
    const rows = page.getByRole("region", { name: "Rows" });
    await page.getByRole("table", { name: "Confusion matrix" }).getByRole("button", { name: options.cell }).click();
    await rows.getByRole("heading", { name: "Rows of the cell" }).waitFor();
    await rows.getByText(options.matches).waitFor();
    await browser.inspect(page, "evaluation", { shift: 0.3 });
  },
};

try {
  await flows[flow]();
} catch (e) {
  browser.problem(flow, e.message.slice(0, 600));
}
await browser.close();
console.log(JSON.stringify({ problems: browser.problems, ...said }));
