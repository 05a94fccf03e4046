/** Learned routing in the page, with a small routed model of the goldens; and a device that dies while it draws. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { inWorker, launch, open, pixels, psnr, RECORD_DEVICES, ROOT, site, status } from "./browser.js";
import { drawNatively } from "./native.js";

const MODEL = "goldens/routed/pixart_alpha_block/model";
const PROMPT = "a red house";
/** The model has no tokenizer.json, and the browser tells the console that the server says so. */
const EXPECTED = /404/;

/** @type {import("playwright-core").Browser} */
let browser;
/** @type {Awaited<ReturnType<typeof site>>} */
let server;
/** @type {Awaited<ReturnType<typeof open>>} */
let visit;

before(async () => {
    browser = await launch();
    server = await site(inWorker(RECORD_DEVICES));
    visit = await open(await browser.newContext({ serviceWorkers: "block" }));
    const request = new URLSearchParams({ model: MODEL, prompt: PROMPT, seed: "3", steps: "4", policy: "diffcr" });
    await visit.page.goto(`${server.url}#${request}`);
    await status(visit.page, /^Ready/);
});
after(async () => {
    await browser?.close();
    await server?.close();
});

test("diffcr does less work than dense, says so, and shows where; the native program agrees", async () => {
    const { page } = visit;
    assert.ok(await page.locator("#matrix").isVisible(), "the kept ratios are shown");
    assert.match(await page.locator("#matrix").getAttribute("aria-label") ?? "", /layers across/);
    await page.click("#compare");
    await status(page, /^Done/);

    const rows = await page.locator("#compare-rows tr").allTextContents();
    assert.equal(rows.length, 2);
    assert.match(rows[0], /^dense/);
    assert.match(rows[1], /^diffcr/);
    const saved = /(\d+(?:\.\d+)?) % less work/.exec(await page.textContent("#compare-verdict") ?? "");
    assert.ok(saved && Number(saved[1]) > 0 && Number(saved[1]) < 100, "the verdict names what was saved");
    assert.equal(await page.textContent("#figure-saved"), `${saved[1]} %`, "a run alone says the same");

    // The map dims what the chosen layer left out, and can be switched off.
    assert.ok(await page.locator("#veil").isVisible());
    await page.locator("#scrub-layer").fill("1");
    const layer = /1 of \d+: (\d+(?:\.\d+)?) % computed/.exec(await page.textContent("#scrub-layer-value") ?? "");
    assert.ok(layer && Number(layer[1]) > 0 && Number(layer[1]) <= 100);
    await page.locator("#show-tokens").uncheck();
    assert.ok(await page.locator("#veil").isHidden());

    const options = [PROMPT, "--model", `${ROOT}/tests/${MODEL}`, "--seed", "3", "--steps", "4", "--guidance", "4.5"];
    for (const [id, policy] of [["compare-dense", "dense"], ["compare-compressed", "diffcr"]]) {
        const drawn = (await pixels(page, id)).filter((_, i) => i % 4 !== 3);
        const agreement = psnr(drawn, drawNatively([...options, "--compress", policy]), 3);
        assert.ok(agreement >= 40, `${policy}: ${agreement.toFixed(1)} dB`);
    }
});

test("a killed device is replaced, and the run goes on to the same picture", async () => {
    const { page, quiet } = visit;
    await page.click("#generate");
    await status(page, /^Done/);
    const undisturbed = await pixels(page);

    const [first] = page.workers();
    await page.click("#generate");
    await status(page, /^Step 2 of 4/);
    await first.evaluate(() => /** @type {any} */ (self).devices.at(-1).destroy());
    await status(page, /GPU was lost/);
    await status(page, /^Done/);
    assert.deepEqual(await pixels(page), undisturbed);
    const [second] = page.workers();
    assert.notEqual(second, first);
    assert.equal(Number(await page.locator("#scrub-step").getAttribute("max")), 4, "no step was taken twice");

    // An idle one too.
    await second.evaluate(() => /** @type {any} */ (self).devices.at(-1).destroy());
    await page.click("#generate");
    await status(page, /^Done/);
    assert.deepEqual(await pixels(page), undisturbed);
    await quiet(EXPECTED);
});
