/** "/p/x?q=1" is a place of ours; "//other.example", "/\other" and "https://…" are not. */
export function safeNext(next: string, origin: string = location.origin): string {
  if (!/^\/(?![/\\])/.test(next) || next.startsWith("/login")) return "/";
  try {
    const target = new URL(next, origin);
    return target.origin === origin ? target.pathname + target.search + target.hash : "/";
  } catch {
    return "/";
  }
}
