import { defineConfig } from "vite";

// `npm run dev` serves the page with hot reload and hands the API calls to a running server.
const server = process.env["WEIR_URL"] ?? "http://127.0.0.1:3100";

export default defineConfig({
  base: "./",
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
