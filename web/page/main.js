/** The page: a form, a stage, and an engine in a worker between them. */

import { abortable } from "../foveate/abortable.js";
import * as begin from "./begin.js";
import { any, button, element, input } from "./dom.js";
import { size } from "./format.js";
import * as form from "./request-form.js";
import * as link from "./link.js";
import * as stage from "./stage.js";
import * as trouble from "./trouble.js";
import { showComparison } from "./compare.js";
import { adapter, showDevice } from "./device.js";
import { draw } from "./drawing.js";
import { keep } from "./keep.js";
import { showMatrix } from "./matrix.js";
import { status, title } from "./status.js";
import { Studio } from "./studio.js";
import * as tuning from "./tuning.js";
import "./mask-editor.js";

/** @typedef {import("../foveate/index.js").Request} Request */
/** @typedef {import("../foveate/index.js").Model} Model */
/** @typedef {import("../foveate/index.js").Step} Step */

const BUNDLED = "models/scenes";

/** What is being drawn. @type {AbortController | null} */
let drawing = null;
/** Whether the model is being loaded ahead. */
let loading = false;
const linked = link.read(location.hash);
let address = linked.model ?? BUNDLED;
/** `?adapter=cpu` draws on the processor, `?adapter=gpu` on nothing else than a GPU. */
const wanted = new URLSearchParams(location.search).get("adapter");

const studio = new Studio({
    opened: showDevice,
    progress({ done, total, source }) {
        if (drawing && stage.taken().length > 0) return; // a lost device is being replaced: the steps' bar stays
        const from = source === "cache" ? "from this browser's storage" : "from the network";
        status(total > 0 ? `Loading the model ${from}: ${size(done)} of ${size(total)}` : "Loading the model…", total > 0 ? done / total : undefined);
    },
    loaded({ facts, url }) {
        form.offer(facts);
        begin.changed();
        showMatrix(facts.routing);
        any("model-name").textContent = basename(url);
        const from = facts.source === "cache" ? "this browser's storage" : "the network";
        const kept = facts.kept ? "kept in this browser" : "not kept: this browser gives the page no storage";
        any("model-facts").textContent = `${size(facts.bytes)} from ${from}, ${kept}. ` +
            (facts.routing ? "It has learned routers." : "It has no routers; SDTM and ToMe need none.");
    },
    lost({ kind }) {
        const what = kind === "DeviceLost" ? "The GPU was lost" : "The engine stopped";
        if (drawing && stage.taken().length > 0) status(`${what}: starting again from the last step…`);
        else if (drawing || loading) status(`${what}: starting again…`);
        else status(`${what}. The next picture starts it again.`, 0);
    },
}, wanted === "cpu" || wanted === "gpu" ? wanted : "auto", called);
begin.start(studio);

/** Loads the model ahead of the first request. */
async function load() {
    trouble.clear();
    status("Loading the engine…");
    const wanted = address;
    loading = true;
    try {
        await studio.model(wanted);
        if (wanted === address && !drawing) status("Ready.", 0);
    } catch (error) {
        // Where another model was chosen meanwhile, this one is no longer missed.
        if (wanted === address) failed(error, load);
    } finally {
        if (wanted === address) loading = false;
    }
}

/** Takes another model. @param {string} to its address */
function go(to) {
    input("model").value = to;
    if (to === address && any("trouble").hidden) return;
    drawing?.abort();
    address = to;
    void load();
}

/** @param {unknown} error @param {() => void} again */
function failed(error, again) {
    status("", 0);
    trouble.tell(error, again);
}

/**
 * One thing at a time: shows that something is being drawn while `work` does it.
 * @param {(signal: AbortSignal) => Promise<void>} work
 * @param {() => void} again
 */
async function busy(work, again) {
    if (drawing) return;
    const current = new AbortController();
    drawing = current;
    trouble.clear();
    stage.expect(begin.ratio());
    buttons(true);
    try {
        status("Getting ready…");
        // Where the form fills the window, the picture would come unseen.
        any("status").scrollIntoView({ block: "nearest" });
        await work(current.signal);
        title(document.hidden ? "done" : undefined);
    } catch (error) {
        title();
        if (current.signal.aborted) status("Cancelled.", 0);
        else failed(error, again);
    } finally {
        drawing = null;
        buttons(false);
    }
}

/** The button that started what is being drawn, where it had the focus. @type {Element | null} */
let started = null;

/** @param {boolean} working */
function buttons(working) {
    const [generate, cancel, compare] = ["generate", "cancel", "compare"].map(button);
    const focused = document.activeElement;
    if (working) started = focused === generate || focused === compare ? focused : null;
    generate.hidden = working;
    cancel.hidden = !working;
    compare.disabled = working || !form.compresses();
    for (const id of ["tune", "untune"]) button(id).disabled = working;
    // Focus follows the button that took the other's place.
    if (working && started) cancel.focus();
    else if (!working && focused === cancel) (started === compare && !compare.disabled ? compare : generate).focus();
}

/** @param {Model} model @param {Request} request @param {AbortSignal} signal */
async function perform(model, request, signal, prefix = "") {
    stage.reset(request, model.facts);
    status(`${prefix}Preparing…`);
    const drawn = await draw(model, request, signal, (step) => {
        stage.add(step);
        const at = `${step.index + 1} of ${step.of}`;
        status(`${prefix}Step ${at}`, (step.index + 1) / step.of);
        title(at);
        for (const warning of step.warnings) trouble.note(`Note: ${warning}.`);
    });
    const described = request.prompt ?? `class ${request.class}`;
    stage.finish(`Picture of: ${described}`);
    keep({ run: drawn.run, request, adapter: adapter() });
    return drawn;
}

/** What pictures call a model: the bundled one has the same name everywhere, others are found by their address. @param {string} url */
function called(url) {
    return new URL(url, document.baseURI).href === new URL(BUNDLED, document.baseURI).href ? basename(url) : undefined;
}

/** The last part of an address. @param {string} url */
function basename(url) {
    return url.split("/").filter(Boolean).at(-1) ?? url;
}

/** @param {AbortSignal} signal */
function ready(signal) {
    return abortable(studio.model(address), signal);
}

function generate() {
    if (!form.valid()) return;
    void busy(async (signal) => {
        const model = await ready(signal);
        const request = await abortable(begin.complete(form.request()), signal);
        remember(request);
        await perform(model, request, signal);
        status("Done.", 1);
    }, generate);
}

function compare() {
    if (!form.valid()) return;
    void busy(async (signal) => {
        const model = await ready(signal);
        const request = await abortable(begin.complete(form.request()), signal);
        remember(request);
        const plain = { ...request, compression: { policy: "dense" }, traced: false };
        const dense = await perform(model, plain, signal, "Dense: ");
        const compressed = await perform(model, request, signal, "Compressed: ");
        await showComparison(dense, compressed);
        status("Done: dense and compressed, compared below.", 1);
        any("comparison").scrollIntoView({ block: "nearest" });
    }, compare);
}

/** Finds the fastest kernels for pictures like the one that the form asks for. */
function tune() {
    if (!form.valid()) return;
    void busy(async (signal) => {
        const model = await ready(signal);
        const progress = (/** @type {import("../foveate/index.js").Measured} */ { done, total }) =>
            status(`Measuring product ${done + 1} of ${total}…`, done / total);
        const kept = tuning.keep(await model.tune(form.request(), { progress, signal }));
        await model.load(signal);
        const found = model.engine.adapter.tuning ? "Done: the fastest kernels are in use" : "Done: the estimates are the fastest here";
        status(kept ? `${found}.` : `${found}, until this page is closed.`, 1);
    }, tune);
}

function untune() {
    void busy(async (signal) => {
        await studio.forgetTuning();
        await (await ready(signal)).load(signal);
        status("Done: kernels follow their estimates.", 1);
    }, untune);
}

/** Puts the request into the address, from where it can be shared. @param {Request} request */
function remember(request) {
    history.replaceState(null, "", link.write(request, address === BUNDLED ? null : address));
}

element("request", HTMLFormElement).addEventListener("submit", (event) => {
    event.preventDefault();
    generate();
});
button("cancel").addEventListener("click", () => drawing?.abort());
button("compare").addEventListener("click", compare);
button("tune").addEventListener("click", tune);
button("untune").addEventListener("click", untune);
button("load").addEventListener("click", () => go(input("model").value.trim() || BUNDLED));
addEventListener("hashchange", () => {
    const { request, model } = link.read(location.hash);
    form.show(request);
    go(model ?? BUNDLED);
});
document.addEventListener("visibilitychange", () => {
    if (!document.hidden && !drawing) title();
});

form.show(linked.request);
input("model").value = address;
// The page itself works offline once it was loaded; the models have their own storage.
if ("serviceWorker" in navigator) navigator.serviceWorker.register("sw.js").catch(() => {});
requestAnimationFrame(() => setTimeout(load));
