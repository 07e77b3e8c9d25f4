import react from "@vitejs/plugin-react";
import { realpathSync } from "node:fs";
import { defineConfig } from "vite";

// `node_modules/.bin/vite` serves the pages with reload on change; the API comes from a running server.
const api = process.env.LATHE_SERVER ?? "http://127.0.0.1:8000";

export default defineConfig({
  plugins: [react()],
  build: {
    target: "es2022",
    assetsInlineLimit: 0, // no data: URLs, so the CSP can stay strict
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 900,
    emptyOutDir: true,
  },
  worker: { format: "es" },
  // The server refuses what another origin sends; here that is this server itself. The packages lie outside web/ (build/deps), where clones share them.
  server: { fs: { allow: [".", realpathSync("node_modules")] }, proxy: Object.fromEntries(["/api", "/ajax-api", "/v1", "/v2", "/endpoints", "/user", "/get-artifact"].map((path) => [path, { target: api, changeOrigin: true, headers: { origin: new URL(api).origin } }])) },
});
