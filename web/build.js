/**
 * Puts together what `./x web` serves: `dist/foveate`, the package for npm, and around it the page.
 * `node build.js GLUE MODEL`: the folder that wasm-bindgen filled, with the module for threads in its folder `threads`, and the
 * model to bring along.
 */

import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

/** What a module may weigh, in bytes after gzip. A page loads one of the two, or on an isolated page without a GPU both. */
const MOST = 1_600_000;

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
// What wasm-bindgen-rayon starts its workers with lies in `snippets`.
for (const file of ["foveate.js", "foveate.d.ts", "snippets"]) cpSync(join(glue, "threads", file), join(pack, "threads", file), { recursive: true });
for (const file of ["LICENSE-MIT", "LICENSE-APACHE"]) cpSync(join(here, "..", file), join(pack, file));
quiet(join(pack, "threads", "snippets"));
const modules = { plain: join(pack, "foveate_bg.wasm"), threads: join(pack, "threads", "foveate_bg.wasm") };
cpSync(optimised(glue), modules.plain);
cpSync(optimised(join(glue, "threads"), "threads"), modules.threads);

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

const mb = (/** @type {number} */ n) => `${(n / 1e6).toFixed(2)} MB`;
const scriptBytes = files.filter((f) => f.endsWith(".js")).reduce((sum, f) => sum + statSync(join(dist, f)).size, 0);
console.log(`scripts ${mb(scriptBytes)}`);
for (const [name, file] of Object.entries(modules)) {
    const bytes = readFileSync(file);
    const small = gzipSync(bytes, { level: 9 }).length;
    console.log(`foveate_bg.wasm, ${name}: ${mb(bytes.length)}, ${mb(small)} gzipped (at most ${mb(MOST)})`);
    if (small > MOST) {
        console.error("the module is too large");
        process.exit(1);
    }
}

/**
 * wasm-bindgen-rayon 1.3 hands its workers the module in a way that wasm-bindgen warns of on the console.
 * @param {string} snippets
 */
function quiet(snippets) {
    const [folder] = readdirSync(snippets);
    const file = join(snippets, folder, "src", "workerHelpers.no-bundler.js");
    const [script, old] = [readFileSync(file, "utf8"), "pkg.default(data.module, data.memory)"];
    if (!script.includes(old)) throw new Error(`${file} no longer has ${old}: remove this`);
    writeFileSync(file, script.replace(old, "pkg.default({ module_or_path: data.module, memory: data.memory })"));
}

/**
 * The module after wasm-opt, which takes half a minute: done anew only when the module is.
 * @param {string} folder of the glue
 * @param {string[]} more features
 */
function optimised(folder, ...more) {
    const [module, small] = [join(folder, "foveate_bg.wasm"), join(folder, "optimised.wasm")];
    const when = (/** @type {string} */ file) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
    if (when(small) <= when(module)) {
        // What rustc and wasm-bindgen use, and what browsers without WebGPU have as well; --all-features would add what none
        // has yet.
        const features = ["simd", "bulk-memory", "mutable-globals", "sign-ext", "nontrapping-float-to-int", "reference-types", "multivalue", ...more];
        const enable = features.map((feature) => `--enable-${feature}`);
        execFileSync(tool("wasm-opt"), ["-Os", ...enable, module, "-o", small], { stdio: "inherit" });
    }
    return small;
}
