/** The processor in a GPU's place: where a browser has no WebGPU, where it is asked for, and where GPUs are lost for good. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { availableParallelism } from "node:os";
import { inWorker, launch, layersOf, MORTAL, open, pixels, psnr, site, status, WITHOUT_GPU } from "./browser.js";
import { drawNatively } from "./native.js";
import { ISOLATED } from "../serve.js";

const PROMPT = "a blue boat at sea by night";
const TINY = "goldens/routed/dit_mlp/model";
const NAME = `processor (${availableParallelism()} threads, SIMD128)`;
const ALONE = "processor (1 thread, SIMD128)";
/** Between two orders of the same sums: far below a level of 255 on average. */
const SAME = 60;
/** What the browser itself tells the console of files that are not there. */
const EXPECTED = /Failed to load resource/;

/** @type {Awaited<ReturnType<typeof site>>} */
let server;
/** One without a GPU. @type {import("playwright-core").Browser} */
let browser;
/** One with a GPU, whose devices die. @type {import("playwright-core").Browser} */
let mortal;

before(async () => {
    server = await site();
    [browser, mortal] = [await launch(WITHOUT_GPU), await launch()];
});
after(async () => {
    await browser?.close();
    await mortal?.close();
    await server?.close();
});

/** @param {number[]} rgba */
const rgb = (rgba) => rgba.filter((_, i) => i % 4 !== 3);

test("without WebGPU the page draws what the native program draws on the processor, and says so", async () => {
    const context = await browser.newContext({ viewport: { width: 360, height: 640 }, acceptDownloads: true, serviceWorkers: "block" });
    const { page, quiet } = await open(context);
    await page.goto(server.url);
    await status(page, /^Ready/);
    assert.match(await page.locator("#notice").textContent() ?? "", /^(This browser|The browser) .*: the processor draws, which takes longer\.$/);
    assert.ok(await page.locator("#notice").isVisible() && await page.locator("#trouble").isHidden());
    assert.deepEqual(await page.locator("#device dd").allTextContents(), [NAME, "by readback"]);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false, "it scrolls sideways");

    const draw = async (/** @type {string} */ seed) => {
        await page.fill("#seed", seed);
        await page.click("#generate");
        await status(page, /^Done/);
        return pixels(page);
    };
    await page.fill("#prompt", PROMPT);
    await page.fill("#steps", "3");
    const drawn = await draw("5");
    const options = [PROMPT, "--steps", "3", "--adapter", "cpu", "--compress", "diffcr"];
    const agreement = psnr(rgb(drawn), drawNatively([...options, "--seed", "5"]), 3);
    assert.ok(agreement >= SAME, `${agreement.toFixed(1)} dB`);
    assert.ok(psnr(rgb(drawn), drawNatively([...options, "--seed", "6"]), 3) < 30, "another seed should not agree");

    // Previews, and which tokens were computed.
    assert.ok(await page.locator("#veil").isVisible());
    await page.locator("#scrub-layer").fill("5");
    assert.match(await page.textContent("#scrub-layer-value") ?? "", RegExp(`^5 of ${await layersOf("scenes")}: \\d+(\\.\\d+)? % computed$`));
    await page.locator("#scrub-step").fill("1");
    assert.notDeepEqual(await pixels(page), drawn);

    // The picture names what drew it.
    const [download] = await Promise.all([page.waitForEvent("download"), page.click("#download")]);
    const chunks = [];
    for await (const chunk of await download.createReadStream()) chunks.push(chunk);
    assert.ok(Buffer.concat(chunks).includes(`tEXtadapter\0${NAME}`));
    assert.deepEqual(drawNatively(["--like", await download.path(), "--adapter", "cpu"]), drawNatively([...options, "--seed", "5"]));

    // Cancelling ends within a step, and what follows draws the same bytes as before.
    await page.fill("#steps", "100");
    await page.click("#generate");
    await status(page, /^Step [1-9]\d? of 100/);
    await page.click("#cancel");
    await status(page, /^Cancelled/);
    await page.fill("#steps", "3");
    assert.deepEqual(await draw("5"), drawn);
    await quiet(EXPECTED);
});

test("every policy, storage format and family: the package's pictures on the processor are the native program's", async () => {
    const { page, quiet } = await open(await browser.newContext({ serviceWorkers: "block" }));
    await page.goto(`${server.url}foveate/package.json`);
    const cases = /** @type {const} */ ([
        [TINY, { class: 7 }, {}, []],
        [TINY, { class: 7, size: [64, 64], compression: { policy: "sdtm" } }, { dtype: "int8" }, ["--compress", "sdtm", "--size", "64x64", "--dtype", "int8"]],
        [TINY, { class: 7, compression: { policy: "tome", set: { stride: 2 }, cache: "2" } }, { dtype: "int4" }, ["--compress", "tome", "--set", "stride=2", "--step-cache", "2", "--dtype", "int4"]],
        ["goldens/routed/dit_block_f16/model", { class: 7 }, { dtype: "f16" }, ["--dtype", "f16"]],
        ["goldens/routed/pixart_mod/model", { prompt: PROMPT }, {}, []],
        ["goldens/routed/pixart_alpha_block/model", { prompt: PROMPT, compression: { policy: "dense" } }, { dtype: "bf16" }, ["--compress", "dense", "--dtype", "bf16"]],
        ["models/scenes", { prompt: PROMPT, compression: { policy: "kv" } }, { dtype: "f32" }, ["--compress", "kv", "--dtype", "f32"]],
    ]);
    for (const [url, asked, options, words] of cases) {
        const { kind, data } = await page.evaluate(async ({ url, asked, options }) => {
            const { Engine } = await import(String("/foveate/index.js"));
            const engine = await Engine.create({ adapter: "cpu" });
            const model = await engine.load(url, options);
            const { data } = await model.generate({ ...asked, steps: 3, seed: 2 }, { preview: false }).image();
            engine.close();
            return { kind: engine.adapter.kind, data: Array.from(data) };
        }, { url: `/${url}`, asked: /** @type {object} */ (asked), options });
        assert.equal(kind, "cpu");
        const subject = "prompt" in asked ? [asked.prompt] : ["--class", "7"];
        const folder = url.startsWith("models/") ? url.replace("models", "assets") : `tests/${url}`;
        const native = drawNatively([...subject, "--model", folder, "--steps", "3", "--seed", "2", "--adapter", "cpu", ...words]);
        const agreement = psnr(rgb(data), native, 3);
        assert.ok(agreement >= SAME, `${JSON.stringify(asked)}: ${agreement.toFixed(1)} dB`);
    }
    await quiet(EXPECTED);
});

test("a module that stops amid a step is replaced, and the run goes on to the same picture", async () => {
    let workers = 0;
    server.hooks.now = (path, request, response) => {
        if (!path.startsWith("/foveate/worker.js")) return false;
        workers += 1;
        return inWorker(workers > 1 ? "" : `
            const told = self.postMessage;
            self.postMessage = (message, ...rest) => {
                if (message.result?.index === 0) performance.now = () => { throw new WebAssembly.RuntimeError("unreachable"); };
                told.call(self, message, ...rest);
            };`)(path, request, response);
    };
    const { page, quiet } = await open(await browser.newContext({ serviceWorkers: "block" }));
    await page.goto(`${server.url}foveate/package.json`);
    const { opened, lost, steps, same } = await page.evaluate(async (url) => {
        const { Engine } = await import(String("/foveate/index.js"));
        const lost = /** @type {string[]} */ ([]);
        const opened = /** @type {string[]} */ ([]);
        const engine = await Engine.create({ lost: ({ kind }) => lost.push(kind), opened: ({ adapter }) => opened.push(adapter.kind) });
        const model = await engine.load(url);
        const run = model.generate({ class: 7, steps: 3, seed: 3 }, { preview: false });
        const steps = [];
        for await (const { index } of run) steps.push(index);
        const [once, again] = [await run.image(), await model.generate({ class: 7, steps: 3, seed: 3 }).image()];
        engine.close();
        return { opened, lost, steps, same: once.data.every((value, i) => value === again.data[i]) };
    }, `/${TINY}`);
    assert.deepEqual({ opened, lost, steps, same }, { opened: ["cpu", "cpu"], lost: ["Broken"], steps: [0, 1, 2], same: true });
    await quiet(EXPECTED);
});

test("a run whose GPUs are lost for good goes on with the processor, unless a GPU was asked for", async () => {
    // The first device dies after the first step, all others at once.
    let workers = 0;
    server.hooks.now = (path, request, response) => {
        if (!path.startsWith("/foveate/worker.js")) return false;
        workers += 1;
        return inWorker(`${MORTAL}
            if (${workers} > 1) addEventListener("message", () => self.dieAt("GPUQueue", "submit", 1), { once: true });
            const told = self.postMessage;
            self.postMessage = (message, ...rest) => {
                if (message.result?.index === 0) self.dieAt("GPUQueue", "submit", 1);
                told.call(self, message, ...rest);
            };`)(path, request, response);
    };
    const { page, quiet } = await open(await mortal.newContext({ serviceWorkers: "block" }));
    await page.goto(`${server.url}foveate/package.json`);
    /** @param {string} adapter */
    const drawn = (adapter) => page.evaluate(async ({ url, adapter }) => {
        const { Engine } = await import(String("/foveate/index.js"));
        const opened = /** @type {[string, string | undefined][]} */ ([]);
        let lost = 0;
        const engine = await Engine.create({
            adapter, lost: () => lost++, opened: ({ adapter, instead }) => opened.push([adapter.kind, instead?.kind]),
        });
        const steps = [];
        try {
            const model = await engine.load(url);
            const run = model.generate({ class: 7, steps: 4, seed: 3 });
            for await (const { index, preview } of run) {
                preview?.close();
                steps.push(index);
            }
            return { opened, lost, steps, data: Array.from((await run.image()).data) };
        } catch (error) {
            return { opened, lost, steps, failure: error.kind };
        } finally {
            engine.close();
        }
    }, { url: `/${TINY}`, adapter });

    const fallen = await drawn("auto");
    assert.equal(fallen.failure, undefined);
    const gpus = fallen.opened.slice(0, -1);
    assert.ok(gpus.length >= 4 && gpus.every(([kind, instead]) => kind === "gpu" && instead === undefined), JSON.stringify(gpus));
    assert.deepEqual(fallen.opened.at(-1), ["cpu", "DeviceLost"]);
    assert.equal(fallen.lost, gpus.length);
    assert.deepEqual(fallen.steps, [0, 1, 2, 3], "it went on after the step that was finished");
    const alone = await drawn("cpu");
    assert.deepEqual(alone.opened, [["cpu", undefined]]);
    const agreement = psnr(fallen.data, alone.data, 4);
    assert.ok(agreement >= 40, `${agreement.toFixed(1)} dB`);

    // Two runs lose the last GPU together: both go on.
    workers = 0;
    const both = await page.evaluate(async (url) => {
        const { Engine } = await import(String("/foveate/index.js"));
        const engine = await Engine.create();
        const model = await engine.load(url);
        const runs = await Promise.allSettled([1, 2].map(() => model.generate({ class: 7, steps: 4, seed: 3 }).image()));
        engine.close();
        return { kind: engine.adapter.kind, runs: runs.map((run) => run.status === "fulfilled" ? Array.from(run.value.data) : String(run.reason)) };
    }, `/${TINY}`);
    assert.equal(both.kind, "cpu");
    for (const data of both.runs) {
        assert.ok(typeof data !== "string", String(data));
        const agreement = psnr(data, alone.data, 4);
        assert.ok(agreement >= 40, `${agreement.toFixed(1)} dB`);
    }

    workers = 0;
    const asked = await drawn("gpu");
    assert.deepEqual([asked.failure, asked.opened.every(([kind]) => kind === "gpu")], ["DeviceLost", true]);

    // The page asks for what its address says, and what was asked for needs no notice.
    await page.goto(`${server.url}?adapter=cpu#model=${TINY}`);
    await status(page, /^Ready/);
    assert.equal(await page.locator("#device dd").first().textContent(), NAME);
    assert.ok(await page.locator("#notice").isHidden());
    await quiet(EXPECTED);
});

/** A server that does not isolate the page, as most do. @type {import("./browser.js").Hook} */
const bare = (_, __, response) => {
    const write = response.writeHead.bind(response);
    response.writeHead = /** @type {any} */ ((/** @type {number} */ status, /** @type {Record<string, string>} */ headers) =>
        write(status, Object.fromEntries(Object.entries(headers ?? {}).filter(([name]) => !(name in ISOLATED)))));
    return false;
};

test("any number of threads draws the same bytes, and a page that is not isolated has one", async () => {
    /** @param {boolean} isolated */
    const drawn = async (isolated) => {
        server.hooks.now = isolated ? () => false : bare;
        const context = await browser.newContext({ serviceWorkers: "block" });
        const { page, quiet } = await open(context);
        await page.goto(server.url);
        await status(page, /^Ready/);
        assert.equal(await page.evaluate(() => crossOriginIsolated), isolated);
        assert.equal(await page.locator("#device dd").first().textContent(), isolated ? NAME : ALONE);
        await page.fill("#prompt", PROMPT);
        await page.fill("#steps", "2");
        await page.click("#generate");
        await status(page, /^Done/);
        const picture = await pixels(page);
        await quiet();
        await context.close();
        return picture;
    };
    try {
        assert.deepEqual(await drawn(true), await drawn(false));
    } finally {
        server.hooks.now = () => false;
    }
});

test("where the threads do not start, the one thread draws, and the console says why", async () => {
    server.hooks.now = (path, _, response) => path.startsWith("/foveate/threads/") && (response.writeHead(404, ISOLATED).end(), true);
    const { page, noise } = await open(await browser.newContext({ serviceWorkers: "block" }));
    try {
        await page.goto(server.url);
        await status(page, /^Ready/);
        assert.equal(await page.locator("#device dd").first().textContent(), ALONE);
        assert.ok(noise.some((line) => line.includes("one thread instead of")), noise.join("; "));
    } finally {
        server.hooks.now = () => false;
        await page.close();
    }
});
