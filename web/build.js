/**
 * Puts together what `./x web` serves: `dist/foveate`, the package for npm, and around it the page.
 * `node build.js GLUE MODEL`: the folder that wasm-bindgen filled, and the model to bring along.
 */

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

/** What the module may weigh, in bytes after gzip. */
const MOST = 1_500_000;

const [glue, model] = process.argv.slice(2);
const here = fileURLToPath(new URL(".", import.meta.url));
const dist = join(here, "dist");
const pack = join(dist, "foveate");
const tool = (/** @type {string} */ name) => join(here, "node_modules", ".bin", name);

rmSync(dist, { recursive: true, force: true });
mkdirSync(pack, { recursive: true });

// The package: our modules, wasm-bindgen's, and the module itself.
cpSync(join(here, "api"), pack, { recursive: true });
for (const file of ["foveate.js", "foveate.d.ts"]) cpSync(join(glue, file), join(pack, file));
for (const file of ["LICENSE-MIT", "LICENSE-APACHE"]) cpSync(join(here, "..", file), join(pack, file));
const wasm = join(pack, "foveate_bg.wasm");
cpSync(optimised(), wasm);

// The page.
const page = join(here, "page");
for (const file of ["index.html", "style.css", "icon.svg"]) cpSync(join(page, file), join(dist, file));
cpSync(page, join(dist, "page"), { recursive: true, filter: (file) => !/(sw\.js|\.html|\.css|\.svg)$/.test(file) });
cpSync(model, join(dist, "models", basename(model)), { recursive: true });

// Types are checked and written where everything lies together.
execFileSync(tool("tsc"), ["-p", here], { stdio: "inherit" });
for (const file of readdirSync(join(dist, "page"))) if (file.endsWith(".d.ts")) rmSync(join(dist, "page", file));

// The service worker keeps exactly the files that the page is made of.
const scripts = (/** @type {string} */ folder) => readdirSync(join(dist, folder)).filter((f) => /\.(js|wasm)$/.test(f)).map((f) => `${folder}/${f}`);
const files = ["./", "index.html", "style.css", "icon.svg", ...scripts("page"), ...scripts("foveate")];
const worker = readFileSync(join(page, "sw.js"), "utf8").replace("const FILES = [];", `const FILES = ${JSON.stringify(files)};`);
writeFileSync(join(dist, "sw.js"), worker);

const bytes = readFileSync(wasm);
const small = gzipSync(bytes, { level: 9 }).length;
const scriptBytes = files.filter((f) => f.endsWith(".js")).reduce((sum, f) => sum + statSync(join(dist, f)).size, 0);
const mb = (/** @type {number} */ n) => `${(n / 1e6).toFixed(2)} MB`;
console.log(`foveate_bg.wasm: ${mb(bytes.length)}, ${mb(small)} gzipped (at most ${mb(MOST)}); scripts ${mb(scriptBytes)}`);
if (small > MOST) {
    console.error("the module is too large");
    process.exit(1);
}

/** The module after wasm-opt, which takes half a minute: done anew only when the module is. */
function optimised() {
    const [module, small] = [join(glue, "foveate_bg.wasm"), join(glue, "optimised.wasm")];
    const when = (/** @type {string} */ file) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    if (when(small) <= when(module)) {
        // What rustc and wasm-bindgen use, and what browsers without WebGPU have as well; --all-features would add what none
        // has yet.
        const features = ["simd", "bulk-memory", "mutable-globals", "sign-ext", "nontrapping-float-to-int", "reference-types", "multivalue"];
        const enable = features.map((feature) => `--enable-${feature}`);
        execFileSync(tool("wasm-opt"), ["-Os", ...enable, module, "-o", small], { stdio: "inherit" });
    }
    return small;
}
