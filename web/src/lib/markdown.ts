// Markdown and foreign HTML made harmless: scripts, forms, styles and whatever loads from elsewhere are taken out. Loaded
// only where something is shown that needs it.
import purify from "dompurify";
import { marked } from "marked";

const RULES = { FORBID_TAGS: ["style", "form", "input", "button", "textarea", "select", "iframe", "object", "embed", "video", "audio", "link", "meta", "base"], FORBID_ATTR: ["style", "srcset", "class", "id", "name"] };

/** Event handlers are out before anything is parsed: browsers report each to the CSP, though none could run. DOMPurify decides. */
const quiet = (html: string): string => html.replace(/<[a-z][^>]*>/gi, (tag) => tag.replace(/([\s"'/])on[a-z]+\s*=/gi, "$1data-off="));

/** `resolve`: the address of a file that is named relative to the text; without it pictures beside the text are left out. */
export async function renderMarkdown(text: string, resolve?: (path: string) => string): Promise<string> {
  return tidy(purify.sanitize(quiet(await marked.parse(text, { gfm: true })), { ...RULES, RETURN_DOM_FRAGMENT: true }), resolve);
}

function tidy(fragment: DocumentFragment, resolve?: (path: string) => string): string {
  for (const image of fragment.querySelectorAll("img")) {
    const src = image.getAttribute("src") ?? "";
    if (/^data:image\//i.test(src)) continue;
    const elsewhere = /^[a-z][a-z0-9+.-]*:|^\/\//i.test(src);
    const found = !elsewhere && resolve && src ? resolve(src) : "";
    if (!image.hasAttribute("alt")) image.setAttribute("alt", src);
    if (found) image.setAttribute("src", found);
    else image.replaceWith(image.ownerDocument.createTextNode(`[picture: ${image.getAttribute("alt") || src}]`));
  }
  for (const link of fragment.querySelectorAll("a[href]")) {
    link.setAttribute("target", "_blank");
    link.setAttribute("rel", "noopener noreferrer nofollow");
  }
  const box = document.createElement("div");
  box.append(fragment);
  return box.innerHTML;
}

/** A stranger's HTML for a frame without rights: as it looks, without what would run or load something. */
export function cleanHtml(html: string): string {
  const made = purify.sanitize(quiet(html), { WHOLE_DOCUMENT: true, ADD_TAGS: ["style", "head", "meta"], FORBID_TAGS: ["script", "form", "iframe", "object", "embed", "video", "audio", "link", "base"], RETURN_DOM: true }) as unknown as HTMLElement;
  for (const meta of made.querySelectorAll("meta[http-equiv]")) meta.remove();
  for (const image of made.querySelectorAll("img")) {
    if (!/^data:image\//i.test(image.getAttribute("src") ?? "")) image.replaceWith(image.ownerDocument.createTextNode(`[picture: ${image.getAttribute("alt") || image.getAttribute("src")}]`));
  }
  return made.outerHTML;
}
