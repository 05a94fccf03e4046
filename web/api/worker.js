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

/** @typedef {import("./protocol.js").Calls} Calls */

/** Bytes of a run's state that are read back after every step. A policy that keeps whole branches for later steps has more ... */
const SMALL_STATE = 1 << 20;
/** ... which is read back so often; the steps since are taken again where it is needed. */
const KEPT_EVERY = 8;

/** @type {foveate.Engine} */
let engine;
/** @type {foveate.Model} */
let model;
/** @type {import("./device.js").Easel | null} */
let easel = null;
/** @type {Map<number, foveate.Run>} */
const runs = new Map();
let last = 0;

/** @typedef {(progress: import("./load-progress.js").Progress) => void} Tell */
/** @type {{ [Name in keyof Calls]: (argument: Calls[Name][0], tell: Tell) => Promise<Calls[Name][1]> }} */
const calls = {
    async open({ adapter: wanted, screen }) {
        await start();
        const device = await openDevice(wanted, screen);
        ({ engine, easel } = device);
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
                progress.end();
                return { ...model.facts(), source: progress.source, bytes: progress.total, kept: cache !== null };
            } catch (error) {
                progress.end();
                stop.abort();
                // A damaged copy has been dropped: the server is asked instead, once.
                if (files.failure?.kind === "Corrupt" && !again) continue;
                if (!files.failure) throw error;
                throw new Failure(files.failure.kind, error instanceof Error ? error.message : files.failure.message);
            }
        }
    },

    async prepare({ request, state }) {
        const run = await model.prepare(request);
        if (state) run.resume(state.taken, state.words, state.fingerprint);
        const id = ++last;
        runs.set(id, run);
        const { steps, policy, scheduler, denseFlops, warnings, width, height } = run;
        return { id, steps, policy, scheduler, denseFlops, warnings, width, height };
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
        const pixels = ended ? await run.rgba() : null;
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
};

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

/** What the latents look like. @param {foveate.Run} run @param {Uint8Array | null} read the same, where it was read back already */
async function picture(run, read) {
    if (!run.hasPreviews) return null;
    if (easel) {
        run.show(easel.screen);
        return easel.canvas.transferToImageBitmap();
    }
    const pixels = new Uint8ClampedArray(/** @type {Uint8Array<ArrayBuffer>} */ (read ?? await run.rgba()));
    return createImageBitmap(new ImageData(pixels, run.width, run.height));
}

/** @param {foveate.Run} run */
async function tokenMap(run) {
    const map = await run.tokens();
    if (!map) return null;
    const { layers, blocks, columns, rows, kept, scores } = map;
    map.free();
    return { layers, blocks, columns, rows, kept, scores };
}

/** What moves to the page instead of being copied. @param {any} result @returns {Transferable[]} */
function moved(result) {
    return result?.preview ? [result.preview] : [];
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
