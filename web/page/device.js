/** What the pictures are drawn on: the panel that says what it can do, and the notice where it is the processor. */

import { any, made } from "./dom.js";
import { size } from "./format.js";
import { reason } from "./messages.js";

/** @typedef {import("../foveate/index.js").Adapter} Adapter */

/** The adapter in use. */
let name = "";

/** The adapter that draws now, by name. */
export function adapter() {
    return name;
}

/** @param {import("../foveate/index.js").Device} device */
export function showDevice({ adapter, instead }) {
    name = adapter.kind === "cpu" ? `${adapter.name} (${adapter.driver})` : adapter.name;
    any("tuning").hidden = adapter.kind === "cpu";
    any("untune").hidden = !adapter.tuning;
    tell(adapter.kind === "cpu" ? { adapter: name, "pictures reach the page": reach(adapter) } : gpu(adapter));
    any("notice").hidden = !instead;
    if (instead) any("notice").textContent = `${reason(instead)}: the processor draws, which takes longer.`;
}

/** @param {Adapter} adapter */
function gpu(adapter) {
    return {
        "adapter": adapter.name + (adapter.software ? " (software: every picture is slow)" : ""),
        "pictures reach the page": reach(adapter),
        "16-bit arithmetic": adapter.f16 ? "yes" : "no",
        "largest buffer": size(adapter.maxBuffer),
        "largest binding": size(adapter.maxBinding),
        "storage buffers in a dispatch": String(adapter.maxStorageBuffers),
        "variants of kernels": adapter.tuning ? `measured here (${adapter.tuning})` : "estimated",
        "workgroup": `${adapter.workgroupThreads} threads, ${size(adapter.workgroupMemory)}`,
    };
}

/** @param {Adapter} adapter */
function reach({ screen }) {
    return screen === "gpu" ? "on the GPU" : "by readback";
}

/** @param {Record<string, string>} facts */
function tell(facts) {
    any("device").replaceChildren(...Object.entries(facts).map(([name, value]) => {
        const row = made("div");
        row.append(made("dt", name), made("dd", value));
        return row;
    }));
}
