// A browser whose pages are watched: whatever a page complains of, or fetches from elsewhere, is a problem of the test.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const axeSource = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const QUIET = [/ResizeObserver loop/]; // the browser's own remark, not an error

export class Watched {
  constructor(base) {
    this.base = base;
    this.problems = [];
    this.allowed = [];
  }
  static async open(base) {
    const self = new Watched(base);
    self.browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-dev-shm-usage"] });
    return self;
  }
  problem(where, what) {
    if (!this.allowed.some((pattern) => pattern.test(what))) this.problems.push(`${where}: ${what}`);
  }
  /** Failures that this step causes on purpose (a killed server) are no problem while it runs. */
  async expecting(patterns, step) {
    this.allowed = patterns;
    try {
      return await step();
    } finally {
      this.allowed = [];
    }
  }
  async context(options = {}) {
    const context = await this.browser.newContext({ viewport: { width: 1440, height: 860 }, ...options });
    await context.addInitScript(() => {
      globalThis.__csp = [];
      document.addEventListener("securitypolicyviolation", (e) => globalThis.__csp.push(`${e.violatedDirective} ${e.blockedURI}`));
      globalThis.__shift = 0;
      new PerformanceObserver((list) => {
        for (const e of list.getEntries()) if (!e.hadRecentInput) globalThis.__shift += e.value;
      }).observe({ type: "layout-shift", buffered: true });
    });
    context.on("request", (r) => {
      const to = new URL(r.url());
      if (["http:", "https:", "ws:", "wss:"].includes(to.protocol) && to.origin !== new URL(this.base).origin) this.problem("any page", `asks another host: ${r.url()}`);
    });
    context.on("page", (page) => this.watch(page));
    return context;
  }
  watch(page) {
    const where = () => page.url().replace(this.base, "") || "/";
    page.on("console", (m) => {
      if (m.type() === "error" && !QUIET.some((q) => q.test(m.text()))) this.problem(where(), `console: ${m.text()} ${m.location().url ?? ""}`);
    });
    page.on("pageerror", (e) => this.problem(where(), `exception: ${e.message}`));
    page.on("response", (r) => {
      if (r.status() >= 500) this.problem(where(), `${r.status()} from ${r.url().replace(this.base, "")}`);
    });
  }
  /** Rules of accessibility, CSP reports and jumps of the layout. */
  async inspect(page, name, { shift = 0.05 } = {}) {
    await page.evaluate(async () => { // a colour half faded in is no colour of ours
      const ending = document.getAnimations().filter((a) => a.effect?.getComputedTiming().endTime !== Number.POSITIVE_INFINITY);
      await Promise.allSettled(ending.map((a) => a.finished));
    });
    await page.evaluate(axeSource);
    const report = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
    for (const v of report.violations) this.problem(name, `axe ${v.id} (${v.impact}) × ${v.nodes.length}: ${v.nodes[0].html.slice(0, 180)} ${v.nodes[0].any[0]?.message ?? ""}`);
    for (const report of await page.evaluate(() => globalThis.__csp)) this.problem(name, `CSP: ${report}`);
    const moved = await page.evaluate(() => globalThis.__shift);
    if (moved > shift) this.problem(name, `the layout moved by ${moved.toFixed(3)}, at most ${shift}`);
  }
  async close() {
    await this.browser.close();
  }
}

/** The page is drawn: nothing is loading, and no query is under way for a moment. */
export async function settled(page) {
  await page.waitForLoadState("load");
  await page.waitForFunction(() => document.querySelector("#root")?.childElementCount && !document.querySelector("[aria-busy=true]"), undefined, { timeout: 15_000 });
  await page.waitForTimeout(250);
}
