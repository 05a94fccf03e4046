/**
 * Foveate in a browser: diffusion transformers that compute where the detail is, on WebGPU, or on the processor.
 *
 * ```js
 * const engine = await Engine.create();
 * const model = await engine.load("models/scenes", { progress: ({ done, total }) => show(done / total) });
 * const run = model.generate({ prompt: "a red house", steps: 20 }, { canvas, signal });
 * for await (const step of run) console.log(step.index, "of", step.of, step.seconds, step.flops);
 * const image = await run.image();
 * ```
 *
 * Everything runs in a worker. When the device is lost, a new worker takes over: it loads the model again, from the
 * browser's storage, and goes on after the last step that was finished. Where there is no WebGPU, or a GPU was lost for
 * good, the worker draws on the processor.
 */

export { Engine } from "./engine.js";
export { Failure } from "./failure.js";
export { Model } from "./model.js";
export { Run } from "./run.js";

/** @typedef {import("./foveate.js").Request} Request */
/** @typedef {import("./foveate.js").Compression} Compression */
/** @typedef {import("./foveate.js").PictureFile} PictureFile */
/** @typedef {import("./foveate.js").Shape} Shape */
/** @typedef {import("./protocol.js").Look} Look */
/** @typedef {import("./foveate.js").LoadOptions} LoadOptions */
/** @typedef {import("./protocol.js").Adapter} Adapter */
/** @typedef {import("./engine.js").Device} Device */
/** @typedef {import("./protocol.js").Tuning} Tuning */
/** @typedef {import("./protocol.js").Measured} Measured */
/** @typedef {import("./protocol.js").Wanted} Wanted */
/** @typedef {import("./protocol.js").Facts} Facts */
/** @typedef {import("./foveate.js").PolicyFacts} PolicyFacts */
/** @typedef {import("./protocol.js").TokenMap} TokenMap */
/** @typedef {import("./run.js").Step} Step */
/** @typedef {import("./load-progress.js").Progress} Progress */
/** @typedef {import("./failure.js").Kind} Kind */
