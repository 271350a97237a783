import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { defineConfig, type Plugin } from "vite";

// `npm run dev` serves the page with hot reload and hands the API calls to a running server.
const server = process.env["WEIR_URL"] ?? "http://127.0.0.1:3100";

/** Writes licenses.txt: the packages whose code is in the bundle, with the texts their licences ask us to pass on. */
function licenses(): Plugin {
  return {
    name: "licenses",
    generateBundle(_options, bundle) {
      const dirs = new Set<string>();
      for (const chunk of Object.values(bundle)) {
        if (chunk.type !== "chunk") continue;
        for (const id of Object.keys(chunk.modules)) {
          const m = /^\0?(.*\/node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(id);
          if (m?.[1]) dirs.add(m[1]);
        }
      }
      const parts = [...dirs].sort().map((dir) => {
        const pkg = JSON.parse(readFileSync(join(dir, "package.json"), "utf8")) as { name: string; version: string; license?: string };
        const file = readdirSync(dir).find((f) => /^licen[cs]e/i.test(f));
        const text = file === undefined ? "" : readFileSync(join(dir, file), "utf8").trim() + "\n";
        return `${pkg.name} ${pkg.version} (${pkg.license ?? "see below"})\n\n${text}`;
      });
      this.emitFile({ type: "asset", fileName: "licenses.txt", source: parts.join("\n" + "-".repeat(72) + "\n\n") });
    },
  };
}

export default defineConfig({
  base: "./",
  plugins: [licenses()],
  esbuild: { jsx: "automatic", jsxImportSource: "preact" },
  build: {
    target: "es2021",
    modulePreload: false,
    // A data: URL would need its own hole in the Content-Security-Policy.
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 600,
    rollupOptions: { output: { manualChunks: () => "weir" } },
  },
  server: { proxy: { "/loki": { target: server, ws: true } } },
});
