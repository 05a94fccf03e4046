/** What the page says when something fails, and that it keeps working. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { inWorker, launch, open, PATIENCE, ROOT, site, status } from "./browser.js";

const MODEL = "goldens/routed/pixart_alpha_block/model";
const WEIGHTS = `/${MODEL}/transformer/diffusion_pytorch_model.safetensors`;
/** What the browser itself tells the console of a request that fails. */
const EXPECTED = /Failed to load resource/;

/** @type {import("playwright-core").Browser} */
let browser;
/** @type {Awaited<ReturnType<typeof site>>} */
let server;

before(async () => {
    browser = await launch();
    server = await site();
});
after(async () => {
    await browser?.close();
    await server?.close();
});

/**
 * Opens the page in a browser of its own, with nothing stored.
 * @param {import("./browser.js").Hook} hook
 */
async function visit(hook, model = MODEL, query = "") {
    server.hooks.now = hook;
    const context = await browser.newContext({ serviceWorkers: "block" });
    const visit = await open(context);
    await visit.page.goto(`${server.url}${query}#model=${model}&prompt=a+house&steps=2`);
    return visit;
}

/** Waits for what the page says. @param {import("playwright-core").Page} page */
async function trouble(page) {
    const place = page.locator("#trouble:not([data-kind=Note])");
    await place.waitFor({ timeout: PATIENCE });
    const kind = await place.getAttribute("data-kind");
    const text = await place.locator("p").first().textContent() ?? "";
    assert.match(text, /^[A-Z].*\.$/, "a sentence");
    return { kind, text };
}

/** The cause is gone: trying again succeeds. @param {import("playwright-core").Page} page */
async function again(page) {
    server.hooks.now = () => false;
    assert.ok(await page.locator("#generate").isEnabled(), "the form keeps working");
    await page.locator("#trouble button").click();
    await status(page, /^Ready/);
    assert.ok(await page.locator("#trouble").isHidden());
}

const WORKERS = {
    NoWebGPU: [/no WebGPU, and the address of this page asks for a GPU/, `Object.defineProperty(WorkerNavigator.prototype, "gpu", { get: () => undefined });`],
    NoAdapter: [/no GPU/, `GPU.prototype.requestAdapter = async () => null;`],
    Limit: [/too small/, `{
        const { get } = Object.getOwnPropertyDescriptor(GPUDevice.prototype, "limits");
        Object.defineProperty(GPUDevice.prototype, "limits", { get() {
            return new Proxy(get.call(this), { get: (limits, name) =>
                name === "maxComputeWorkgroupStorageSize" ? 4096 : Reflect.get(limits, name, limits) });
        } });
    }`],
    NoEngine: [/engine itself/, `self.fetch = async () => { throw new TypeError("no network"); };`],
};
for (const [kind, [sentence, code]] of Object.entries(WORKERS)) {
    test(`${kind}: said in a sentence, and tried again`, async () => {
        // Left the choice, the page draws on the processor: here it may not.
        const { page, quiet } = await visit(inWorker(/** @type {string} */ (code)), MODEL, "?adapter=gpu");
        const told = await trouble(page);
        assert.equal(told.kind, kind);
        assert.match(told.text, /** @type {RegExp} */ (sentence));
        await again(page);
        await quiet(EXPECTED);
    });
}

test("NotFound: a model that is not there, and what is loaded in its place", async () => {
    const { page, quiet } = await visit((path) => path.startsWith("/silent/"), "models/absent");
    assert.equal((await trouble(page)).kind, "NotFound");
    // Another model can be loaded in its place.
    await page.locator("#model-panel summary").click();
    await page.fill("#model", MODEL);
    await page.click("#load");
    await status(page, /^Ready/);
    // By a link, too; and what another choice cuts short is no trouble.
    await page.evaluate(() => (location.hash = "#model=models/absent"));
    assert.equal((await trouble(page)).kind, "NotFound");
    const asked = page.waitForRequest(/\/silent\//);
    await page.evaluate(() => (location.hash = "#model=silent"));
    await asked;
    await page.evaluate((model) => (location.hash = `#model=${model}`), MODEL);
    await status(page, /^Ready/);
    await page.waitForTimeout(300);
    assert.ok(await page.locator("#trouble").isHidden());
    await quiet(EXPECTED);
});

test("Offline: no connection to the model's server", async () => {
    const { page, quiet } = await visit((path, request) => {
        if (path.startsWith(`/${MODEL}`)) request.socket.destroy();
        return path.startsWith(`/${MODEL}`);
    });
    assert.equal((await trouble(page)).kind, "Offline");
    await again(page);
    await quiet(EXPECTED);
});

test("corrupt weights: truncated, scrambled, not numbers", async () => {
    const whole = await readFile(`${ROOT}/tests${WEIGHTS}`);
    const nan = Buffer.from(whole);
    nan.fill(0xff, whole.length - 64);
    for (const bytes of [whole.subarray(0, 1000), Buffer.alloc(whole.length, 7), nan]) {
        const { page, quiet } = await visit((path, _, response) => {
            if (path !== WEIGHTS) return false;
            response.writeHead(200, { "Content-Length": bytes.length, "Cache-Control": "no-store", ETag: '"bad"' }).end(bytes);
            return true;
        });
        const { kind } = await trouble(page);
        assert.ok(kind === "File" || kind === "Model", String(kind));
        // The bad file was kept; the good one is another version, and that is noticed.
        await again(page);
        await quiet(EXPECTED);
    }
});

test("Usage and OutOfMemory are said, and what follows works, in a hidden tab too", async () => {
    const { page, quiet } = await visit(inWorker(`{
        const { pushErrorScope, popErrorScope } = GPUDevice.prototype;
        const scopes = [];
        GPUDevice.prototype.pushErrorScope = function (filter) {
            scopes.push(filter);
            return pushErrorScope.call(this, filter);
        };
        GPUDevice.prototype.popErrorScope = async function () {
            const full = scopes.pop() === "out-of-memory" && self.full;
            const caught = await popErrorScope.call(this);
            return full ? new GPUOutOfMemoryError("full") : caught;
        };
    }`), "goldens/dit_euler/model");
    await status(page, /^Ready/);
    await page.fill("#class", "100000");
    await page.click("#generate");
    assert.equal((await trouble(page)).kind, "Usage");

    await page.fill("#class", "1");
    await page.fill("#guidance", "1");
    await page.workers()[0].evaluate(() => (/** @type {any} */ (self).full = true));
    await page.click("#generate");
    await page.locator("#trouble[data-kind=OutOfMemory]").waitFor();
    assert.match((await trouble(page)).text, /^There is not enough memory/);

    // A new worker starts empty, from what the browser has stored.
    await page.evaluate(() => {
        Object.defineProperty(document, "hidden", { get: () => true });
        document.dispatchEvent(new Event("visibilitychange"));
    });
    await page.locator("#trouble button").click();
    await page.waitForFunction(() => /^[12] of 2 · /.test(document.title));
    await page.waitForFunction(() => /^done · /.test(document.title));
    await status(page, /^Done/);
    await quiet(EXPECTED);
});
