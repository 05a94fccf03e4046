/** The package without the page: canvas, cancelling, and what is kept in the browser's storage. */

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { launch, open, psnr, ROOT, site } from "./browser.js";
import { fileOfNative } from "./native.js";
import { png } from "./png.js";

const TINY = "goldens/routed/dit_mlp/model";
const SCENES = "models/scenes";
const WEIGHTS = "/models/scenes/transformer/diffusion_pytorch_model.safetensors";
/** What the browser itself tells the console of a request that fails. */
const EXPECTED = /Failed to load resource/;

/** @type {import("playwright-core").Browser} */
let browser;
/** @type {Awaited<ReturnType<typeof site>>} */
let server;
/** @type {Awaited<ReturnType<typeof open>>} */
let visit;

/** @type {import("./browser.js").Hook} */
const blank = (path, _, response) => {
    if (path !== "/blank") return false;
    response.writeHead(200, { "Content-Type": "text/html" }).end("<!doctype html><link rel=icon href=data:,><canvas id=canvas></canvas>");
    return true;
};

/** Loads a model with a new engine and tells where its weights came from. @param {string} url @param {object} [options] */
async function load(url, options = {}) {
    return visit.page.evaluate(async ({ url, options }) => {
        const { Engine } = await import(String("/foveate/index.js"));
        const engine = await Engine.create(options);
        const told = [];
        try {
            const model = await engine.load(url, { progress: (step) => told.push(step) });
            return { ...model.facts, told };
        } catch (error) {
            return { failure: error.kind, message: error.message };
        } finally {
            engine.close();
        }
    }, { url, options });
}

/** Does something to what is stored of an address. @param {string} url @param {string} deed */
async function tamper(url, deed) {
    return visit.page.evaluate(async ({ url, deed }) => {
        const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(url)));
        const name = Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
        const models = await (await navigator.storage.getDirectory()).getDirectoryHandle("foveate-models");
        const folder = await models.getDirectoryHandle(name);
        if (deed === "half") return folder.removeEntry("entry.json");
        const file = await folder.getFileHandle("data");
        const bytes = new Uint8Array(await (await file.getFile()).arrayBuffer());
        bytes[bytes.length >> 1] ^= 1;
        const stream = await file.createWritable();
        await stream.write(deed === "short" ? bytes.subarray(1) : bytes);
        await stream.close();
    }, { url, deed });
}

before(async () => {
    browser = await launch();
    server = await site(blank);
    visit = await open(await browser.newContext({ serviceWorkers: "block" }));
    await visit.page.goto(`${server.url}blank`);
});
after(async () => {
    await browser?.close();
    await server?.close();
});

test("the example of the README: steps, a canvas on the GPU, and the picture", async () => {
    const result = await visit.page.evaluate(async (url) => {
        const { Engine } = await import(String("/foveate/index.js"));
        const engine = await Engine.create({ screen: "gpu" });
        const model = await engine.load(url);
        const canvas = /** @type {HTMLCanvasElement} */ (document.getElementById("canvas"));
        const run = model.generate({ class: 7, steps: 2, seed: 3, traced: true }, { canvas });
        const steps = [];
        for await (const { preview, tokens, ...step } of run) steps.push({ ...step, preview, kept: tokens?.kept.length, grid: tokens && tokens.layers * tokens.columns * tokens.rows });
        const image = await run.image();
        const copy = new OffscreenCanvas(image.width, image.height).getContext("2d");
        copy.drawImage(canvas, 0, 0);
        const shown = copy.getImageData(0, 0, image.width, image.height).data;

        // Cancelling: the reason is thrown, and the engine goes on to the next request.
        const stop = new AbortController();
        let reason, taken = 0;
        try {
            for await (const _ of model.generate({ class: 8, steps: 30 }, { signal: stop.signal, preview: false })) {
                if (++taken === 2) stop.abort("enough");
            }
        } catch (thrown) {
            reason = thrown;
        }
        const next = await model.generate({ class: 7, steps: 2, seed: 3 }).image();
        Object.assign(window, { engine, model }); // for the next test: a device's pipelines are dear
        const same = (a, b) => a.length === b.length && a.every((value, i) => value === b[i]);
        return { adapter: engine.adapter, policy: run.policy, steps, size: [image.width, image.height], shown: same(shown, image.data), reason, taken, next: same(next.data, image.data) };
    }, `/${TINY}`);
    assert.equal(result.adapter.screen, "gpu");
    assert.equal(result.policy, "diffcr", "what the checkpoint was made for");
    assert.deepEqual(result.steps.map(({ index, of, preview }) => [index, of, preview]), [[0, 2, null], [1, 2, null]]);
    for (const step of result.steps) {
        assert.ok(step.seconds > 0 && step.flops > 0 && step.flops < step.denseFlops);
        assert.ok(step.kept > 0 && step.kept === step.grid);
    }
    assert.ok(result.shown, "the canvas shows the picture");
    assert.deepEqual([result.reason, result.taken], ["enough", 2]);
    assert.ok(result.next, "the same request draws the same bytes");
});

test("inpainting on a GPU, in a canvas: the photo's own size, its pixels outside the mask, and the native program's inside", async () => {
    const [width, height] = [45, 30];
    const colour = (/** @type {number} */ x, /** @type {number} */ y) => [4 * x, 8 * y, (x * y) % 256];
    const marked = (/** @type {number} */ x) => x >= 15 && x < 33;
    const files = { image: png(width, height, colour), mask: png(width, height, (x) => marked(x) ? [255, 255, 255] : [0, 0, 0]) };
    const { size, steps, shown, data } = await visit.page.evaluate(async (files) => {
        const { model } = /** @type {any} */ (window);
        const [image, mask] = files.map((file) => Uint8Array.from(atob(file), (letter) => letter.charCodeAt(0)));
        const canvas = document.createElement("canvas");
        const run = model.generate({ class: 7, steps: 2, seed: 3, image, mask, compression: { masked: "2" }, traced: true }, { canvas });
        const steps = [];
        for await (const { flops, denseFlops, tokens } of run) steps.push({ share: flops / denseFlops, area: tokens.area, kept: tokens.kept.reduce((sum, one) => sum + one) });
        const picture = await run.image();
        const copy = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
        copy.drawImage(canvas, 0, 0);
        return {
            size: [picture.width, picture.height], steps, data: Array.from(picture.data),
            shown: Array.from(copy.getImageData(0, 0, picture.width, picture.height).data),
        };
    }, [files.image, files.mask].map((file) => file.toString("base64")));
    assert.deepEqual(size, [width, height]);
    assert.deepEqual(shown, data);
    let changed = 0;
    for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
            const same = colour(x, y).every((value, channel) => data[4 * (y * width + x) + channel] === value);
            assert.ok(same || marked(x), `(${x}, ${y})`);
            changed += Number(!same);
        }
    }
    assert.ok(changed > 0.9 * 18 * height, `${changed} pixels were drawn`);
    // The second step computes what is under the mask and next to it; the canvas, of 24 by 16, is all of the photo.
    assert.ok(steps[1].share < 0.9 * steps[0].share && steps[1].kept < steps[0].kept, JSON.stringify(steps));
    assert.deepEqual(steps[0].area, [0, 0, 1, 1]);
    const words = ["--class", "7", "--steps", "2", "--seed", "3", "--model", `tests/${TINY}`, "--adapter", "cpu", "--masked", "2"];
    const native = fileOfNative([...words, "--image", "@image", "--mask", "@mask"], files);
    const agreement = psnr(data.filter((_, at) => at % 4 !== 3), native.rgb, 3);
    assert.ok(agreement >= 40, `${agreement.toFixed(1)} dB`);
});

test("policies without training and the step cache: reuse steps work less, and what a model cannot run is refused by name", async () => {
    const { steps, refused, facts } = await visit.page.evaluate(async () => {
        const { engine, model } = /** @type {any} */ (window);
        const steps = [];
        try {
            const asked = { class: 7, steps: 3, compression: { policy: "tome", set: { stride: 2 }, cache: "2" }, traced: true };
            for await (const { flops, denseFlops, tokens } of model.generate(asked, { preview: false })) {
                steps.push({ share: flops / denseFlops, blocks: [...tokens.blocks], grid: tokens.layers * tokens.columns * tokens.rows, kept: tokens.kept.length });
            }
            const refused = [];
            for (const wrong of [
                { class: 7, compression: { policy: "sdtm" } }, { class: 7, stepCache: "2" }, { class: 7, compression: { polisy: "tome" } },
                { class: 7, compression: { cache: "1" } }, { class: 7, compression: { policy: "none" } }, { class: 7, count: 2 }, { prompt: "a house" },
            ]) refused.push(await model.generate(wrong).image().catch(({ kind, message }) => ({ kind, message })));
            return { steps, refused, facts: model.facts };
        } finally {
            engine.close();
        }
    });
    const policies = Object.fromEntries(facts.policies.map((policy) => [policy.name, policy]));
    assert.deepEqual(Object.keys(policies), ["dense", "diffcr", "mod", "sdtm", "tome", "kv"]);
    assert.deepEqual([facts.draws, facts.defaults.policy], ["class", "diffcr"]);
    const { summary, parameters, ...tome } = policies.tome;
    assert.deepEqual(tome, { name: "tome", ratio: true, traces: "merged", masked: false });
    assert.match(summary, /token merging/);
    assert.deepEqual(parameters.map(({ name, default: usual }) => [name, usual]).slice(0, 2), [["ratio", "0.5"], ["stride", "2"]]);
    assert.ok(parameters.every(({ help }) => help.length > 0));
    assert.deepEqual([policies.kv.ratio, policies.kv.traces, policies.diffcr.traces], [false, null, "kept"]);
    assert.deepEqual(Object.keys(policies).filter((name) => policies[name].masked), ["dense", "diffcr", "mod"]);
    const [first, reuses, last] = steps.map(({ share }) => share);
    assert.ok(first < 1 && reuses < 0.75 * first && last === first, `${first} ${reuses} ${last}`);
    assert.deepEqual(steps.map(({ blocks }) => blocks), [[0, 1, 2], [0, 2], [0, 1, 2]], "maps of the layers that merged");
    assert.ok(steps.every(({ grid, kept }) => grid === kept));
    const reasons = [
        /a grid of 5×5 tokens has an odd side/, /unknown field `stepCache`/, /unknown field `polisy`/, /nothing is reused/, /no policy "none"/,
        /a run draws one picture/, /draws classes/,
    ];
    assert.equal(refused.length, reasons.length);
    for (const [at, { kind, message }] of refused.entries()) {
        assert.equal(kind, "Usage", message);
        assert.match(message, reasons[at]);
    }
});

test("tuning: measured on the GPU, followed from then on and by later engines where it fits, cancelled, refused on the processor", async () => {
    const result = await visit.page.evaluate(async (url) => {
        const { Engine } = await import(String("/foveate/index.js"));
        const failed = (/** @type {Promise<unknown>} */ promise) => promise.then(() => null, ({ kind, message }) => ({ kind, message }));
        const engine = await Engine.create({ screen: "readback" });
        const model = await engine.load(url);
        const request = { class: 7, steps: 2, seed: 3 };
        const picture = async (/** @type {any} */ model) => [...(await model.generate(request).image()).data];
        const untuned = await picture(model);

        const stop = new AbortController();
        const cancelled = await failed(model.tune(request, { seconds: 600, progress: () => stop.abort(new Error("enough")), signal: stop.signal }));
        /** @type {{ done: number, total: number }[]} */
        const told = [];
        const tuning = await model.tune(request, { seconds: 4, progress: (/** @type {any} */ step) => told.push(step) });
        await model.load();
        const names = [engine.adapter.tuning];
        const found = JSON.parse(tuning.text);

        // A choice of the test's, and where it does not count.
        const [{ case: shape, usual }] = found.measured;
        const text = JSON.stringify({ ...found, choices: { linear: { [shape]: usual === "direct" ? "broadcast" : "direct" } } });
        const other = JSON.stringify({ ...found, shaders: "0" });
        const follows = async (/** @type {any} */ tuning) => {
            const later = await Engine.create({ screen: "readback", tuning });
            later.close();
            return later.adapter.tuning;
        };
        engine.follow({ ...tuning, text });
        const tuned = await picture(model);
        names.push(engine.adapter.tuning, await follows({ ...tuning, text }));
        const unfit = [await follows({ adapter: "another", text }), await follows({ ...tuning, text: other })];
        const damaged = await failed(follows({ ...tuning, text: "{" }));
        const file = await model.generate(request).png();
        const said = new TextDecoder("latin1").decode(await file.arrayBuffer());
        engine.follow();
        await model.load();
        const forgotten = engine.adapter.tuning;
        engine.close();

        const processor = await Engine.create({ adapter: "cpu" });
        const none = await failed((await processor.load(url)).tune(request));
        processor.close();
        return { cancelled, told, found, names, unfit, damaged, forgotten, none, untuned, tuned, said };
    }, TINY);
    assert.equal(result.cancelled?.message, "enough");
    assert.ok(result.told.length > 0 && result.told.every(({ done, total }) => done < total), JSON.stringify(result.told));
    assert.ok(result.found.measured.length > 0 && result.found.measured.every((/** @type {any} */ { usual_us, chosen_us }) => chosen_us <= usual_us && usual_us > 0));
    const [measured, forced, later] = result.names;
    assert.equal(measured !== null, Object.keys(result.found.choices).length > 0, "followed where an estimate was not the fastest");
    assert.match(forced ?? "", /^[0-9a-f]{8}$/);
    assert.equal(later, forced);
    assert.deepEqual([...result.unfit, result.forgotten], [null, null, null]);
    assert.ok(result.said.includes(forced), "the picture names its tuning");
    assert.equal(result.damaged?.kind, "Usage");
    assert.equal(result.none?.kind, "Gpu");
    assert.ok(psnr(result.tuned, result.untuned, 4) >= 40, "variants differ in rounding alone");
});

test("weights are kept, checked, and fetched again when they changed, broke, or never arrived", async () => {
    const first = await load(`/${SCENES}`);
    assert.equal(first.source, "network");
    const last = first.told.at(-1);
    assert.ok(last.done === last.total && last.total === first.bytes, JSON.stringify(last));
    assert.equal((await load(`/${SCENES}`)).source, "cache");

    const url = `${server.url}${WEIGHTS.slice(1)}`;
    for (const deed of ["half", "short", "flipped"]) {
        await tamper(url, deed);
        const { source, failure } = await load(`/${SCENES}`);
        assert.deepEqual([source, failure], ["network", undefined], deed);
        assert.equal((await load(`/${SCENES}`)).source, "cache", `${deed}, and mended`);
    }

    // Another version on the server: same size, another tag.
    const bytes = await readFile(`${ROOT}/assets/scenes/transformer/diffusion_pytorch_model.safetensors`);
    server.hooks.now = (path, request, response) => {
        if (path !== WEIGHTS) return blank(path, request, response);
        response.writeHead(200, { "Content-Length": bytes.length, ETag: '"another"' }).end(bytes);
        return true;
    };
    assert.equal((await load(`/${SCENES}`)).source, "network", "a changed file is noticed");
    assert.equal((await load(`/${SCENES}`)).source, "cache");
    server.hooks.now = blank;
});

test("a connection that breaks is taken up where it broke; one that stays broken leaves nothing behind", async () => {
    const bytes = await readFile(`${ROOT}/assets/scenes/transformer/diffusion_pytorch_model.safetensors`);
    const ranges = /** @type {string[]} */ ([]);
    /** @type {(most: number) => import("./browser.js").Hook} */
    const breaking = (most) => (path, request, response) => {
        if (path !== WEIGHTS) return blank(path, request, response);
        const start = Number(/bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1]);
        ranges.push(String(start));
        const part = bytes.subarray(start, start + most);
        response.writeHead(206, {
            "Content-Length": bytes.length - start, "Content-Range": `bytes ${start}-${bytes.length - 1}/${bytes.length}`, ETag: '"v"',
        });
        response.write(part, () => part.length < bytes.length - start ? response.destroy() : response.end());
        return true;
    };
    server.hooks.now = breaking(4_000_000);
    const { source } = await load(`/${SCENES}`);
    assert.equal(source, "network");
    assert.ok(ranges.length >= 3 && Number(ranges.at(-1)) > 0, ranges.join(" "));
    await tamper(`${server.url}${WEIGHTS.slice(1)}`, "half");
    server.hooks.now = breaking(0);
    assert.equal((await load(`/${SCENES}`)).failure, "Offline");
    server.hooks.now = blank;
    assert.equal((await load(`/${SCENES}`)).source, "network", "the half-written entry is not used");
});

test("without storage, or ranges, models still load", async () => {
    const bare = await load(`/${TINY}`, { cache: false });
    assert.deepEqual([bare.source, bare.kept, bare.failure], ["network", false, undefined]);
    server.hooks.now = async (path, request, response) => {
        if (!path.startsWith(`/${TINY}/`)) return blank(path, request, response);
        const bytes = await readFile(`${ROOT}/tests${path}`).catch(() => null);
        if (bytes) response.writeHead(200).end(bytes); // neither length nor tag
        else response.writeHead(404).end();
        return true;
    };
    const plain = await load(`/${TINY}`, { cache: false });
    assert.deepEqual([plain.source, plain.failure], ["network", undefined]);
    await visit.quiet(EXPECTED);
});
