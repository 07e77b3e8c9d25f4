// Runs as groups, pins and charts; files; traces and prompts: one flow each. usage: node views.mjs NAME BASE '{"…": …}'; prints {"problems": […]}
import { Watched, settled } from "./browser.mjs";

const [flow, base, optionsText = "{}"] = process.argv.slice(2);
const options = JSON.parse(optionsText);
const browser = await Watched.open(base);
const same = (what, found, wanted) => found === wanted || browser.problem(what, `found ${JSON.stringify(found)}, wanted ${JSON.stringify(wanted)}`);
const param = (page, name) => new URL(page.url()).searchParams.get(name);

async function open(path, context) {
  const page = await (context ?? (await browser.context())).newPage();
  await page.goto(`${base}${path}`);
  await settled(page);
  return page;
}
async function choose(page, label, part, option) {
  await page.getByRole("textbox", { name: label, exact: true }).or(page.getByRole("combobox", { name: label, exact: true })).first().click();
  await page.keyboard.type(part);
  await page.getByRole("option", { name: option, exact: true }).first().click();
}

const flows = {
  /** A folder stands for its experiments; grouping counts them; a group opens as its runs; Back undoes each. */
  async groups() {
    const page = await open("/p/default/runs");
    const tree = page.getByRole("tree", { name: "Experiments by folder" });
    await tree.getByRole("treeitem", { name: options.folder }).click();
    await page.waitForURL(/exp=/);
    same("experiments of the folder", param(page, "exp").split(",").sort().join(), [...options.experiments].sort().join());
    await choose(page, "Group by", "model", "model");
    await page.waitForURL(/group=params\.model/);
    const grid = page.getByRole("grid", { name: "Groups of runs" });
    const row = grid.getByRole("row").filter({ hasText: options.group });
    await row.getByText(options.mean).waitFor();
    await row.getByRole("gridcell", { name: String(options.count), exact: true }).waitFor();
    await browser.inspect(page, "groups", { shift: 0.3 });
    await row.click();
    await page.waitForURL(/q=params\.model/);
    await page.getByRole("heading", { name: "Runs" }).waitFor();
    await page.getByRole("grid", { name: "Runs" }).getByText(`${options.group}-`).first().waitFor();
    await page.goBack();
    await grid.waitFor();
    await page.goBack();
    await page.getByRole("grid", { name: "Runs" }).waitFor();
    same("group after Back", param(page, "group"), null);
  },

  /** Selected runs get a tag; one is pinned and stays above; the view is saved and somebody else opens it. */
  async saved() {
    const page = await open(`/p/default/runs?exp=${options.experiment}&cols=tags.candidate,metrics.accuracy`);
    const grid = page.getByRole("grid", { name: "Runs" });
    await grid.locator("[data-index='1']").waitFor();
    for (const key of ["Home", "x", "j", "x"]) await page.keyboard.press(key);
    await page.getByText("2 selected").waitFor();
    await page.keyboard.press("T");
    const sheet = page.getByRole("dialog", { name: "Tag 2 runs" });
    await sheet.getByLabel("Tag").fill("candidate");
    await sheet.getByLabel("Value").fill("yes");
    await browser.inspect(page, "the tag sheet", { shift: 1 });
    await sheet.getByRole("button", { name: "Tag" }).click();
    await page.getByText("2 runs tagged candidate = yes").waitFor();
    await grid.locator("[data-index='1']").getByText("yes").waitFor();
    const pinned = await grid.locator("[data-index='3'] a").first().textContent();
    await grid.locator("[data-index='3']").hover();
    await grid.locator("[data-index='3']").getByRole("button", { name: /^Pin/ }).click();
    await page.waitForURL(/pin=/);
    await grid.locator("[data-pinned] a").filter({ hasText: pinned }).waitFor();
    await grid.evaluate((g) => g.scrollTo(0, 900));
    await grid.locator("[data-pinned] a").filter({ hasText: pinned }).waitFor();
    const before = new URL(page.url()).search;
    await page.getByRole("button", { name: "Saved views" }).click();
    await page.getByRole("menuitem", { name: /Save this view/ }).click();
    await page.getByRole("dialog").getByLabel("Name").fill("candidates");
    await page.getByRole("dialog").getByRole("button", { name: "Save" }).click();
    await page.getByText("View candidates saved").waitFor();
    const other = await open("/p/default/runs");
    await other.getByRole("button", { name: "Saved views" }).click();
    await other.getByRole("menuitem", { name: /candidates/ }).click();
    await other.waitForURL(/pin=/);
    same("the saved address", new URL(other.url()).search, before);
    await other.getByRole("grid", { name: "Runs" }).locator("[data-pinned] a").filter({ hasText: pinned }).waitFor();
  },

  /** Selected runs are moved and copied to another experiment, archived, and deleted for good after the words are typed. */
  async acts() {
    const page = await open(`/p/default/runs?exp=${options.experiments[1]}`);
    const grid = page.getByRole("grid", { name: "Runs" });
    const pick = async () => {
      await grid.locator("[data-index='1']").waitFor();
      await grid.focus();
      for (const key of ["Home", "x", "j", "x"]) await page.keyboard.press(key);
      await page.getByText("2 selected").waitFor();
      await page.getByRole("button", { name: "More" }).click();
    };
    for (const [act, done] of [["Move", "moved"], ["Copy", "copied"]]) {
      await pick();
      await page.getByRole("menuitem", { name: `${act} to an experiment…` }).click();
      const sheet = page.getByRole("dialog");
      await sheet.getByRole("textbox", { name: "Experiment" }).or(sheet.getByRole("combobox", { name: "Experiment" })).first().click();
      await page.getByRole("option", { name: options.target }).click();
      await browser.inspect(page, `${act} sheet`, { shift: 1 });
      await sheet.getByRole("button", { name: act, exact: true }).click();
      await page.getByText(`2 runs ${done}`).waitFor();
    }
    await pick();
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Archive", exact: true }).click();
    await page.getByText("2 runs archived").waitFor();
    await page.getByRole("button", { name: "Archived" }).click();
    await page.waitForURL(/deleted/);
    await pick();
    await page.getByRole("menuitem", { name: "Delete for good…" }).click();
    const sheet = page.getByRole("dialog");
    same("without the words", await sheet.getByRole("button", { name: "Delete for good" }).isDisabled(), true);
    await sheet.getByRole("textbox").fill("delete 2");
    await sheet.getByRole("button", { name: "Delete for good" }).click();
    await page.getByText("2 runs deleted for good").waitFor();
  },

  /** Charts of runs against one another: added, brushed, and the same after a reload; 120 runs as bands. */
  async charts() {
    const page = await open(`/p/default/runs?view=charts&exp=${options.experiment}&cols=metrics.accuracy,params.lr,params.model`);
    const charts = page.getByRole("region", { name: "Charts" });
    await charts.getByRole("img", { name: /accuracy of|accuracy/ }).or(charts.getByRole("heading", { name: "accuracy" })).first().waitFor();
    for (const kind of ["Scatter", "Boxes", "Bars", "Parallel coordinates"]) {
      await charts.getByRole("button", { name: "Chart", exact: true }).click();
      await page.getByRole("menuitem", { name: kind }).click();
      await charts.getByRole("heading", { name: kind }).waitFor();
    }
    await charts.getByRole("img", { name: /accuracy against lr of \d+ runs/ }).waitFor();
    const parallel = charts.getByRole("img", { name: /runs over lr, model, accuracy/ });
    await parallel.waitFor();
    await parallel.scrollIntoViewIfNeeded();
    const box = await parallel.boundingBox();
    await page.mouse.move(box.x + 54, box.y + 60);
    await page.mouse.down();
    await page.mouse.move(box.x + 54, box.y + box.height / 2, { steps: 6 });
    await page.mouse.up();
    await page.waitForURL(/brush=params\.lr/);
    const kept = await charts.getByText(/of \d+ brushed/).textContent();
    await browser.inspect(page, "charts", { shift: 1 });
    await page.reload();
    await settled(page);
    same("what is brushed after a reload", await charts.getByText(/of \d+ brushed/).textContent(), kept);
    await charts.getByRole("button", { name: "Remove the brush" }).click();
    await page.waitForURL((u) => !u.searchParams.has("brush"));
    const many = await open(`/p/default/runs?view=charts&exp=${options.experiment}&n=250&group=params.model&metrics=accuracy`);
    await many.getByText("mean ± standard deviation").waitFor();
    await many.getByText("Auto: bands").or(many.locator("input[value='Auto: bands']")).first().waitFor();
  },

  /** Files are seen and nothing in them runs: a notebook, Markdown, HTML, a table, Parquet by windows. */
  async files() {
    const context = await browser.context();
    const page = await open(`/p/default/runs/${options.run}/artifacts?path=explore.ipynb`, context);
    page.on("dialog", (d) => { browser.problem("files", `a file opened a dialog: ${d.message()}`); void d.dismiss(); });
    await page.getByRole("heading", { name: "Exploration" }).waitFor();
    await page.getByText("array([0, 1, 2])").waitFor();
    await page.frameLocator("iframe").getByRole("cell", { name: "framed" }).waitFor();
    await browser.inspect(page, "a notebook", { shift: 1 });
    await page.getByRole("treeitem", { name: /report\.md/ }).click();
    await page.getByRole("heading", { name: "The report" }).waitFor();
    same("scripts in the report", await page.locator("main script, main [onerror]").count(), 0);
    await page.getByRole("treeitem", { name: /page\.html/ }).click();
    await page.frameLocator("iframe").getByText("As it was written").waitFor();
    await page.getByRole("treeitem", { name: /rows\.csv/ }).click();
    await page.getByText("2,000 rows, 3 columns").waitFor();
    await page.getByRole("treeitem", { name: /rows\.parquet/ }).click();
    const grid = page.getByRole("grid", { name: "rows.parquet" });
    await grid.getByRole("gridcell", { name: "row-0", exact: true }).waitFor();
    await grid.evaluate((g) => g.scrollTo(0, 26 * 1500));
    await grid.getByRole("gridcell", { name: "row-1510", exact: true }).waitFor();
    const drawn = await grid.getByRole("row").count();
    if (drawn > 90) browser.problem("files", `${drawn} rows are in the page`);
    await browser.inspect(page, "a Parquet file", { shift: 1 });
    await page.getByRole("treeitem", { name: /config\.json/ }).click();
    await page.getByText("dropout").waitFor();
    same("the page's title was changed by a file", (await page.title()).includes("owned"), false);
  },

  /** Traces: found by words, looked at span by span, judged. */
  async traces() {
    const page = await open("/p/default/traces");
    const grid = page.getByRole("grid", { name: "Traces" });
    await grid.getByText(options.question).first().waitFor();
    await page.locator("label", { hasText: "Failed" }).click();
    await page.waitForURL(/state=ERROR/);
    await grid.locator("[data-index='0']").getByText("Failed").waitFor();
    same("traces that failed", await grid.locator("[data-index]").count(), options.failed);
    await browser.inspect(page, "traces", { shift: 0.3 });
    await grid.locator("[data-index='0'] a").click();
    await page.getByRole("tree", { name: "Spans" }).waitFor();
    await page.getByText(options.reason).first().waitFor(); // the failing span is chosen by itself
    await page.getByRole("treeitem", { name: /retrieve/ }).click();
    await page.waitForURL(/span=/);
    await page.getByRole("region", { name: "Outputs" }).getByText(options.passage).waitFor();
    await page.getByRole("button", { name: "Judge it" }).click();
    await page.getByLabel("What is judged").fill("useful");
    await page.locator("label", { hasText: "✕ No" }).click();
    await page.getByLabel("Why").fill("It gave up.");
    await browser.inspect(page, "a trace", { shift: 1 });
    await page.getByRole("button", { name: "Save" }).click();
    await page.getByText("It gave up.").waitFor();
    await page.reload();
    await settled(page);
    await page.getByText("It gave up.").waitFor();
    await page.goBack();
    await grid.waitFor();
    same("state after Back", param(page, "state"), "ERROR");
  },

  /** A prompt's versions, and what changed between two, word by word. */
  async prompts() {
    const page = await open("/p/default/prompts");
    await page.getByRole("link", { name: options.name }).click();
    await page.getByRole("heading", { name: "Version 2" }).waitFor();
    await page.locator("mark", { hasText: "question" }).first().waitFor();
    await choose(page, "Compare with", "", "against v1");
    await page.waitForURL(/against=1/);
    await page.locator("ins", { hasText: options.added }).waitFor();
    await page.locator("del", { hasText: options.removed }).waitFor();
    await browser.inspect(page, "a prompt", { shift: 0.3 });
    await page.getByRole("button", { name: /v1/ }).click();
    await page.waitForURL(/version=1/);
    await page.getByRole("heading", { name: "Version 1" }).waitFor();
  },
};

try {
  await flows[flow]();
} catch (e) {
  browser.problem(flow, e.message.slice(0, 800));
}
await browser.close();
console.log(JSON.stringify({ problems: browser.problems }));
