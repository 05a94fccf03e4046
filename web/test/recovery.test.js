/** A device that dies: while it draws, and while nothing happens. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { inWorker, launch, open, pixels, RECORD_DEVICES, site, status } from "./browser.js";

/** @type {import("playwright-core").Browser} */
let browser;
/** @type {Awaited<ReturnType<typeof site>>} */
let server;

before(async () => {
    browser = await launch();
    server = await site(inWorker(RECORD_DEVICES));
});
after(async () => {
    await browser?.close();
    await server?.close();
});

test("a killed device is replaced, and the run goes on after its last step to the same picture", async () => {
    const { page, quiet } = await open(await browser.newContext({ serviceWorkers: "block" }));
    const request = new URLSearchParams({ model: "goldens/routed/dit_mlp/model", class: "7", seed: "3", steps: "4", policy: "diffcr" });
    await page.goto(`${server.url}#${request}`);
    await status(page, /^Ready/);
    await page.click("#generate");
    await status(page, /^Done/);
    const undisturbed = await pixels(page);

    const [first] = page.workers();
    const kill = () => page.workers()[0].evaluate(() => /** @type {any} */ (self).devices.at(-1).destroy());
    await page.click("#generate");
    await status(page, /^Step 2 of 4/);
    await kill();
    await status(page, /GPU was lost/);
    await status(page, /^Done/);
    assert.deepEqual(await pixels(page), undisturbed);
    assert.notEqual(page.workers()[0], first);
    assert.equal(Number(await page.locator("#scrub-step").getAttribute("max")), 4, "no step was taken twice");

    // An idle one is missed by the next request.
    const second = page.workers()[0];
    await kill();
    await page.click("#generate");
    await status(page, /Preparing/);
    assert.notEqual(page.workers()[0], second);
    await page.click("#cancel");
    await status(page, /^Cancelled/);
    // The browser itself tells the console of files that are not there.
    await quiet(/Failed to load resource/);
});
