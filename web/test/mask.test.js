/** The page with a picture to begin with: taken, painted on by mouse, pen, touch and keys, and drawn into. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { launch, open, psnr, site, status, WITHOUT_GPU } from "./browser.js";
import { fileOfNative } from "./native.js";
import { pixelsOf, png, said } from "./png.js";

const MODEL = "goldens/routed/dit_mlp/model";
const REQUEST = "class=7&seed=3&steps=3";
/** What the browser itself tells the console of files that are not there. */
const EXPECTED = /Failed to load resource/;
/** A photo of another size and ratio than the model's 20 by 20. */
const [WIDTH, HEIGHT] = [150, 100];

/** @param {number} x @param {number} y */
const colour = (x, y) => [(3 * x) % 256, (5 * y + 9) % 256, (x + y) % 256];
const PHOTO = png(WIDTH, HEIGHT, colour);

/** @type {import("playwright-core").Browser} */
let browser;
/** @type {Awaited<ReturnType<typeof site>>} */
let server;
/** A large window, with a mouse. @type {Awaited<ReturnType<typeof open>>} */
let visit;

before(async () => {
    [browser, server] = await Promise.all([launch(WITHOUT_GPU), site()]);
    visit = await arrive({ viewport: { width: 1280, height: 900 } });
});
after(async () => {
    await browser?.close();
    await server?.close();
});

/** Opens the page, and notes what moves in it by itself. @param {import("playwright-core").BrowserContextOptions} options */
async function arrive(options) {
    const visit = await open(await browser.newContext({ serviceWorkers: "block", acceptDownloads: true, ...options }));
    await visit.page.addInitScript(() => {
        Object.assign(globalThis, { jumped: 0 });
        new PerformanceObserver((list) => {
            const moved = (/** @type {any} */ { node, previousRect, currentRect }) => previousRect.y !== currentRect.y && node?.parentElement?.closest("#request, #frame, #mask");
            for (const entry of /** @type {any[]} */ (list.getEntries())) if (entry.sources.some(moved)) /** @type {any} */ (globalThis).jumped += entry.value;
        }).observe({ type: "layout-shift", buffered: true });
    });
    await visit.page.goto(`${server.url}#model=${MODEL}&${REQUEST}`);
    await status(visit.page, /^Ready/);
    return visit;
}

/** @typedef {import("playwright-core").Page} Page */

/** Chooses a file. @param {Page} page @param {Buffer} file */
async function choose(page, file, name = "photo.png") {
    await page.setInputFiles("#begin-file", { name, mimeType: "image/png", buffer: file });
}

/** @param {Page} page */
const facts = (page) => page.textContent("#begin-facts");
/** The page says so once the mask's dialog has ended: that event comes after the dialog is out of sight. @param {Page} page @param {RegExp} what */
async function says(page, what) {
    for (let tries = 0; tries < 50 && !what.test(await facts(page) ?? ""); tries++) await page.waitForTimeout(100);
    assert.match(await facts(page) ?? "", what);
}
/** @param {Page} page */
const share = async (page) => Number(/^([\d.]+) % is marked$/.exec(await page.textContent("#mask-share") ?? "")?.[1] ?? 0) / 100;

/** Where a place of the picture is on the screen: the picture fills the sheet as far as its ratio allows. @param {Page} page */
async function screen(page, border = { left: 0, top: 0, width: WIDTH, height: HEIGHT }) {
    const box = await page.locator("#mask-sheet").boundingBox();
    assert.ok(box);
    const scale = Math.min(box.width / border.width, box.height / border.height);
    const [left, top] = [box.x + (box.width - border.width * scale) / 2, box.y + (box.height - border.height * scale) / 2];
    return (/** @type {number} */ x, /** @type {number} */ y) => ({ x: left + (x + border.left) * scale, y: top + (y + border.top) * scale });
}

/** From here on what moves is counted; what was done before has reached the screen. @param {Page} page */
async function still(page) {
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    await page.waitForTimeout(100);
    await page.evaluate(() => Object.assign(globalThis, { jumped: 0 }));
}

/** How much moved by itself since then. @param {Page} page */
const jumped = (page) => page.evaluate(() => /** @type {any} */ (globalThis).jumped);

/** Draws, and gives the file that the page makes of it. @param {Page} page */
async function drawn(page) {
    await page.click("#generate");
    await status(page, /^Done/);
    return downloaded(page, "#download");
}

/** @param {Page} page @param {string} by the button that saves it */
async function downloaded(page, by) {
    const [download] = await Promise.all([page.waitForEvent("download"), page.click(by)]);
    return readFileSync(await download.path());
}

/** The mask that was painted, as it is saved: whether it marks a pixel. @param {Page} page */
async function saved(page) {
    const file = await downloaded(page, "#mask-save");
    const { width, height, rgb } = pixelsOf(file);
    assert.deepEqual([width, height], [WIDTH, HEIGHT]);
    return { file, marks: (/** @type {number} */ x, /** @type {number} */ y) => rgb[3 * (y * width + x)] === 255 };
}

/** Outside the mask all is the photo's, and inside it is not. @param {Buffer} file @param {(x: number, y: number) => boolean} marks */
function check(file, marks) {
    const { width, height, rgb } = pixelsOf(file);
    assert.deepEqual([width, height], [WIDTH, HEIGHT]);
    let [marked, changed] = [0, 0];
    for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
            const same = colour(x, y).every((value, channel) => rgb[3 * (y * width + x) + channel] === value);
            if (marks(x, y)) [marked, changed] = [marked + 1, changed + Number(!same)];
            else assert.ok(same, `(${x}, ${y}) is not marked and was changed`);
        }
    }
    assert.ok(marked > 0 && changed > 0.9 * marked, `${changed} of ${marked} marked pixels were drawn`);
    return marked / (width * height);
}

test("a picture is chosen, dropped and pasted; what is none is refused, and the one before stays", async () => {
    const { page } = visit;
    await choose(page, PHOTO);
    await page.waitForFunction(() => document.getElementById("begin-facts")?.textContent === "150 × 100");
    assert.match(await page.textContent("#strength-value") ?? "", /^0\.8, as usual$/);
    assert.ok(await page.locator("#feather-field").isHidden() && await page.locator("#masked-field").isHidden(), "nothing is masked");

    /** @param {string} event @param {Buffer} file @param {string} type */
    const hand = (event, file, type) => page.evaluate(({ event, file, type }) => {
        const data = new DataTransfer();
        data.items.add(new File([Uint8Array.from(atob(file), (letter) => letter.charCodeAt(0))], "given", { type }));
        const told = event === "paste" ? new ClipboardEvent(event, { clipboardData: data, bubbles: true, cancelable: true })
            : new DragEvent(event, { dataTransfer: data, bubbles: true, cancelable: true });
        document.body.dispatchEvent(told);
        return told.defaultPrevented;
    }, { event, file: file.toString("base64"), type });
    assert.ok(await hand("dragover", PHOTO, "image/png"));
    assert.match(await page.locator("#begin-field").getAttribute("class") ?? "", /dropping/);
    assert.ok(await hand("drop", png(40, 60, colour), "image/png"));
    await page.waitForFunction(() => document.getElementById("begin-facts")?.textContent === "40 × 60");
    assert.doesNotMatch(await page.locator("#begin-field").getAttribute("class") ?? "", /dropping/);
    assert.ok(await hand("paste", png(33, 22, colour), "image/png"));
    await page.waitForFunction(() => document.getElementById("begin-facts")?.textContent === "33 × 22");
    assert.equal(await hand("paste", Buffer.from("text"), "text/plain"), false, "text is pasted where it belongs");

    await choose(page, PHOTO.subarray(0, 200), "half.png");
    await page.locator("#trouble[data-kind=Picture]").waitFor();
    assert.deepEqual(await page.locator("#trouble p").allTextContents(), ["That picture cannot be read.", "half.png: it cannot be read as a picture: unexpected end of file"]);
    assert.equal(await facts(page), "33 × 22");
    await page.click("#begin-without");
    assert.ok(await page.locator("#begin-choose").isVisible() && await page.locator("#begin-here").isHidden());
});

test("by mouse: brush, eraser, rectangle, undo, redo, clear, invert; outside of what is marked the picture stays to the bit", async () => {
    const { page } = visit;
    await choose(page, PHOTO);
    await page.waitForFunction(() => document.getElementById("begin-facts")?.textContent === "150 × 100");
    // From here on nothing moves under the reader's hands, but for what a mask adds to the form.
    await still(page);
    await page.click("#begin-paint");
    assert.ok(await page.locator("#mask-sheet").evaluate((sheet) => document.activeElement === sheet));
    const at = await screen(page);
    /** @param {[number, number][]} places */
    const drag = async (...places) => {
        const [first, ...rest] = places.map(([x, y]) => at(x, y));
        await page.mouse.move(first.x, first.y);
        await page.mouse.down();
        for (const { x, y } of rest) await page.mouse.move(x, y, { steps: 4 });
        await page.mouse.up();
    };
    const tool = (/** @type {string} */ name) => page.locator(`input[name=tool][value=${name}]`).check();

    await tool("rectangle");
    await drag([20, 30], [80, 70]);
    const rectangle = 60 * 40 / (WIDTH * HEIGHT);
    assert.ok(Math.abs(await share(page) - rectangle) < 0.01, `${await share(page)}`);
    await tool("eraser");
    await page.locator("#mask-size").fill("60");
    await drag([20, 50], [120, 50]);
    const erased = await share(page);
    assert.ok(erased < 0.75 * rectangle && erased > 0.4 * rectangle, `${erased}`);
    await tool("brush");
    await drag([120, 20], [130, 80]);
    const brushed = await share(page);
    assert.ok(brushed > erased + 0.03);

    // Every change is taken back whole, and made again.
    await page.click("#mask-invert");
    assert.ok(Math.abs(await share(page) - (1 - brushed)) < 0.011);
    await page.click("#mask-clear");
    assert.equal(await page.textContent("#mask-share"), "nothing is marked");
    assert.ok(await page.locator("#mask-clear").isDisabled() && await page.locator("#mask-save").isDisabled());
    for (const before of [1 - brushed, brushed, erased]) {
        await page.click("#mask-undo");
        assert.ok(Math.abs(await share(page) - before) < 0.011, `${await share(page)} instead of ${before}`);
    }
    await page.click("#mask-redo");
    assert.equal(await share(page), brushed);

    const { file: mask, marks } = await saved(page);
    for (const [x, y, is] of /** @type {[number, number, boolean][]} */ ([[22, 32, true], [78, 68, true], [18, 50, false], [50, 50, false], [125, 50, true], [140, 50, false], [50, 28, false], [82, 40, false]])) {
        assert.equal(marks(x, y), is, `(${x}, ${y})`);
    }
    assert.equal(await jumped(page), 0);
    await page.click("#mask-done");
    await says(page, /^150 × 100, \d+ % is masked$/);
    await still(page);
    assert.match(await page.textContent("#strength-value") ?? "", /^1, as usual$/);
    assert.ok(await page.locator("#masked").isChecked(), "only the mask is computed, unless the reader says otherwise");

    const picture = await drawn(page);
    const marked = check(picture, marks);
    assert.ok(Math.abs(marked - brushed) < 0.01, `${marked} instead of ${brushed}`);
    assert.equal(await jumped(page), 0);
    assert.ok(await page.locator("#share").isHidden(), "a link could not make it again");
    assert.equal(await page.locator("#picture").evaluate((on) => `${/** @type {HTMLCanvasElement} */ (on).width}x${/** @type {HTMLCanvasElement} */ (on).height}`), "150x100");
    // It says how it was made, and the command line makes it again with the mask that was saved.
    const { request, given } = JSON.parse(said(picture).foveate);
    assert.deepEqual([request.compression.masked, given], ["every=10,around=1,decode=1", ["image", "mask"]]);
    const native = fileOfNative(["--like", "@like", "--image", "@image", "--mask", "@mask", "--model", `tests/${MODEL}`, "--adapter", "cpu"], { like: picture, image: PHOTO, mask });
    const agreement = psnr(pixelsOf(picture).rgb, native.rgb, 3);
    assert.ok(agreement >= 60, `${agreement.toFixed(1)} dB`);

    // A policy that cannot choose among the tokens computes all of them.
    await page.locator("input[name=policy][value=tome]").check();
    assert.ok(await page.locator("#masked").isDisabled());
    assert.match(await page.textContent("#masked-hint") ?? "", /not with this policy/);
    await page.locator("input[name=policy][value=kv]").check();
    check(await drawn(page), marks);
    await page.locator("input[name=policy][value=dense]").check();
    assert.ok(await page.locator("#masked").isEnabled() && await page.locator("#masked").isChecked());

    // A feather changes what is near, and no more.
    await page.fill("#feather", "4");
    const feathered = pixelsOf(await drawn(page)).rgb;
    const near = (/** @type {number} */ x, /** @type {number} */ y) => {
        for (let v = y - 4; v <= y + 4; v++) for (let u = x - 4; u <= x + 4; u++) if (u >= 0 && v >= 0 && u < WIDTH && v < HEIGHT && marks(u, v)) return true;
        return false;
    };
    let beside = 0;
    for (let y = 0; y < HEIGHT; y++) {
        for (let x = 0; x < WIDTH; x++) {
            const same = colour(x, y).every((value, channel) => feathered[3 * (y * WIDTH + x) + channel] === value);
            assert.ok(same || near(x, y), `(${x}, ${y})`);
            beside += Number(!same && !marks(x, y));
        }
    }
    assert.ok(beside > 100, `${beside} pixels beside the mask fade`);
    await page.fill("#feather", "0");
});

test("beyond its edges, and on with what was drawn", async () => {
    const { page } = visit;
    await page.click("#begin-paint");
    await page.click("#mask-clear");
    await page.locator("#mask-beyond summary").click();
    await page.fill("#beyond-left", "20");
    await page.fill("#beyond-bottom", "999");
    await page.press("#beyond-bottom", "Tab");
    assert.equal(await page.inputValue("#beyond-bottom"), "200");
    await page.fill("#beyond-bottom", "50");
    await page.press("#mask-sheet", "Escape");
    assert.ok(await page.locator("#mask").isHidden());
    await says(page, /^150 × 100, drawn to 180 × 150$/);
    assert.ok(await page.locator("#fit-field").isHidden());
    const file = await drawn(page);
    const { width, height, rgb } = pixelsOf(file);
    assert.deepEqual([width, height], [180, 150]);
    let changed = 0;
    for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
            const same = colour(x - 30, y).every((value, channel) => rgb[3 * (y * width + x) + channel] === (value + 256) % 256);
            if (x >= 30 && y < 100) assert.ok(same, `(${x}, ${y})`);
            else changed += Number(!same);
        }
    }
    assert.ok(changed > 10_000, `${changed}`);
    assert.deepEqual(JSON.parse(said(file).foveate).given, ["image", "mask"]);

    await page.click("#begin-with-it");
    await page.waitForFunction(() => document.getElementById("begin-facts")?.textContent === "180 × 150");
    await page.locator("#strength").fill("0.4");
    assert.equal(await page.textContent("#strength-value"), "0.4");
    const changedPicture = await drawn(page);
    assert.equal(JSON.parse(said(changedPicture).foveate).request.strength, 0.4);
    assert.equal(await page.locator("#scrub-step").getAttribute("max"), "1", "of three steps 0.4 leave one");
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false, "it scrolls sideways");
    await visit.quiet(EXPECTED);
});

test("by touch and by pen on a small window", async () => {
    const { page, quiet } = await arrive({ viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
    await choose(page, PHOTO);
    await page.locator("#begin-paint").tap();
    const dialog = await page.locator("#mask").boundingBox();
    assert.ok(dialog && dialog.x >= 0 && dialog.x + dialog.width <= 360 && dialog.y + dialog.height <= 740, JSON.stringify(dialog));
    for (const id of ["mask-sheet", "mask-done", "mask-undo", "mask-size"]) {
        const box = await page.locator(`#${id}`).boundingBox();
        assert.ok(box && box.y + box.height <= 740 && box.x + box.width <= 360, `${id} is in sight`);
    }
    const at = await screen(page);
    const devtools = await page.context().newCDPSession(page);
    /** @param {string} type @param {number[][]} places */
    const touch = (type, ...places) => devtools.send("Input.dispatchTouchEvent", { type: /** @type {any} */ (type), touchPoints: places.map(([x, y], id) => ({ ...at(x, y), id })) });
    await touch("touchStart", [30, 50]);
    for (let x = 35; x <= 90; x += 5) await touch("touchMove", [x, 50]);
    // A second finger paints nothing.
    await touch("touchMove", [90, 50], [20, 90]);
    await touch("touchEnd");
    const touched = await share(page);
    assert.ok(touched > 0.02 && touched < 0.2, `${touched}`);
    assert.equal(await page.evaluate(() => scrollY + (document.getElementById("mask")?.scrollTop ?? 0)), 0, "the window stays where it is");
    // What the system takes away is dropped.
    await touch("touchStart", [30, 80]);
    await touch("touchMove", [60, 80]);
    await touch("touchCancel");
    assert.equal(await share(page), touched);

    /** @param {"mousePressed" | "mouseMoved" | "mouseReleased"} type @param {number} x @param {number} y */
    const pen = (type, x, y, button = "left") => devtools.send("Input.dispatchMouseEvent", {
        type, ...at(x, y), button: /** @type {any} */ (button), buttons: type === "mouseReleased" ? 0 : 1, clickCount: 1, pointerType: "pen",
    });
    await pen("mousePressed", 120, 20);
    await pen("mouseMoved", 120, 50);
    await pen("mouseReleased", 120, 80);
    assert.ok(await share(page) > touched + 0.01);
    const { marks } = await saved(page);
    assert.deepEqual([[60, 50], [120, 50], [60, 80], [20, 90], [100, 50]].map(([x, y]) => marks(x, y)), [true, true, false, false, false]);
    await page.locator("#mask-done").tap();
    check(await drawn(page), marks);
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth), false, "it scrolls sideways");
    await quiet(EXPECTED);
});

test("by keys alone, with words for those who do not see it", async () => {
    const { page, quiet } = await arrive({ viewport: { width: 1280, height: 900 } });
    await choose(page, PHOTO);
    // What is hidden while the photo is read takes no focus.
    await page.waitForSelector("#begin-paint", { state: "visible" });
    await page.focus("#begin-paint");
    await page.keyboard.press("Enter");
    const said = () => page.textContent("#mask-said");
    const label = () => page.getAttribute("#mask-sheet", "aria-label");
    assert.equal(await label(), "Mask of the picture: nothing is marked");
    assert.equal(await page.getAttribute("#mask-sheet", "aria-describedby"), "mask-help");

    // The brush is in the middle. It moves by its radius, and with Shift by a tenth of it.
    await page.keyboard.press("ArrowRight");
    const [, first] = /^([\d.]+) % from the left, 50 % from the top, not marked$/.exec(await said() ?? "") ?? assert.fail(await said() ?? "");
    await page.keyboard.press("Shift+ArrowRight");
    const [, second] = /^([\d.]+) % from the left/.exec(await said() ?? "") ?? [];
    assert.ok(Number(first) > 50 && Number(second) >= Number(first) && Number(second) - Number(first) < (Number(first) - 50) / 2, `${first} ${second}`);
    await page.keyboard.press("]");
    assert.match(await said() ?? "", /^Size [\d.]+ %$/);
    await page.keyboard.press("[");
    await page.keyboard.down(" ");
    for (let step = 0; step < 4; step++) await page.keyboard.press("ArrowDown");
    await page.keyboard.up(" ");
    const stroke = await share(page);
    assert.ok(stroke > 0.01);
    assert.match(await label() ?? "", /^Mask of the picture: [\d.]+ % is marked$/);
    await page.keyboard.press("Shift+ArrowUp");
    assert.match(await said() ?? "", /, marked$/);

    await page.keyboard.press("Control+z");
    assert.equal(await said(), "Undone: nothing is marked");
    await page.keyboard.press("Control+y");
    assert.equal(await share(page), stroke);

    // A rectangle: Space at two corners. Escape leaves it, and only then the mask.
    await page.locator("input[name=tool][value=rectangle]").focus();
    await page.keyboard.press("Space");
    await page.focus("#mask-sheet");
    await page.keyboard.press("Space");
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("Escape");
    assert.ok(await page.locator("#mask").isVisible());
    assert.equal(await share(page), stroke);
    await page.keyboard.press("Space");
    for (let step = 0; step < 4; step++) await page.keyboard.press("ArrowLeft");
    for (let step = 0; step < 3; step++) await page.keyboard.press("ArrowUp");
    await page.keyboard.press("Space");
    assert.ok(await share(page) > stroke);
    const { marks } = await saved(page);
    await page.focus("#mask-sheet");
    await page.keyboard.press("Escape");
    assert.ok(await page.locator("#mask").isHidden());
    assert.equal(await page.evaluate(() => document.activeElement?.id), "begin-paint", "the focus is where it came from");
    check(await drawn(page), marks);
    await quiet(EXPECTED);
});
