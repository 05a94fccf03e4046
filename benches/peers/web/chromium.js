/**
 * The same in Chromium, each side with as many threads as the browser offers: `node chromium.js FOLDER [rounds]`, with the folder that
 * `dit.py` wrote. Both run in one page, which is cross-origin isolated, and take turns.
 *
 * Seconds are the clock's: threads share out the work, so the processor's time would not show what they gain. The machine should do
 * nothing else.
 */

import { createRequire } from "node:module";
import { createServer } from "node:http";
import { cpus } from "node:os";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { answer } from "../../../web/serve.js";

const [folder, rounds = "9"] = process.argv.slice(2);
const here = fileURLToPath(new URL(".", import.meta.url));
const dist = fileURLToPath(new URL("../../../web/dist", import.meta.url));
const require = createRequire(new URL("../../../web/package.json", import.meta.url));
const { chromium } = require("playwright-core");
const ort = dirname(createRequire(import.meta.url).resolve("onnxruntime-web"));

/** What a path lies below. @type {[string, string][]} */
const places = [["/ort/", ort], ["/peer/", resolve(folder)], ["/bench/", here], ["/", dist]];
const server = createServer((request, response) => {
    const [prefix, place] = places.find(([prefix]) => request.url?.startsWith(prefix)) ?? ["/", dist];
    request.url = `/${request.url?.slice(prefix.length)}`;
    void answer(place, request, response);
});
await new Promise((done) => server.listen(0, "127.0.0.1", () => done(undefined)));
const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu"] });
const page = await browser.newPage();
page.setDefaultTimeout(0);
page.on("console", (/** @type {import("playwright-core").ConsoleMessage} */ message) => console.error(message.text()));
page.on("pageerror", (/** @type {Error} */ error) => console.error(String(error)));
await page.goto(`http://127.0.0.1:${port}/bench/chromium.html`);
const { threads, names, seconds } = await page.evaluate(
    (/** @type {number} */ rounds) => /** @type {any} */ (globalThis).measured(rounds), Number(rounds));

/** The value that a share of all lies below. @param {number[]} values */
const quantile = (values, share = 0.5) => values.toSorted((a, b) => a - b)[Math.floor(share * values.length)];
console.log(`${cpus()[0].model.trim()}, Chromium ${browser.version()}, ${threads} threads, medians of ${rounds} rounds`);
for (const [at, name] of names.entries()) console.log(`${quantile(seconds[at]).toFixed(3)} s  ${name}`);
const ratios = seconds[0].map((/** @type {number} */ own, /** @type {number} */ round) => seconds[1][round] / own);
const [low, middle, high] = [0.25, 0.5, 0.75].map((share) => quantile(ratios, share).toFixed(2));
console.log(`${middle} times as fast (half of the rounds: ${low} to ${high})`);
await browser.close();
server.close();
