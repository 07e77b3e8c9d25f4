// Colours of terminals: the escapes of one line → pieces of text with a class of their own.
export interface Piece { text: string; color?: number; bold?: boolean; dim?: boolean }

// biome-ignore lint/suspicious/noControlCharactersInRegex: escapes are what is looked for
const SEQUENCE = /\u001b\[([0-9;]*)([A-Za-z])|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[\u0000-\u0008\u000b-\u001a\u001c-\u001f]/g;

export function ansiPieces(line: string): Piece[] {
  if (!line.includes("\u001b") && !line.includes("\r") && !line.includes("\b")) return [{ text: line }];
  const text = line.slice(line.lastIndexOf("\r", line.length - 2) + 1); // a progress bar's last state
  const out: Piece[] = [];
  let style: Omit<Piece, "text"> = {};
  let at = 0;
  for (const m of text.matchAll(SEQUENCE)) {
    if (m.index > at) out.push({ text: text.slice(at, m.index), ...style });
    at = m.index + m[0].length;
    if (m[2] !== "m") continue;
    for (const code of (m[1] || "0").split(";").map(Number)) {
      if (code === 0) style = {};
      else if (code === 1) style = { ...style, bold: true };
      else if (code === 2) style = { ...style, dim: true };
      else if (code === 22) style = { ...style, bold: false, dim: false };
      else if (code === 39) style = { ...style, color: undefined };
      else if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) style = { ...style, color: code % 10 };
    }
  }
  if (at < text.length) out.push({ text: text.slice(at), ...style });
  return out.length ? out : [{ text: "" }];
}

export type Level = "error" | "warn" | "info" | "debug";
export function levelOf(line: string): Level | undefined {
  const head = line.slice(0, 160);
  if (/\b(ERROR|FATAL|CRITICAL|Traceback|[A-Za-z]*(Error|Exception)(?=:))/.test(head) || /\b(error|fatal)\b:/.test(head)) return "error";
  if (/\b(WARN|WARNING)\b|\bwarn(ing)?\b:|[A-Za-z]+Warning:/.test(head)) return "warn";
  if (/\bDEBUG\b|\bTRACE\b/.test(head)) return "debug";
  return /\bINFO\b/.test(head) ? "info" : undefined;
}
