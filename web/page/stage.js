/** The picture, its steps, and what was computed of them. */

import { any, canvas, context, input } from "./dom.js";
import { median, percent, sum, time, work } from "./format.js";
import { drawVeil } from "./veil.js";

/** @typedef {import("../foveate/index.js").Step} Step */

const picture = canvas("picture");
const veil = canvas("veil");
const stepSlider = input("scrub-step");
const layerSlider = input("scrub-layer");

/** @type {Step[]} */
let steps = [];

/** Empties the stage for another run. */
export function reset() {
    for (const step of steps) step.preview?.close();
    steps = [];
    for (const id of ["scrub", "keep", "figures"]) any(id).hidden = true;
}

/** Shows a step that was taken. @param {Step} step */
export function add(step) {
    steps.push(step);
    any("empty").hidden = true;
    any("scrub").hidden = any("figures").hidden = false;
    stepSlider.max = String(steps.length);
    stepSlider.value = stepSlider.max;
    any("layers").hidden = !step.tokens;
    if (step.tokens) layerSlider.max = String(step.tokens.layers);
    draw();
    tellFigures();
}

/** Says what the picture shows, and that it can be kept. @param {string} description */
export function finish(description) {
    picture.setAttribute("aria-label", description);
    any("keep").hidden = false;
}

/** Steps taken so far. */
export function taken() {
    return steps;
}

/** The finished picture. */
export function last() {
    return steps.at(-1)?.preview ?? null;
}

function draw() {
    const step = steps[Number(stepSlider.value) - 1];
    if (!step) return;
    any("scrub-step-value").textContent = `${step.index + 1} of ${step.of}`;
    stepSlider.setAttribute("aria-valuetext", any("scrub-step-value").textContent);
    if (step.preview) {
        [picture.width, picture.height] = [step.preview.width, step.preview.height];
        any("frame").style.aspectRatio = `${picture.width} / ${picture.height}`;
        context(picture).drawImage(step.preview, 0, 0);
    }
    const shown = step.tokens !== null && input("show-tokens").checked;
    veil.hidden = !shown;
    if (!step.tokens) return;
    const layer = Number(layerSlider.value);
    const { layers, columns, rows, kept } = step.tokens;
    const tokens = columns * rows;
    const of = layer > 0 ? kept.subarray((layer - 1) * tokens, layer * tokens) : kept;
    const share = of.reduce((a, b) => a + b, 0) / of.length;
    any("scrub-layer-value").textContent = `${layer > 0 ? `${layer} of ${layers}` : "all"}: ${percent(share)} computed`;
    layerSlider.setAttribute("aria-valuetext", any("scrub-layer-value").textContent);
    if (shown) drawVeil(veil, step.tokens, layer);
}

function tellFigures() {
    const seconds = steps.map((step) => step.seconds);
    const flops = sum(steps.map((step) => step.flops)) / steps.length;
    any("figure-time").textContent = time(sum(seconds));
    any("figure-step").textContent = time(median(seconds));
    any("figure-flops").textContent = work(flops);
    any("figure-saved").textContent = percent(Math.max(0, 1 - flops / steps[0].denseFlops));
}

for (const slider of [stepSlider, layerSlider]) slider.addEventListener("input", draw);
input("show-tokens").addEventListener("change", draw);
veil.hidden = true;
