// Graphs, data planes and the audit of models, one flow each. usage: node serving.mjs NAME BASE '{"…": …}'; prints {"problems": […], …}
import { Watched, settled } from "./browser.mjs";

const [flow, base, optionsText = "{}"] = process.argv.slice(2);
const options = JSON.parse(optionsText);
const browser = await Watched.open(base);
const facts = {};
const PATIENT = { timeout: 60_000 };
const expect = (what, ok) => ok || browser.problem(flow, what);

async function open(path, more = {}) {
  const page = await (await browser.context(more)).newPage();
  await page.goto(`${base}${path}`);
  await settled(page);
  return page;
}
async function fits(page, what) {
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  expect(`${what} is ${wide} px wider than a phone`, wide <= 1);
}
const PHONE = { viewport: { width: 390, height: 800 } };

const flows = {
  /** A graph is found, seen with its shares, asked; the way of the request is followed into the graph, then one of its steps. */
  async graph() {
    const page = await open("/p/default/endpoints");
    await page.getByRole("grid", { name: "Endpoints" }).getByRole("link", { name: /a graph/ }).click();
    const steps = page.getByRole("region", { name: "Steps" });
    const row = (name) => steps.getByRole("row").filter({ has: page.getByRole("link", { name, exact: true }) });
    await row("screen").getByText("100.0 %").first().waitFor(PATIENT);
    facts.expert = await row("expert").getByRole("cell").nth(3).innerText();
    await steps.getByText("response.score < 0.8").first().waitFor();
    const drawn = page.getByRole("application").or(page.getByLabel(/^Graph of/)).first();
    await drawn.getByText("ensemble, average").or(drawn.getByText(/^if response.score/)).first().waitFor();
    await browser.inspect(page, "a graph", { shift: 1 });
    expect("a graph has traffic of models", (await page.getByRole("link", { name: "Traffic", exact: true }).count()) === 0);

    await page.getByRole("link", { name: "Try", exact: true }).click();
    await page.getByLabel("country").fill("CH"); // whatever the score is: the condition holds
    await page.getByRole("button", { name: "Ask", exact: true }).click();
    await page.getByTestId("answer").waitFor(PATIENT);
    await page.getByRole("link", { name: "its way" }).click();
    await page.waitForURL(/graph\?peek=pr_/);
    for (const end = Date.now() + 60_000; Date.now() < end && !(await page.getByText("The way of request").count()); ) { // written a moment later
      await page.reload();
      await settled(page);
    }
    await row("expert").getByText("Yes").waitFor(PATIENT);
    await browser.inspect(page, "the way of a request", { shift: 1 });
    await page.getByRole("button", { name: "All requests" }).click();
    await steps.getByText("100.0 %").first().waitFor();

    await page.getByRole("link", { name: "Requests", exact: true }).click();
    const requests = page.getByRole("grid", { name: "Requests" });
    await requests.getByText(/screen, expert/).first().click();
    const way = page.getByRole("region", { name: "Its way through the graph" });
    await way.getByRole("link", { name: "expert/1" }).waitFor();
    await browser.inspect(page, "a request's way", { shift: 1 });
    await way.getByRole("link", { name: "In the graph" }).click();
    await page.getByText("The way of request").waitFor(PATIENT);
    await page.getByRole("link", { name: "Revisions" }).click();
    await page.getByRole("cell", { name: "a graph" }).waitFor();
    for (const colorScheme of ["dark", "light"]) await browser.inspect(await open("/p/default/endpoints/triage/graph", { colorScheme }), `a graph, ${colorScheme}`, { shift: 1 });
    const phone = await open("/p/default/endpoints/triage/graph", PHONE);
    await phone.getByRole("region", { name: "Steps" }).waitFor(PATIENT);
    await fits(phone, "a graph");
  },

  /** A lost plane is seen among those in touch, with what it lacks; it is forgotten. */
  async planes() {
    const page = await open("/p/default/endpoints");
    await page.locator("label", { hasText: "Data planes" }).click();
    const grid = page.getByRole("grid", { name: "Data planes" });
    const of = (name) => grid.getByRole("row").filter({ hasText: name });
    await of(options.alive).getByText("In touch").waitFor(PATIENT);
    await of(options.lost).getByText("Lost", { exact: true }).waitFor(PATIENT);
    await browser.inspect(page, "data planes", { shift: 1 });
    await of(options.lost).click();
    const peek = page.getByRole("complementary");
    await peek.getByText("Last contact").waitFor();
    await peek.getByRole("table").getByText(options.endpoint).waitFor();
    await browser.inspect(page, "a data plane", { shift: 1 });
    await peek.getByRole("button", { name: "Forget…" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Forget it" }).click();
    await of(options.lost).waitFor({ state: "detached" });
    expect("the other is gone, too", await of(options.alive).count());
    await fits(await open("/p/default/endpoints?view=planes", PHONE), "the list of planes");
  },

  /** No plane: the page says how the first one comes. */
  async noPlanes() {
    const page = await open("/p/default/endpoints?view=planes");
    await page.getByText("No data plane yet").waitFor();
    await page.getByText("lathe serve --control").waitFor();
    await browser.inspect(page, "no data plane", { shift: 1 });
  },

  /** A model's past is read by whom and what; another change comes by its event; then the past of all models. */
  async audit() {
    const page = await open(`/p/default/models/${options.model}`);
    await page.getByRole("link", { name: "Audit", exact: true }).click();
    await page.waitForURL(/tab=audit/);
    const grid = page.getByRole("grid", { name: `Audit of ${options.model}` });
    await grid.getByText("moved alias champion from v1 to v2").waitFor(PATIENT);
    for (const what of ["created the model", "created v1", "moved v1 from stage Production to stage Archived", "deleted v3"]) expect(`it does not say: ${what}`, await grid.getByText(what, { exact: true }).count());
    await browser.inspect(page, "a model's audit", { shift: 1 });
    await grid.getByText("deleted v3").click();
    await page.getByRole("complementary").getByText("model_version.deleted").waitFor();
    await page.evaluate(([name]) => fetch("/api/2.0/mlflow/registered-models/set-tag", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ name, key: "owner", value: "ann" }) }), [options.model]);
    await grid.getByText("tagged the model: owner = ann").waitFor(PATIENT); // nobody reloads
    await page.getByLabel("Did").fill("alias");
    await page.waitForURL(/kind=alias/);
    await grid.getByText("created the model").waitFor({ state: "detached" });
    await page.goBack();
    await page.getByRole("link", { name: "Versions" }).click();
    await page.getByRole("table", { name: "Versions" }).waitFor();
    await fits(await open(`/p/default/models/${options.model}?tab=audit`, PHONE), "a model's audit");
    const all = await open("/admin/audit", { colorScheme: "dark" });
    await all.locator("label", { hasText: "Models" }).click();
    await all.waitForURL(/about=models/);
    await all.getByRole("grid").getByRole("link", { name: options.other }).first().waitFor(PATIENT);
    await browser.inspect(all, "the audit of all models", { shift: 1 });
  },
};

try {
  await flows[flow]();
} catch (e) {
  browser.problem(flow, e.message.slice(0, 1500));
}
await browser.close();
console.log(JSON.stringify({ problems: browser.problems, ...facts }));
