/** What the adapter can do. */

import { any, made } from "./dom.js";
import { size } from "./format.js";

/** @param {import("../foveate/index.js").Adapter} adapter */
export function showDevice(adapter) {
    const facts = {
        "adapter": adapter.name + (adapter.software ? " (software: every picture is slow)" : ""),
        "pictures reach the page": adapter.screen === "gpu" ? "on the GPU" : "by readback",
        "16-bit arithmetic": adapter.f16 ? "yes" : "no",
        "largest buffer": size(adapter.maxBuffer),
        "largest binding": size(adapter.maxBinding),
        "storage buffers in a dispatch": String(adapter.maxStorageBuffers),
        "workgroup": `${adapter.workgroupThreads} threads, ${size(adapter.workgroupMemory)}`,
    };
    any("device").replaceChildren(...Object.entries(facts).map(([name, value]) => {
        const row = made("div");
        row.append(made("dt", name), made("dd", value));
        return row;
    }));
}
