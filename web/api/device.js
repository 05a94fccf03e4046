/** What the worker draws on: a GPU by WebGPU, or the processor by WebAssembly where there is none. */

import * as foveate from "./foveate.js";
import { Failure } from "./failure.js";

/** @typedef {import("./protocol.js").Adapter} Adapter */
/** @typedef {import("./protocol.js").Screen} Wish */
/** @typedef {import("./protocol.js").Tuning} Tuning */
/** @typedef {import("./protocol.js").Wanted} Wanted */

/**
 * Where pictures are drawn without readback.
 * @typedef {{ canvas: OffscreenCanvas, screen: foveate.Screen }} Easel
 */

/**
 * @typedef {object} Device
 * @property {typeof foveate} module which the engine belongs to
 * @property {foveate.Engine} engine
 * @property {Adapter} adapter
 * @property {Easel | null} easel nothing where pictures are read back
 * @property {Failure | null} instead why it is the processor, where a GPU would have been taken
 */

/** What says that a browser has no GPU to draw on. */
const NO_GPU = new Set(["NoWebGPU", "NoAdapter", "Limit"]);

/**
 * Opens the device that is wanted: the fastest GPU, or "auto" the processor where there is none that serves.
 * @param {Wanted} wanted
 * @param {Wish} screen
 * @param {Tuning | null} tuning
 * @returns {Promise<Device>}
 */
export async function openDevice(wanted, screen, tuning) {
    if (wanted === "cpu") return processor(null);
    try {
        return await gpu(screen, tuning);
    } catch (error) {
        const why = Failure.from(error);
        if (wanted === "gpu" || !NO_GPU.has(why.kind)) throw why;
        return processor(why);
    }
}

/** @param {Wish} wish @param {Tuning | null} tuning @returns {Promise<Device>} */
async function gpu(wish, tuning) {
    if (!navigator.gpu) throw new Failure("NoWebGPU", "this browser has no WebGPU");
    const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
    if (!adapter) throw new Failure("NoAdapter", "the browser found no GPU that it may use");
    const { vendor, architecture, description } = adapter.info;
    const name = description || [vendor, architecture].filter(Boolean).join(" ") || "unnamed adapter";
    // The engine compares the driver and the shaders; browsers tell it no adapter's name.
    const engine = await foveate.Engine.create(tuning?.adapter === name ? tuning.text : undefined);
    const facts = engine.adapter();
    let easel = null;
    // A software adapter has nothing to save by staying off the CPU, and some cannot present at all.
    if (wish === "gpu" || (wish === "auto" && !facts.software)) {
        const canvas = new OffscreenCanvas(1, 1);
        easel = { canvas, screen: new foveate.Screen(engine, canvas) };
    }
    return { module: foveate, engine, adapter: { ...facts, name, screen: easel ? "gpu" : "readback" }, easel, instead: null };
}

/** @param {Failure | null} instead @returns {Promise<Device>} */
async function processor(instead) {
    const module = await withThreads() ?? foveate;
    const engine = module.Engine.processor();
    return { module, engine, adapter: { ...engine.adapter(), screen: "readback" }, easel: null, instead };
}

/**
 * The module with threads, as many as the browser offers: their memory is shared, which browsers allow isolated pages only.
 * Nothing where they do not, or where it does not start: the plain module draws the same pictures.
 */
async function withThreads() {
    const threads = navigator.hardwareConcurrency;
    if (!crossOriginIsolated || !(threads > 1)) return null;
    try {
        const module = await import("./threads/foveate.js");
        await module.default({ module_or_path: new URL("./threads/foveate_bg.wasm", import.meta.url) });
        await module.initThreadPool(threads);
        return /** @type {typeof foveate} */ (/** @type {unknown} */ (module));
    } catch (error) {
        console.warn(`foveate: one thread instead of ${threads}: ${error instanceof Error ? error.message : error}`);
        return null;
    }
}
