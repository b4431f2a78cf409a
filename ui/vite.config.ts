// The same sources give the same bytes: names are hashes of contents, and nothing of the machine or
// the time gets in.
import { defineConfig } from "vite";

// `trueup serve` of a developer, for `npm run dev`.
const daemon = process.env["TRUEUP_URL"] ?? "http://127.0.0.1:9090";

export default defineConfig({
  base: "/",
  build: {
    target: "es2022",
    // The first ones that know `light-dark()`, of which all colours are made.
    cssTarget: ["chrome123", "firefox120", "safari17.5"],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  server: { proxy: { "/api": daemon, "/health": daemon } },
});
