// The page of `trueup report --html`: one file that needs no other, and may ask for none.
//
// Script and style are put into it, and its policy allows these two by their hashes and nothing else.
// What of the dashboard asks the daemon, keeps state in the address or in the browser is not taken in:
// the build fails where a trace of it is.
import { createHash } from "node:crypto";
import { fileURLToPath } from "node:url";
import { type Plugin, defineConfig } from "vite";
import dashboard from "./vite.config.ts";

const ENTRY = "report.html";

/** What a page that is handed on must not do. */
const UNWANTED =
  /\b(?:fetch|import|eval|XMLHttpRequest|EventSource|WebSocket|localStorage|sessionStorage)\b/;

const hash = (text: string) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

function policy(script: string, style: string): string {
  const rules = [
    "default-src 'none'",
    `script-src ${hash(script)}`,
    `style-src ${hash(style)}`,
    "base-uri 'none'",
    "form-action 'none'",
  ];
  return `<meta http-equiv="Content-Security-Policy" content="${rules.join("; ")}" />`;
}

/** The one file of what was built. */
const oneFile: Plugin = {
  name: "one-file",
  enforce: "post",
  generateBundle(_, bundle) {
    const [page, script, style] = [".html", ".js", ".css"].map((ending) => {
      const found = Object.values(bundle).filter(({ fileName }) => fileName.endsWith(ending));
      if (found.length !== 1) this.error(`${found.length} files of ${ending}, instead of one`);
      return found[0]!;
    });
    const code = script!.type === "chunk" ? script!.code.trim() : "";
    const rules = style!.type === "asset" ? String(style!.source).trim() : "";
    if (page!.type !== "asset") return;
    const trace = UNWANTED.exec(code)?.[0];
    if (trace) this.error(`the script of ${ENTRY} has \`${trace}\` in it`);
    if (/<\/?(?:script|style|!--)/i.test(code + rules))
      this.error("what is put in would end its element");
    const frame = String(page!.source)
      .replace(/\s*<script type="module"[^>]*><\/script>/, "")
      .replace(/\s*<link rel="stylesheet"[^>]*>/, "");
    page!.source = frame
      .replace('<meta charset="utf-8" />', (charset) => `${charset}\n    ${policy(code, rules)}`)
      .replace("</head>", () => `  <style>${rules}</style>\n  </head>`)
      .replace("</body>", () => `  <script type="module">${code}</script>\n  </body>`);
    for (const { fileName } of [script!, style!]) delete bundle[fileName];
  },
};

/** Where the dashboard would load uPlot, the page draws SVG. */
const stillChart: Plugin = {
  name: "still-chart",
  enforce: "pre",
  resolveId: (name) =>
    name === "./dense" ? fileURLToPath(new URL("src/report/dense.tsx", import.meta.url)) : null,
};

export default defineConfig({
  ...dashboard,
  plugins: [stillChart, oneFile],
  build: {
    ...dashboard.build,
    emptyOutDir: false,
    rolldownOptions: {
      input: ENTRY,
      output: { codeSplitting: false },
      treeshake: {
        // Of a module, what is used alone: that the dashboard listens to its address is not.
        moduleSideEffects: (id) => /\.css$|\/report\.tsx$|report\.html/.test(id),
        manualPureFunctions: ["signal", "computed", "localStorage", "Intl.DateTimeFormat"],
        propertyReadSideEffects: false,
        unknownGlobalSideEffects: false,
      },
    },
  },
});
