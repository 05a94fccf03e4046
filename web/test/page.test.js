/** The page as its reader meets it, with the bundled model. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { DIST, launch, layersOf, open, pixels, psnr, site, status } from "./browser.js";
import { drawNatively } from "./native.js";

const PROMPT = "a blue boat at sea by night";
const WEIGHTS = "/models/scenes/transformer/diffusion_pytorch_model.safetensors";

/** @type {import("playwright-core").Browser} */
let browser;
/** @type {import("playwright-core").BrowserContext} */
let context;
/** @type {Awaited<ReturnType<typeof site>>} */
let server;
/** One page for the first tests: a device's pipelines are dear. @type {Awaited<ReturnType<typeof open>>} */
let visit;

before(async () => {
    browser = await launch();
    context = await browser.newContext({ viewport: { width: 360, height: 640 }, acceptDownloads: true });
    server = await site();
});
after(async () => {
    await browser?.close();
    await server?.close();
});

test("a cold visit on a small window and a slow network: paint, progress, picture; the native program agrees", async () => {
    let release = () => {};
    const held = new Promise((resolve) => (release = () => resolve(undefined)));
    server.hooks.now = async (path) => {
        if (path === WEIGHTS) await held;
        return false;
    };
    visit = await open(context);
    const { page } = visit;
    await page.goto(server.url);

    // The page stands before the model has come, and fits the window.
    await page.locator("#generate").waitFor();
    await status(page, /^Loading the model/);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false, "it scrolls sideways");

    // What is asked for meanwhile waits for the model, and can be taken back.
    await page.click("#generate");
    await page.click("#cancel");
    await page.locator("#generate").waitFor();
    await status(page, /^Loading the model/);
    await page.fill("#prompt", PROMPT);
    await page.fill("#seed", "5");
    await page.fill("#steps", "3");
    await page.locator('input[name=policy][value="dense"]').check();
    await page.press("#prompt", "Enter");
    release();
    await status(page, /^Step 1 of 3/);
    const half = await page.locator("#progress").evaluate((bar) => /** @type {HTMLProgressElement} */ (bar).value);
    assert.ok(half > 0 && half <= 1);
    await status(page, /^Done/);

    const native = drawNatively([PROMPT, "--seed", "5", "--steps", "3", "--compress", "dense"]);
    const drawn = (await pixels(page)).filter((_, i) => i % 4 !== 3);
    const agreement = psnr(drawn, native, 3);
    assert.ok(agreement >= 40, `${agreement.toFixed(1)} dB`);
    const other = drawNatively([PROMPT, "--seed", "6", "--steps", "3", "--compress", "dense"]);
    assert.ok(psnr(drawn, other, 3) < 30, "another seed should not agree");

    // The picture can be kept, with what made it, in the command line's words; the address makes it again.
    const [download] = await Promise.all([page.waitForEvent("download"), page.click("#download")]);
    const chunks = [];
    for await (const chunk of await download.createReadStream()) chunks.push(chunk);
    const png = Buffer.concat(chunks);
    const name = png.indexOf("tEXtfoveate\0");
    const text = png.toString("utf8", name + 12, name + 4 + png.readUInt32BE(name - 4));
    const { default: { version } } = await import(`${DIST}/foveate/package.json`, { with: { type: "json" } });
    const request = { seed: 5, steps: 3, guidance: 4.5, prompt: PROMPT, compression: { policy: "dense" } };
    assert.deepEqual(JSON.parse(text), { version, request, model: "scenes", scheduler: "DPMSolverMultistepScheduler", index: 0, count: 1 });
    assert.deepEqual(drawNatively(["--like", await download.path()]), native, "the native program draws it again");
    const hash = new URLSearchParams(new URL(page.url()).hash.slice(1));
    assert.deepEqual([hash.get("prompt"), hash.get("seed"), hash.get("steps")], [PROMPT, "5", "3"]);

    // Earlier steps can be looked at again.
    await page.locator("#scrub-step").fill("1");
    assert.notDeepEqual((await pixels(page)).filter((_, i) => i % 4 !== 3), drawn);

});

test("diffcr does less work than dense, says so, and shows where; cancelling ends within a step", async () => {
    const { page } = visit;
    await page.locator('input[name=policy][value="diffcr"]').check();
    assert.ok(await page.locator("#matrix").isVisible(), "the kept ratios are shown");
    const layers = await layersOf("scenes");
    assert.match(await page.locator("#matrix").getAttribute("aria-label") ?? "", RegExp(`^${layers} layers across`));
    await page.click("#compare");
    await status(page, /^Done/);

    const rows = await page.locator("#compare-rows tr").allTextContents();
    assert.equal(rows.length, 2);
    assert.match(rows[0], /^dense/);
    assert.match(rows[1], /^diffcr/);
    const saved = /(\d+(?:\.\d+)?) % less work/.exec(await page.textContent("#compare-verdict") ?? "");
    assert.ok(saved && Number(saved[1]) > 5 && Number(saved[1]) < 60, "the verdict names what was saved");
    assert.equal(await page.textContent("#figure-saved"), `${saved[1]} %`, "a run alone says the same");

    // The map dims what the chosen layer left out, and can be switched off.
    assert.ok(await page.locator("#veil").isVisible());
    await page.locator("#scrub-layer").fill("5");
    const layer = RegExp(`5 of ${layers}: (\\d+(?:\\.\\d+)?) % computed`).exec(await page.textContent("#scrub-layer-value") ?? "");
    assert.ok(layer && Number(layer[1]) >= 30 && Number(layer[1]) < 100);
    await page.locator("#show-tokens").uncheck();
    assert.ok(await page.locator("#veil").isHidden());

    // The compressed one is what the native program draws, too.
    const native = drawNatively([PROMPT, "--seed", "5", "--steps", "3", "--compress", "diffcr"]);
    const agreement = psnr((await pixels(page, "compare-compressed")).filter((_, i) => i % 4 !== 3), native, 3);
    assert.ok(agreement >= 40, `${agreement.toFixed(1)} dB`);

    // Cancelling ends within a step, and what follows works.
    await page.fill("#steps", "50");
    await page.click("#generate");
    await status(page, /^Step 2 of 50/);
    await page.click("#cancel");
    await status(page, /^Cancelled/);
    const taken = Number(await page.locator("#scrub-step").getAttribute("max"));
    assert.ok(taken <= 4, `${taken} steps`);
    await page.fill("#steps", "1");
    await page.click("#generate");
    await status(page, /^Done/);
    assert.equal(Number(await page.locator("#scrub-step").getAttribute("max")), 1);
});

test("sdtm and tome, which need no training, and the step cache: less work, maps where tokens merged, and the native program agrees", async () => {
    const { page, quiet } = visit;
    const choose = (/** @type {string} */ name) => page.locator(`input[name=policy][value="${name}"]`).check();
    const saved = async () => Number(/^(\d+(?:\.\d+)?) %$/.exec(await page.textContent("#figure-saved") ?? "")?.[1]);
    const layer = () => page.textContent("#scrub-layer-value");
    const last = String(await layersOf("scenes"));

    // The slider says what holds until it is moved.
    for (const [name, label, value] of [["tome", "as published", "50"], ["diffcr", "as trained", "30"], ["sdtm", "as published", "30"]]) {
        await choose(name);
        assert.deepEqual([await page.textContent("#ratio-value"), await page.inputValue("#ratio")], [label, value], name);
    }
    await choose("kv");
    assert.ok(await page.locator("#ratio-field").isHidden(), "it has no ratio");
    assert.match(await page.textContent("#policy-hint") ?? "", /^Pooled keys and values .*\.$/);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false, "it scrolls sideways");

    // Comparing makes sense with the cache alone, too.
    await choose("dense");
    assert.ok(await page.locator("#compare").isDisabled());
    await page.locator("#step-cache").check();
    assert.ok(await page.locator("#compare").isEnabled());

    await page.fill("#steps", "3");
    await choose("sdtm");
    await page.click("#compare");
    await status(page, /^Done/);
    assert.match(page.url(), /policy=sdtm&cache=2/);
    const rows = await page.locator("#compare-rows tr th").allTextContents();
    assert.deepEqual([...rows, await page.textContent("#compare-caption")], ["dense", "sdtm + cache", "sdtm + cache"]);
    assert.ok(await saved() > 5, "less work than dense");

    // The first step is protected, the second reuses what it computed in the inner blocks, the third merges tokens everywhere.
    await page.locator("#scrub-layer").fill("0");
    assert.match(await layer() ?? "", /^all: \d+ % keep a row$/);
    assert.ok(await page.locator("#veil").isHidden(), "switched off above");
    await page.locator("#show-tokens").check();
    assert.ok(await page.locator("#veil").isVisible());
    await page.locator("#scrub-layer").fill("5");
    assert.match(await layer() ?? "", RegExp(`^5 of ${last}: \\d+ % keep a row$`));
    await page.locator("#scrub-step").fill("2");
    assert.deepEqual([await page.textContent("#scrub-step-value"), await layer()], ["2 of 3, inner blocks reused", `5 of ${last}: reused`]);
    assert.ok(await page.locator("#veil").isHidden());
    await page.locator("#scrub-layer").fill(last);
    assert.match(await layer() ?? "", RegExp(`^${last} of ${last}: \\d+ % keep a row$`));
    await page.locator("#scrub-step").fill("1");
    assert.equal(await layer(), `${last} of ${last}: nothing merged`);
    assert.ok(await page.locator("#veil").isHidden());

    // Both programs draw the same destinations from the same seed.
    await page.locator("#step-cache").uncheck();
    await choose("tome");
    await page.click("#generate");
    await status(page, /^Done/);
    assert.ok(await saved() > 5, "less work than dense");
    const native = drawNatively([PROMPT, "--seed", "5", "--steps", "3", "--compress", "tome"]);
    const agreement = psnr((await pixels(page)).filter((_, i) => i % 4 !== 3), native, 3);
    assert.ok(agreement >= 40, `${agreement.toFixed(1)} dB`);
    await quiet();
});

test("the fastest kernels are looked for on a button, kept in this browser, and forgotten on another", async () => {
    const { page, quiet } = await open(context);
    await page.goto(server.url);
    await status(page, /^Ready/);
    await page.locator("#device-panel summary").click();
    const variants = () => page.locator("#device div", { hasText: "variants of kernels" }).locator("dd").textContent();
    assert.equal(await variants(), "estimated");
    await page.click("#tune");
    await status(page, /^Measuring product/);
    await page.click("#cancel");
    await status(page, /^Cancelled/);
    assert.equal(await page.evaluate(() => localStorage.getItem("foveate.tuning")), null);

    await page.click("#tune");
    await status(page, /^Done: the (fastest kernels are in use|estimates are the fastest here)\.$/);
    const kept = JSON.parse(await page.evaluate(() => localStorage.getItem("foveate.tuning")) ?? "null");
    const { choices, measured } = JSON.parse(kept.text);
    const followed = Object.keys(choices).length > 0;
    assert.ok(measured.length > 0);
    assert.match(await variants() ?? "", followed ? /^measured here \([0-9a-f]{8}\)$/ : /^estimated$/);

    // What another version kept, and what is no tuning at all, is no obstacle to the next visit.
    for (const text of [kept.text.replace(/"shaders": *"[^"]*"/, '"shaders": "0"'), '{"adapter": 1}']) {
        await page.evaluate((item) => localStorage.setItem("foveate.tuning", item), JSON.stringify({ ...kept, text }));
        await page.reload();
        await status(page, /^Ready/);
        assert.equal(await variants(), "estimated");
    }
    await page.evaluate((item) => localStorage.setItem("foveate.tuning", item), JSON.stringify(kept));
    await page.reload();
    await status(page, /^Ready/);
    assert.equal(await page.locator("#untune").isHidden(), !followed, "a later visit follows it");
    await page.locator("#device-panel summary").click();
    if (followed) {
        await page.click("#untune");
        await status(page, /^Done: kernels follow their estimates/);
        assert.equal(await page.evaluate(() => localStorage.getItem("foveate.tuning")), null);
        assert.equal(await variants(), "estimated");
    }
    await quiet();
    await page.close();
});

test("the second visit loads from storage: with the model files gone, and without a network", async () => {
    server.hooks.now = (path, _, response) => {
        if (!path.startsWith("/models/")) return false;
        response.writeHead(404).end();
        return true;
    };
    const second = await open(context);
    await second.page.goto(server.url);
    await status(second.page, /^Ready/);
    assert.match(await second.page.textContent("#model-facts") ?? "", /from this browser's storage/);
    // The browser itself tells the console of every 404.
    await second.quiet(/404/);

    await server.close();
    const third = await open(context);
    await third.page.goto(server.url);
    await status(third.page, /^Ready/);
    assert.match(await third.page.textContent("#model-facts") ?? "", /from this browser's storage/);
    await third.quiet(/ERR_CONNECTION_REFUSED/);
});

test("the build is what a package needs", async () => {
    const { default: manifest } = await import(`${DIST}/foveate/package.json`, { with: { type: "json" } });
    const { readdirSync } = await import("node:fs");
    const files = readdirSync(`${DIST}/foveate`);
    for (const needed of [manifest.main, manifest.types, "./foveate_bg.wasm", "./worker.js", "./README.md", "./LICENSE-MIT"]) {
        assert.ok(files.includes(needed.slice(2)), needed);
    }
});
