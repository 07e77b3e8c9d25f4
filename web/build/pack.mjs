// Packs the built files into the one that the server links in: an index in text, then each file as it is, gzip and
// brotli. The format is written down in src/api/pages/pack.h. usage: node pack.mjs DIST OUT
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { extname, join, relative } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const TYPES = {
  ".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml", ".png": "image/png", ".woff2": "font/woff2", ".json": "application/json", ".txt": "text/plain; charset=utf-8",
};
const COMPRESSED_ALREADY = new Set([".png", ".woff2"]);

const [dist, out] = process.argv.slice(2);

/** What the pages are made of wants to be named: the licence of every package that is in them, as one text. */
function licences() {
  const { packages } = JSON.parse(readFileSync("package-lock.json", "utf8"));
  const parts = [];
  for (const [path, info] of Object.entries(packages)) {
    if (!path || info.dev || info.devOptional) continue;
    const name = path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
    let file;
    try {
      file = readdirSync(path).find((f) => /^(licen[cs]e|copying|ofl)/i.test(f));
    } catch {
      continue; // for another platform
    }
    parts.push(`${name} ${info.version}, ${info.license ?? "see its licence"}\n\n${file ? readFileSync(join(path, file), "utf8").trim() : ""}`);
  }
  return `${parts.join(`\n\n${"-".repeat(78)}\n\n`)}\n`;
}
writeFileSync(join(dist, "licences.txt"), licences());
const files = readdirSync(dist, { recursive: true, withFileTypes: true }).filter((e) => e.isFile()).map((e) => join(e.parentPath, e.name)).sort();
const index = ["lathe-pages 1"];
const bodies = [];
for (const file of files) {
  const type = TYPES[extname(file)];
  if (!type) throw new Error(`${file}: no media type is known for this name`);
  const raw = readFileSync(file);
  const path = `/${relative(dist, file)}`;
  const small = COMPRESSED_ALREADY.has(extname(file));
  const gzip = small ? Buffer.alloc(0) : gzipSync(raw, { level: 9 });
  const br = small ? Buffer.alloc(0) : brotliCompressSync(raw, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: raw.length } });
  const digest = createHash("sha256").update(raw).digest("hex").slice(0, 20);
  index.push([path, type, digest, path.startsWith("/assets/") ? "i" : "-", raw.length, gzip.length, br.length].join("\t"));
  bodies.push(raw, gzip, br);
}
writeFileSync(out, Buffer.concat([Buffer.from(`${index.join("\n")}\n\n`), ...bodies]));
