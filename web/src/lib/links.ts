// Plain links inside tables and charts go through the router too: one listener for the whole page. Modified clicks,
// downloads and other addresses stay the browser's.
export function followLinks(push: (to: string) => void): () => void {
  function onClick(e: MouseEvent): void {
    if (e.defaultPrevented || e.button !== 0 || e.ctrlKey || e.metaKey || e.shiftKey || e.altKey) return;
    const link = (e.target as Element | null)?.closest?.<HTMLAnchorElement>("a[href]");
    if (!link || link.target || link.hasAttribute("download") || link.origin !== location.origin || !/^\/(p|admin)(\/|$)/.test(link.pathname)) return;
    e.preventDefault();
    push(link.pathname + link.search + link.hash);
  }
  document.addEventListener("click", onClick);
  return () => document.removeEventListener("click", onClick);
}
