// What people do about answers, alerts, webhooks and rights, one flow each. usage: node acts.mjs NAME BASE '{"…": …}'; prints {"problems": […], …}
import { Watched, settled } from "./browser.mjs";

const [flow, base, optionsText = "{}"] = process.argv.slice(2);
const options = JSON.parse(optionsText);
const browser = await Watched.open(base);
const facts = {};
const PATIENT = { timeout: 60_000 }; // a machine under load is slow, a broken step never ends
const GREYED = /\/(alerts|traffic|try|lab)$/; // pages whose acts are not a viewer's
const expect = (what, ok) => ok || browser.problem(flow, what);

async function open(path, context) {
  const page = await (context ?? (await browser.context())).newPage();
  await page.goto(`${base}${path}`);
  await settled(page);
  return page;
}
async function choose(page, scope, label, option) {
  await scope.getByRole("textbox", { name: label, exact: true }).or(scope.getByRole("combobox", { name: label, exact: true })).first().click();
  await page.getByRole("option", { name: option }).first().click();
}

const flows = {
  /** An answer says how unusual its input is, and what moved it. */
  async explain() {
    const page = await open(`/p/default/endpoints/${options.endpoint}/try`);
    await page.getByRole("button", { name: "Ask", exact: true }).click();
    await page.getByTestId("answer").waitFor(PATIENT);
    facts.answer = await page.getByTestId("answer").innerText();
    await page.getByText("Outlier score").waitFor();
    await page.getByRole("button", { name: "Explain this answer" }).click();
    const table = page.getByRole("table", { name: /What each feature added/ });
    await table.waitFor(PATIENT);
    facts.explained = await table.getByRole("row").count();
    expect("the explanation is of another answer", (await table.getAttribute("aria-label")).endsWith(` ${facts.answer}`));
    await browser.inspect(page, "an explanation", { shift: 1 });
    await page.getByRole("button", { name: "Every feature" }).click();
    await page.getByRole("button", { name: /say most/ }).waitFor();
    facts.features = (await table.getByRole("row").count()) - 1;
  },

  /** A new endpoint's page shows the quarter of an hour in which it was asked; a longer time is a choice. */
  async range() {
    const page = await open(`/p/default/endpoints/${options.endpoint}`);
    await page.getByRole("radio", { name: "15 m", checked: true }).waitFor({ state: "attached" });
    await page.locator("label", { hasText: "6 h" }).click();
    await page.waitForURL(/from=now-6h/);
    await page.getByRole("radio", { name: "6 h", checked: true }).waitFor({ state: "attached" });
    await page.goBack();
    await page.waitForURL((u) => !u.searchParams.has("from"));
    await page.getByRole("link", { name: "Endpoints" }).first().click();
    await page.locator("label", { hasText: "Models in memory" }).click();
    await page.getByRole("grid", { name: "Models in memory" }).getByText("Ready").waitFor();
    await browser.inspect(page, "models in memory", { shift: 1 });
  },

  /** A rule is made in the page; the run that crossed it is there, on its own page and among what needs attention; removed. */
  async alerts() {
    const page = await open(`/p/default/runs/alerts?exp=${options.experiment}`);
    await page.getByText("No rule yet").waitFor();
    await browser.inspect(page, "no rule", { shift: 0.3 });
    await page.getByRole("button", { name: "Make a rule" }).first().click();
    const sheet = page.getByRole("dialog");
    await choose(page, sheet, "It fires when the metric", "rises above a number");
    expect("a rule without its metric can be made", await sheet.getByRole("button", { name: "Make the rule" }).isDisabled());
    await choose(page, sheet, "Metric", options.metric);
    await sheet.getByLabel("Number").fill(String(options.threshold));
    await sheet.getByText("Fires once for a run").waitFor();
    await browser.inspect(page, "the rule's sheet", { shift: 1 });
    await sheet.getByRole("button", { name: "Make the rule" }).click();
    const raised = page.getByRole("grid", { name: "Alerts of runs" });
    await raised.getByText(options.run).waitFor(PATIENT); // by the event of the alert: nobody reloads
    await browser.inspect(page, "alerts", { shift: 1 });
    await raised.getByRole("link", { name: options.run }).click();
    await page.getByRole("region", { name: "Alerts" }).getByText(`above ${options.threshold}`).first().waitFor();
    await page.getByRole("link", { name: "Overview" }).first().click();
    await page.getByRole("region", { name: "Needs attention" }).getByText(options.run).waitFor();
    await page.goBack();
    await page.goBack();
    await page.locator("label", { hasText: "Rules" }).click();
    await page.waitForURL(/view=rules/);
    const rules = page.getByRole("grid", { name: "Rules" });
    await rules.getByText("1 run").waitFor();
    await browser.inspect(page, "rules", { shift: 1 });
    await rules.getByRole("button", { name: "Remove" }).click();
    await page.getByRole("dialog").getByRole("button", { name: "Remove", exact: true }).click();
    await page.getByText("No rule yet").waitFor();
  },

  /** A webhook is made; what its receiver refused is a dead letter with the reason, and is sent again. */
  async webhooks() {
    const page = await open("/admin/webhooks");
    await page.getByText("No webhook yet").waitFor();
    await page.getByRole("button", { name: "Add a webhook" }).first().click();
    const sheet = page.getByRole("dialog");
    await sheet.getByLabel("Name").fill("pager");
    await sheet.getByLabel("Sends to").fill(options.receiver);
    await sheet.getByRole("textbox", { name: "When" }).or(sheet.getByRole("combobox", { name: "When" })).first().click();
    await page.keyboard.type("registered_model");
    await page.getByRole("option", { name: "registered_model.created" }).click();
    await page.keyboard.press("Escape");
    await sheet.getByRole("button", { name: "Add", exact: true }).click();
    const hooks = page.getByRole("grid", { name: "Webhooks" });
    await hooks.getByText("pager", { exact: true }).waitFor();
    await browser.inspect(page, "webhooks", { shift: 1 });
    await page.evaluate((name) => fetch("/api/2.0/mlflow/registered-models/create", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ name }) }), "rung");
    await page.getByRole("button", { name: "All deliveries" }).click();
    await page.waitForURL(/q=/);
    const grid = page.getByRole("grid", { name: "Deliveries" });
    const until = async (text) => { // deliveries leave no event: "Newer ones" asks for them
      for (const end = Date.now() + 60_000; Date.now() < end && !(await grid.getByText(text).count()); ) {
        await page.getByRole("button", { name: "Newer ones" }).click();
        await settled(page);
      }
      await grid.getByText(text).first().waitFor();
    };
    await until("Dead letter");
    await grid.locator("[data-index='0']").click();
    await page.getByRole("complementary").getByText("rung").first().waitFor();
    await browser.inspect(page, "a dead letter", { shift: 1 });
    facts.why = await page.getByRole("complementary").getByText(/410/).first().innerText();
    await page.getByRole("complementary").getByRole("button", { name: "Send again" }).click();
    await until("Delivered");
  },

  /** Who may only look sees every page whole, and each act greyed with its reason. */
  async viewer() {
    const context = await signIn();
    const refused = [];
    context.on("response", (r) => r.status() === 403 && refused.push(r.url().replace(base, "")));
    const page = await context.newPage();
    for (const path of options.paths) {
      await page.goto(base + path);
      await settled(page);
      if (await page.getByText("You may not see this").count()) browser.problem(path, "a page is refused");
      if (GREYED.test(path)) await browser.inspect(page, `${path} of a viewer`, { shift: 1 });
    }
    expect(`refused to a viewer: ${refused.join(", ")}`, refused.length === 0);
    await page.goto(`${base}/p/default/endpoints/flowers/try`);
    await settled(page);
    const button = page.getByRole("button", { name: "Ask", exact: true });
    await button.focus();
    await page.getByRole("tooltip").getByText("takes the role infer").waitFor();
    await page.keyboard.press("Enter");
    expect("a viewer may press Ask", (await button.getAttribute("aria-disabled")) === "true" && (await page.getByTestId("answer").count()) === 0);
    await page.goto(`${base}/admin/webhooks`);
    await page.getByText("Only an administrator of this project").waitFor();
  },

  /** A contributor sees every page, and acts on runs are his as far as the runs are; what is about the project is greyed. */
  async contributor() {
    const context = await signIn();
    const refused = [];
    context.on("response", (r) => r.status() === 403 && refused.push(r.url().replace(base, "")));
    const page = await context.newPage();
    for (const path of options.paths) {
      await page.goto(base + path);
      await settled(page);
      if (await page.getByText("You may not see this").count()) browser.problem(path, "a page is refused");
    }
    expect(`refused to a contributor: ${refused.join(", ")}`, refused.length === 0);
    await page.goto(`${base}/p/default/runs/alerts`);
    await settled(page);
    expect("a contributor may make no rule", (await page.getByRole("button", { name: "Make a rule" }).first().getAttribute("aria-disabled")) !== "true");
    await page.goto(`${base}/p/default/endpoints/flowers/try`);
    await settled(page);
    expect("a contributor may ask", (await page.getByRole("button", { name: "Ask", exact: true }).getAttribute("aria-disabled")) === "true");
    await page.goto(`${base}/admin`);
    await settled(page);
    expect("the audit of all is offered", (await page.getByRole("navigation", { name: "Administration" }).getByText("Audit").count()) === 0);
  },

  /** From whom an experiment is hidden, or who has no role, is told so and whom to ask, in the place of each page. */
  async part() {
    const context = await signIn();
    const page = await context.newPage();
    await browser.expecting([/403|404/], async () => { // a page asks at once, before it is known who looks
      for (const path of options.paths) {
        await page.goto(base + path);
        await page.getByRole("heading", { name: options.heading }).waitFor(PATIENT);
        await settled(page);
      }
    });
    await page.getByText("can give you the role viewer").waitFor();
    expect("pages are offered that are refused", (await page.getByRole("navigation", { name: "Project" }).getByRole("link", { name: "Runs" }).count()) === 0);
    await browser.inspect(page, "a part of a project", { shift: 1 });
  },

  /** Who may only ask models is told so, and how, at every address of the project. */
  async infer() {
    const context = await signIn();
    const page = await context.newPage();
    await browser.expecting([/403/], async () => { // a page asks at once, before it is known who looks
      for (const path of options.paths) {
        await page.goto(base + path);
        await page.getByRole("heading", { name: "You may ask this project's models" }).waitFor();
        await settled(page);
      }
    });
    await browser.inspect(page, "the page of who may only ask", { shift: 1 });
    await page.getByRole("link", { name: "Admin" }).first().click();
    await page.getByRole("button", { name: "Make a token" }).waitFor();
  },
};

async function signIn() {
  const context = await browser.context();
  const page = await context.newPage();
  await page.goto(`${base}/login`);
  await page.getByLabel(/^(User|Name)/).fill(options.user);
  await page.locator("input[type=password]").fill(options.password);
  await page.keyboard.press("Enter");
  await page.waitForURL((u) => !u.pathname.startsWith("/login"));
  await page.close();
  return context;
}

try {
  await flows[flow]();
} catch (e) {
  browser.problem(flow, e.message.slice(0, 1500));
}
await browser.close();
console.log(JSON.stringify({ problems: browser.problems, ...facts }));
