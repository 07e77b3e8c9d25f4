// Looks at pages of a running server by hand: node tools/shot.mjs URL OUT.png [light|dark] [WIDTHxHEIGHT] [selector or ms to wait for]
import { chromium } from "playwright-core";

const [url, out, scheme = "light", size = "1440x860", wait = "600"] = process.argv.slice(2);
const [width, height] = size.split("x").map(Number);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
const page = await (await browser.newContext({ viewport: { width, height }, colorScheme: scheme })).newPage();
page.on("console", (m) => m.type() === "error" && console.log("console:", m.text()));
page.on("pageerror", (e) => console.log("page error:", e.message));
page.on("requestfailed", (r) => console.log("failed:", r.url(), r.failure()?.errorText));
await page.goto(url);
await (/^\d+$/.test(wait) ? page.waitForTimeout(Number(wait)) : page.waitForSelector(wait, { timeout: 10_000 }));
await page.waitForTimeout(400);
await page.screenshot({ path: out });
await browser.close();
