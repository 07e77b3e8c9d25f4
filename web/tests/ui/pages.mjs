// Every page in both themes: no error, no violation, nothing from elsewhere; a screenshot of each, to be looked at.
// usage: node pages.mjs BASE OUT '{"name": "/path", …}'        prints {"problems": [...], "pages": n}
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { Watched, settled } from "./browser.mjs";

const [base, out, pagesText] = process.argv.slice(2);
const pages = JSON.parse(pagesText);
await mkdir(out, { recursive: true });
const browser = await Watched.open(base);
let count = 0;
for (const scheme of ["light", "dark"]) {
  const context = await browser.context({ colorScheme: scheme });
  const page = await context.newPage();
  for (const [name, path] of Object.entries(pages)) {
    try {
      await page.goto(base + path);
      await settled(page);
      await page.screenshot({ path: join(out, `${name}-${scheme}.png`) });
      if (await page.getByText("There is nothing at this address").count()) browser.problem(name, "shows nothing");
      if (await page.getByText("could not be loaded").count()) browser.problem(name, await page.getByRole("alert").first().innerText());
      await browser.inspect(page, `${name} ${scheme}`);
      count++;
    } catch (e) {
      browser.problem(name, e.message.split("\n")[0]);
    }
  }
  await context.close();
}
// On a phone each page must still be readable: nothing wider than the screen.
const phone = await browser.context({ viewport: { width: 390, height: 800 } });
const small = await phone.newPage();
for (const [name, path] of Object.entries(pages)) {
  await small.goto(base + path);
  await settled(small).catch((e) => browser.problem(`${name} phone`, e.message.split("\n")[0]));
  await small.screenshot({ path: join(out, `${name}-phone.png`) });
  const wide = await small.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (wide > 1) browser.problem(`${name} phone`, `is ${wide} px wider than the screen`);
}
await browser.close();
console.log(JSON.stringify({ problems: browser.problems, pages: count }));
