/** What went wrong, in a sentence that says what can be done about it. */

import { Failure } from "../foveate/index.js";

/** @typedef {import("../foveate/index.js").Kind} Kind */

/** Why no GPU draws: the beginning of a sentence. @type {Partial<Record<Kind, string>>} */
const REASONS = {
    NoWebGPU: "This browser has no WebGPU",
    NoAdapter: "The browser found no GPU that it may use",
    Limit: "This GPU is too small",
    DeviceLost: "The GPU was lost several times in a row",
};

/** A sentence for each kind, after its reason where it has one. @type {Record<Kind, string>} */
const SENTENCES = {
    NoEngine: "The engine itself could not be loaded, so nothing can be drawn yet.",
    NoWebGPU: ", and the address of this page asks for a GPU (adapter=gpu). Without that, the processor draws.",
    NoAdapter: ". Its hardware acceleration may be switched off in the settings, or the graphics driver too old.",
    Limit: ". A smaller model, or a smaller picture, may fit.",
    OutOfMemory: "There is not enough memory for that. Close other tabs that draw much, or try a smaller model, then try again.",
    DeviceLost: ", so the picture was given up. The driver may need a moment: try again.",
    NotFound: "There is no model at that address: a file of it is missing on the server.",
    Offline: "The model could not be fetched: there is no connection to its server. What is already in this browser keeps working.",
    Corrupt: "The copy of the model in this browser is damaged, and a new one could not be fetched.",
    File: "The model's files could not be read. They may be damaged or incomplete on the server.",
    Model: "The files at that address are not a model that can be drawn with here.",
    Picture: "That picture cannot be read.",
    Usage: "That cannot be drawn as asked.",
    Gpu: "The GPU refused the work.",
    Broken: "The engine stopped unexpectedly. It starts anew when you try again.",
    Cancelled: "Cancelled.",
};

/** Why no GPU draws, without a full stop. @param {Failure} failure */
export function reason({ kind }) {
    if (kind === "NoWebGPU" && !globalThis.isSecureContext) {
        return "Browsers offer WebGPU only to addresses that start with https:// (or to this computer itself)";
    }
    return REASONS[kind] ?? "There is no GPU";
}

/** @param {unknown} thrown */
export function explain(thrown) {
    const failure = Failure.from(thrown);
    const { kind, message } = failure;
    const beginning = kind in REASONS ? reason(failure) : "";
    return { kind, sentence: beginning + SENTENCES[kind], detail: message };
}
