// JupyterLab in a real browser, behind the proxy: opens the page, runs a cell, prints what it put out.
// node lab_browser.mjs PLAYWRIGHT URL CODE WANTED SCREENSHOT
const [, , library, url, code, wanted, picture] = process.argv;
const { chromium } = await import(library);

const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
  await page.goto(url, { timeout: 120_000 });
  await page.locator('.jp-LauncherCard[data-category="Notebook"]').first().click({ timeout: 120_000 });
  const cell = page.locator(".jp-Notebook .jp-CodeCell .cm-content").first();
  await cell.click({ timeout: 120_000 });
  await page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").first().waitFor({ timeout: 120_000 });
  await cell.pressSequentially(code);
  await page.keyboard.press("Shift+Enter");
  const output = page.locator(".jp-OutputArea-output", { hasText: wanted }).first();
  await output.waitFor({ timeout: 120_000 });
  console.log((await output.innerText()).trim());
  await page.screenshot({ path: picture });
} finally {
  await browser.close();
}
