/** A device that dies: while it loads, prepares, draws, is read back, and while nothing happens. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { inWorker, launch, MORTAL, open, pixels, site, status } from "./browser.js";
import { png } from "./png.js";

const MODEL = "goldens/routed/dit_mlp/model";
/** What the browser itself tells the console of files that are not there. */
const EXPECTED = /Failed to load resource/;

/** @type {import("playwright-core").Browser} */
let browser;
/** @type {Awaited<ReturnType<typeof site>>} */
let server;

before(async () => {
    browser = await launch();
    server = await site(inWorker(MORTAL));
});
after(async () => {
    await browser?.close();
    await server?.close();
});

test("a device that dies under the page's picture is replaced, and the run goes on to the same one", async () => {
    const { page, quiet } = await open(await browser.newContext({ serviceWorkers: "block" }));
    // What the status line says is gone before it can be asked for.
    await page.addInitScript(() => {
        const said = /** @type {(string | null)[]} */ ([]);
        Object.assign(globalThis, { said });
        addEventListener("DOMContentLoaded", () => {
            const line = /** @type {HTMLElement} */ (document.getElementById("status"));
            new MutationObserver(() => said.push(line.textContent)).observe(line, { childList: true });
        });
    });
    const said = () => page.evaluate(() => /** @type {any} */ (globalThis).said.splice(0));
    const request = new URLSearchParams({ model: MODEL, class: "7", seed: "3", steps: "4", policy: "diffcr" });
    await page.goto(`${server.url}#${request}`);
    await status(page, /^Ready/);
    await page.click("#generate");
    await status(page, /^Done/);
    const undisturbed = await pixels(page);
    await said();

    await page.workers()[0].evaluate(() => {
        // After the first step, amid what the second has submitted.
        const { postMessage } = self;
        self.postMessage = (message, ...rest) => {
            if (message.result?.index === 0) /** @type {any} */ (self).dieAt("GPUQueue", "submit", 1);
            postMessage.call(self, message, ...rest);
        };
    });
    await page.click("#generate");
    await page.waitForFunction(() => /** @type {any} */ (globalThis).said.includes("Step 4 of 4"));
    await status(page, /^Done/);
    const told = await said();
    const after = told.indexOf("The GPU was lost: starting again from the last step…");
    assert.deepEqual(told.slice(after - 1).filter((text) => /^Step/.test(text)), [1, 2, 3, 4].map((n) => `Step ${n} of 4`), told.join("\n"));
    assert.deepEqual(await pixels(page), undisturbed);

    // An idle one, this time with the browser's whole GPU process, is missed at once, and replaced when it is needed.
    const idle = page.waitForFunction(() => /^The GPU was lost\. The next/.test(document.getElementById("status")?.textContent ?? ""));
    const browserItself = await browser.newBrowserCDPSession();
    browserItself.send("Browser.crashGpuProcess").catch(() => {}); // which never answers
    await idle;
    await page.fill("#steps", "1");
    await page.click("#generate");
    await status(page, /^Done/);
    await quiet(EXPECTED);
});

test("wherever a device dies, the package draws the same picture with another", async () => {
    const { page, quiet } = await open(await browser.newContext({ serviceWorkers: "block" }));
    await page.goto(`${server.url}foveate/package.json`);
    const drawn = () => page.evaluate(async () => {
        const { data } = await /** @type {any} */ (globalThis).model.generate({ class: 7, steps: 2, seed: 3 }).image();
        return Array.from(data);
    });
    /** @param {string} type @param {string} method @param {number} calls */
    const dieAt = (type, method, calls) => page.workers().at(-1)?.evaluate(([type, method, calls]) => /** @type {any} */ (self).dieAt(type, method, calls), /** @type {const} */ ([type, method, calls]));
    const lost = () => page.evaluate(() => /** @type {any} */ (globalThis).lost);

    await page.evaluate(async () => {
        const { Engine } = await import(String("/foveate/index.js"));
        Object.assign(globalThis, { lost: 0 });
        Object.assign(globalThis, { engine: await Engine.create({ lost: () => /** @type {any} */ (globalThis).lost++ }) });
    });
    await dieAt("GPUQueue", "writeBuffer", 5);
    await page.evaluate(async (url) => {
        const { engine } = /** @type {any} */ (globalThis);
        Object.assign(globalThis, { model: await engine.load(url) });
    }, `/${MODEL}`);
    assert.equal(await lost(), 1, "while loading");

    await dieAt("GPUDevice", "createComputePipeline", 5);
    const first = await drawn();
    assert.equal(await lost(), 2, "while preparing");

    await dieAt("GPUBuffer", "mapAsync", 2);
    assert.deepEqual(await drawn(), first);
    assert.equal(await lost(), 3, "while reading back");

    // SDTM keeps branches, more than is read back after every step: those since are taken again, and handed out once.
    const merged = () => page.evaluate(async () => {
        const run = /** @type {any} */ (globalThis).model.generate({ class: 7, steps: 4, seed: 3, size: [64, 64], compression: { policy: "sdtm" } });
        const steps = [];
        for await (const { index, preview } of run) {
            preview?.close();
            steps.push(index);
        }
        return { steps, data: Array.from((await run.image()).data) };
    });
    const whole = await merged();
    assert.deepEqual(whole.steps, [0, 1, 2, 3]);
    await dieAt("GPUQueue", "submit", 5);
    assert.deepEqual(await merged(), whole);
    assert.equal(await lost(), 4, "in a run whose state was not read back");

    // A picture to begin with is read again on the next device; outside of its mask it is the same in any case.
    const photo = png(30, 20, (x, y) => [8 * x, 12 * y, 99]).toString("base64");
    const mask = png(30, 20, (x) => x < 12 ? [255, 255, 255] : [0, 0, 0]).toString("base64");
    const filled = () => page.evaluate(async (files) => {
        const [image, mask] = files.map((file) => Uint8Array.from(atob(file), (letter) => letter.charCodeAt(0)));
        const run = /** @type {any} */ (globalThis).model.generate({ class: 7, steps: 3, seed: 3, image, mask, compression: { masked: "2" } }, { preview: false });
        const steps = [];
        for await (const { index } of run) {
            steps.push(index);
            if (steps.length === 1 && /** @type {any} */ (globalThis).dies) await /** @type {any} */ (globalThis).dies();
        }
        return { steps, data: Array.from((await run.image()).data) };
    }, [photo, mask]);
    const undisturbed = await filled();
    await page.exposeFunction("dies", () => dieAt("GPUQueue", "submit", 1));
    assert.deepEqual(await filled(), undisturbed);
    assert.equal(await lost(), 5, "in a run that began with a picture");
    await page.evaluate(() => /** @type {any} */ (globalThis).engine.close());
    await quiet(EXPECTED);
});
