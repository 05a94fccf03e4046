/** What the worker draws on: a GPU by WebGPU, or the processor by WebAssembly where there is none. */

import * as foveate from "./foveate.js";
import { Failure } from "./failure.js";

/** @typedef {import("./protocol.js").Adapter} Adapter */
/** @typedef {import("./protocol.js").Screen} Wish */
/** @typedef {import("./protocol.js").Wanted} Wanted */

/**
 * Where pictures are drawn without readback.
 * @typedef {{ canvas: OffscreenCanvas, screen: foveate.Screen }} Easel
 */

/**
 * @typedef {object} Device
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
 * @returns {Promise<Device>}
 */
export async function openDevice(wanted, screen) {
    if (wanted === "cpu") return processor(null);
    try {
        return await gpu(screen);
    } catch (error) {
        const why = Failure.from(error);
        if (wanted === "gpu" || !NO_GPU.has(why.kind)) throw why;
        return processor(why);
    }
}

/** @param {Wish} wish @returns {Promise<Device>} */
async function gpu(wish) {
    if (!navigator.gpu) throw new Failure("NoWebGPU", "this browser has no WebGPU");
    const adapter = await navigator.gpu.requestAdapter({ powerPreference: "high-performance" });
    if (!adapter) throw new Failure("NoAdapter", "the browser found no GPU that it may use");
    const engine = await foveate.Engine.create();
    const facts = engine.adapter();
    let easel = null;
    // A software adapter has nothing to save by staying off the CPU, and some cannot present at all.
    if (wish === "gpu" || (wish === "auto" && !facts.software)) {
        const canvas = new OffscreenCanvas(1, 1);
        easel = { canvas, screen: new foveate.Screen(engine, canvas) };
    }
    const { vendor, architecture, description } = adapter.info;
    const name = facts.name || description || [vendor, architecture].filter(Boolean).join(" ") || "unnamed adapter";
    return { engine, adapter: { ...facts, name, screen: easel ? "gpu" : "readback" }, easel, instead: null };
}

/** @param {Failure | null} instead @returns {Device} */
function processor(instead) {
    const engine = foveate.Engine.processor();
    return { engine, adapter: { ...engine.adapter(), screen: "readback" }, easel: null, instead };
}
