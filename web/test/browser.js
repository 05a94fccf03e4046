/** A Chromium whose WebGPU runs on the CPU, the built page, and what a test may do with them. */

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { answer } from "../serve.js";

export const DIST = fileURLToPath(new URL("../dist", import.meta.url));
export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** SwiftShader for WebGPU and for compositing: only together can they show a WebGPU canvas. */
const FLAGS = [
    "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan",
    "--use-vulkan=swiftshader", "--use-angle=vulkan",
];

/** How long a picture may take on a busy machine without a GPU, in milliseconds. */
export const PATIENCE = 300_000;

/** @param {string[]} [flags] in the place of the usual ones */
export function launch(flags = FLAGS) {
    return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: flags });
}

/**
 * Serves the page and, under `/goldens/`, the test models. `hook` may answer a request itself.
 * @param {(path: string, request: import("node:http").IncomingMessage, response: import("node:http").ServerResponse) => boolean | void | Promise<boolean | void>} [hook]
 */
export async function site(hook = () => false) {
    const requests = /** @type {string[]} */ ([]);
    const server = createServer(async (request, response) => {
        const path = request.url ?? "/";
        requests.push(path);
        if (await hook(path, request, response)) return;
        if (path.startsWith("/goldens/")) return answer(`${ROOT}/tests`, request, response);
        return answer(DIST, request, response);
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
    const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
    return {
        url: `http://127.0.0.1:${port}/`,
        requests,
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
