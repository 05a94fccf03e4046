/** A Chromium whose WebGPU runs on the CPU, the built page, and what a test may do with them. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { answer, ISOLATED } from "../serve.js";

export const DIST = fileURLToPath(new URL("../dist", import.meta.url));
export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** A browser as it comes: on a machine without a GPU it has no WebGPU either. */
export const WITHOUT_GPU = [
    "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-gpu",
];
/** SwiftShader for WebGPU and for compositing: only together can they show a WebGPU canvas. */
const FLAGS = [
    ...WITHOUT_GPU.filter((flag) => flag !== "--disable-gpu"), "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader",
    "--enable-features=Vulkan", "--use-vulkan=swiftshader", "--use-angle=vulkan",
];

/** How many layers a bundled model has, by its own configuration. @param {string} model */
export async function layersOf(model) {
    return /** @type {number} */ (JSON.parse(await readFile(`${ROOT}/assets/${model}/transformer/config.json`, "utf8")).num_layers);
}

/** How long a picture may take on a busy machine without a GPU, in milliseconds. */
export const PATIENCE = 600_000;

/** @param {string[]} [flags] in the place of the usual ones */
export function launch(flags = FLAGS) {
    return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: flags });
}

/**
 * Runs before the engine's worker: how tests play a browser without WebGPU, a small adapter, a device that dies.
 * @param {string} code
 */
export function inWorker(code) {
    /** @type {Hook} */
    const hook = async (path, _, response) => {
        if (!path.startsWith("/foveate/worker.js")) return false;
        const script = await readFile(`${DIST}/foveate/worker.js`, "utf8");
        response.writeHead(200, { "Content-Type": "text/javascript", "Cache-Control": "no-store", ...ISOLATED });
        response.end(`${code}\n${script}`);
        return true;
    };
    return hook;
}

/** In the worker: `die()` destroys the device, `dieAt("GPUQueue", "submit", 3)` does at the third such call from then on. */
export const MORTAL = `
    const { requestDevice } = GPUAdapter.prototype;
    self.devices = [];
    GPUAdapter.prototype.requestDevice = async function (wish) {
        const device = await requestDevice.call(this, wish);
        self.devices.push(device);
        return device;
    };
    self.die = () => self.devices.at(-1).destroy();
    self.dieAt = (type, method, calls) => {
        const { prototype } = self[type];
        const original = prototype[method];
        prototype[method] = function (...given) {
            const result = original.apply(this, given);
            if (--calls === 0) self.die();
            return result;
        };
    };`;

/**
 * @callback Hook answers a request itself, or returns false
 * @param {string} path
 * @param {import("node:http").IncomingMessage} request
 * @param {import("node:http").ServerResponse} response
 * @returns {boolean | void | Promise<boolean | void>}
 */

/**
 * Serves the page and, under `/goldens/`, the test models. `hooks.now` is asked first.
 * @param {Hook} [hook]
 */
export async function site(hook = () => false) {
    const requests = /** @type {string[]} */ ([]);
    const hooks = { now: hook };
    const server = createServer(async (request, response) => {
        const path = request.url ?? "/";
        requests.push(path);
        if (await hooks.now(path, request, response)) return;
        if (path.startsWith("/goldens/")) return answer(`${ROOT}/tests`, request, response);
        return answer(DIST, request, response);
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
    const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
    return {
        url: `http://127.0.0.1:${port}/`,
        requests,
        hooks,
        close: () => {
            server.closeAllConnections();
            return new Promise((resolve) => server.close(resolve));
        },
    };
}

/**
 * A page that fails its test on console errors and unhandled rejections, once it is closed with `quiet`.
 * @param {import("playwright-core").BrowserContext} context
 */
export async function open(context) {
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE);
    const noise = /** @type {string[]} */ ([]);
    page.on("console", (message) => {
        if (message.text() === "Service Worker registration blocked by Playwright") return; // as the test asked
        if (message.text().includes("willReadFrequently")) return; // the tests read the canvas, the page does not
        if (["error", "warning"].includes(message.type())) noise.push(`${message.type()}: ${message.text()} (${message.location().url})`);
    });
    page.on("pageerror", (error) => noise.push(`uncaught: ${error}`));
    return {
        page,
        noise,
        /** @param {RegExp} [allowed] what the browser itself reports of a failure that the test provoked */
        async quiet(allowed) {
            await page.close();
            assert.deepEqual(noise.filter((line) => !allowed?.test(line)), []);
        },
    };
}

/** The page's picture as RGBA bytes. @param {import("playwright-core").Page} page @param {string} [id] */
export async function pixels(page, id = "picture") {
    return page.evaluate((id) => {
        const canvas = /** @type {HTMLCanvasElement} */ (document.getElementById(id));
        return Array.from(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data);
    }, id);
}

/** Waits for the page's status line. @param {import("playwright-core").Page} page @param {RegExp} wanted */
export async function status(page, wanted) {
    const line = page.locator("#status");
    const trouble = page.locator("#trouble");
    const end = Date.now() + PATIENCE;
    for (let text = ""; Date.now() < end; await page.waitForTimeout(50)) {
        text = await line.textContent() ?? "";
        if (wanted.test(text)) return text;
        if (await trouble.isVisible() && await trouble.getAttribute("data-kind") !== "Note") {
            assert.fail(`the page says: ${await trouble.textContent()}`);
        }
    }
    assert.fail(`the page did not come to ${wanted}: ${await line.textContent()}`);
}

/** Peak signal-to-noise ratio of two RGB(A) pictures, in dB. @param {ArrayLike<number>} a @param {ArrayLike<number>} b @param {number} stride */
export function psnr(a, b, stride) {
    assert.equal(a.length, b.length);
    let [squared, count] = [0, 0];
    for (let i = 0; i < a.length; i++) {
        if (stride === 4 && i % 4 === 3) continue;
        squared += ((a[i] - b[i]) / 255) ** 2;
        count++;
    }
    return -10 * Math.log10(squared / count);
}
