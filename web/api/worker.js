/**
 * The worker's side: one device, one model, and the runs on it. Calls are answered one after the other, in the order in
 * which they came. Everything here dies with the worker, so starting over is starting another one.
 */

import init, * as foveate from "./foveate.js";
import { Cache } from "./cache.js";
import { openDevice } from "./device.js";
import { Failure } from "./failure.js";
import { LoadProgress } from "./load-progress.js";
import { ModelFiles } from "./model-files.js";
import { called, content } from "./picture-file.js";

/** @typedef {import("./protocol.js").Calls} Calls */
/** @typedef {import("./protocol.js").Pixels} Pixels */

/** Bytes of a run's state that are read back after every step. A policy that keeps whole branches for later steps has more ... */
const SMALL_STATE = 1 << 20;
/** ... which is read back so often; the steps since are taken again where it is needed. */
const KEPT_EVERY = 8;
/** The longer side of what a page is shown, in pixels: beyond it the picture itself is a matter of its bytes. */
const LARGEST = 2048;

/** The module that the engine belongs to: what is handed to the engine must come from it. */
let module = foveate;
/** @type {foveate.Engine} */
let engine;
/** The adapter's name. */
let name = "";
/** @type {foveate.Model} */
let model;
/** Where the model's files come from: a picture to begin with needs some that drawing from noise does not. @type {ModelFiles} */
let source;
/** @type {import("./device.js").Easel | null} */
let easel = null;
/** @type {Map<number, foveate.Run>} */
const runs = new Map();
let last = 0;

/** @typedef {(progress: import("./load-progress.js").Progress | import("./protocol.js").Measured) => void} Tell */
/** @type {{ [Name in keyof Calls]: (argument: Calls[Name][0], tell: Tell) => Promise<Calls[Name][1]> }} */
const calls = {
    async open({ adapter: wanted, screen, tuning }) {
        await start();
        const device = await openDevice(wanted, screen, tuning);
        ({ module, engine, easel } = device);
        name = device.adapter.name;
        void engine.lost()?.then((message) => postMessage({ lost: message }));
        const { adapter, instead } = device;
        return { adapter, version: foveate.version(), instead: instead && { kind: instead.kind, message: instead.message } };
    },

    async load({ url, options, cache: wanted }, tell) {
        const cache = wanted ? await Cache.open() : null;
        for (let again = false; ; again = true) {
            const stop = new AbortController();
            const files = new ModelFiles(url, cache, stop.signal);
            const progress = new LoadProgress(files, tell);
            try {
                model = await engine.load(/** @type {any} */ (files), options, progress.uploaded);
                source = files;
                progress.end();
                return { ...model.facts(), source: progress.source, bytes: progress.total, kept: cache !== null };
            } catch (error) {
                progress.end();
                stop.abort();
                // A damaged copy has been dropped: the server is asked instead, once.
                if (files.failure?.kind === "Corrupt" && !again) continue;
                throw files.failed(error);
            }
        }
    },

    async prepare({ request, name, state }) {
        const { image, mask, outpaint, fit, feather, ...asked } = request;
        const files = [await optional(image, "picture"), await optional(mask, "mask")];
        const how = { image: called(image, "picture"), mask: called(mask, "mask"), outpaint, fit, feather };
        for (let again = false; ; again = true) {
            source.failure = null;
            try {
                const run = await model.prepare(asked, module.Beginning.read(files[0], files[1], how), name);
                if (state) run.resume(state.taken, state.words, state.fingerprint);
                const id = ++last;
                runs.set(id, run);
                const { steps, policy, scheduler, denseFlops, warnings, said } = run;
                return { id, steps, policy, scheduler, denseFlops, warnings, said };
            } catch (error) {
                if (/** @type {Failure | null} */ (source.failure)?.kind === "Corrupt" && !again) continue;
                throw source.failed(error);
            }
        }
    },

    async tune({ request, seconds }, tell) {
        const text = await model.tune(request, seconds, (done, total) => tell({ done, total }));
        return { adapter: name, text };
    },

    async step({ id, preview, tokens, state }) {
        const run = known(id);
        const start = performance.now();
        const step = await run.step();
        if (!step) return null;
        const seconds = (performance.now() - start) / 1000;
        const { index, timestep, flops } = step;
        step.free();
        const ended = index + 1 === run.steps;
        const pixels = ended ? taken(await run.picture()) : null;
        const kept = run.stateBytes <= SMALL_STATE || (index + 1) % KEPT_EVERY === 0;
        return {
            index, timestep, flops, seconds,
            preview: preview ? await picture(run, pixels) : null,
            tokens: tokens ? await tokenMap(run) : null,
            state: state && kept && !ended ? { taken: index + 1, words: await run.state(), fingerprint: run.fingerprint } : null,
            pixels,
        };
    },

    async free({ id }) {
        runs.get(id)?.free();
        runs.delete(id);
    },

    async look({ image, most }) {
        const bytes = await content(image, "picture", foveate.checkHead);
        const look = foveate.look(bytes, called(image, "picture"), most);
        const { width, height } = look;
        return { width, height, shown: await bitmap(taken(look.shown())) };
    },

    async painted({ width, height, shapes }) {
        return /** @type {Uint8Array<ArrayBuffer>} */ (foveate.painted(width, height, shapes));
    },

    async png({ width, height, rgba, said }) {
        return /** @type {Uint8Array<ArrayBuffer>} */ (foveate.png(width, height, rgba, said));
    },
};

/** What a request's file holds; nothing where there is none. @param {unknown} file @param {string} what */
async function optional(file, what) {
    return file === undefined || file === null ? undefined : content(file, what, foveate.checkHead);
}

async function start() {
    try {
        await init({ module_or_path: new URL("./foveate_bg.wasm", import.meta.url) });
    } catch (error) {
        throw new Failure("NoEngine", error instanceof Error ? error.message : String(error));
    }
}

/** @param {number} id */
function known(id) {
    const run = runs.get(id);
    if (!run) throw new Failure("Usage", "this run has ended");
    return run;
}

/** What the latents look like. @param {foveate.Run} run @param {Pixels | null} read the same, where it was read back already */
async function picture(run, read) {
    if (!run.hasPreviews) return null;
    if (easel && run.show(easel.screen)) return easel.canvas.transferToImageBitmap();
    return bitmap(read ?? taken(await run.preview()));
}

/** Takes a picture out of the module. @param {foveate.Picture} picture @returns {Pixels} */
function taken(picture) {
    const { width, height } = picture;
    return { width, height, rgba: /** @type {Uint8Array<ArrayBuffer>} */ (picture.rgba()) };
}

/** @param {Pixels} pixels */
function bitmap({ width, height, rgba }) {
    const scale = Math.min(1, LARGEST / Math.max(width, height));
    const [resizeWidth, resizeHeight] = [width, height].map((side) => Math.max(1, Math.round(scale * side)));
    const image = new ImageData(new Uint8ClampedArray(rgba.buffer), width, height);
    return createImageBitmap(image, scale < 1 ? { resizeWidth, resizeHeight, resizeQuality: "medium" } : {});
}

/** @param {foveate.Run} run */
async function tokenMap(run) {
    const map = await run.tokens();
    if (!map) return null;
    const { layers, blocks, columns, rows, kept, scores } = map;
    map.free();
    const area = /** @type {[number, number, number, number]} */ (Array.from(run.area));
    return { layers, blocks, columns, rows, area, kept, scores };
}

/** What moves to the page instead of being copied. @param {any} result @returns {Transferable[]} */
function moved(result) {
    const bytes = result instanceof Uint8Array ? result : result?.pixels?.rgba;
    return [result?.preview, result?.shown, bytes?.buffer].filter((part) => part);
}

/** @type {Promise<unknown>} */
let queue = Promise.resolve();

addEventListener("message", ({ data: { id, name, argument } }) => {
    queue = queue.then(async () => {
        try {
            if (!Object.hasOwn(calls, name)) throw new Failure("Usage", "there is no such call");
            const call = calls[/** @type {keyof Calls} */ (name)];
            const result = await call(/** @type {never} */ (argument), (progress) => postMessage({ id, progress }));
            postMessage({ id, result }, { transfer: moved(result) });
        } catch (error) {
            const { kind, message } = Failure.from(error);
            // What fails on a dying device fails in words of its own: its loss, told a moment later, ends this worker.
            if (kind === "Gpu") await new Promise((resolve) => setTimeout(resolve, 200));
            postMessage({ id, failure: { kind, message } });
        }
    });
});
