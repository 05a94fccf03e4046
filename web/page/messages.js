/** What went wrong, in a sentence that says what can be done about it. */

import { Failure } from "../foveate/index.js";

/** @type {Record<import("../foveate/index.js").Kind, string>} */
const SENTENCES = {
    NoEngine: "The engine itself could not be loaded, so nothing can be drawn yet.",
    NoWebGPU: "This browser has no WebGPU, which the pictures are drawn with. Current versions of Chrome, Edge, Safari and Firefox have it.",
    NoAdapter: "The browser found no GPU that it may use. Its hardware acceleration may be switched off in the settings, or the graphics driver too old.",
    Limit: "This GPU is too small for that. A smaller model, or a smaller picture, may fit.",
    OutOfMemory: "The GPU ran out of memory. Close other tabs that draw much, or try a smaller model, then try again.",
    DeviceLost: "The GPU was lost several times in a row, so the picture was given up. The driver may need a moment: try again.",
    NotFound: "There is no model at that address: a file of it is missing on the server.",
    Offline: "The model could not be fetched: there is no connection to its server. What is already in this browser keeps working.",
    Corrupt: "The copy of the model in this browser is damaged, and a new one could not be fetched.",
    File: "The model's files could not be read. They may be damaged or incomplete on the server.",
    Model: "The files at that address are not a model that can be drawn with here.",
    Usage: "That cannot be drawn as asked.",
    Gpu: "The GPU refused the work.",
    Broken: "The engine stopped unexpectedly. It starts anew when you try again.",
    Cancelled: "Cancelled.",
};

/** @param {unknown} thrown */
export function explain(thrown) {
    const { kind, message } = Failure.from(thrown);
    const insecure = kind === "NoWebGPU" && !globalThis.isSecureContext;
    const sentence = insecure ? "Browsers offer WebGPU only to addresses that start with https:// (or to this computer itself)." : SENTENCES[kind];
    return { kind, sentence, detail: message };
}
