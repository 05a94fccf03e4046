/** The picture, its steps, and what was computed of them. */

import { any, canvas, context, input } from "./dom.js";
import { percent, perStep, sum, time, work } from "./format.js";
import { drawVeil } from "./veil.js";

/** @typedef {import("../foveate/index.js").Step} Step */
/** @typedef {import("../foveate/index.js").TokenMap} TokenMap */

const picture = canvas("picture");
const veil = canvas("veil");
const stepSlider = input("scrub-step");
const layerSlider = input("scrub-layer");

/** @type {Step[]} */
let steps = [];
/** Whether the run's tokens share rows, instead of going past layers. */
let merges = false;
/** Whether every second of its steps reuses what the inner blocks gave. */
let reuses = false;
/** How many layers the model has, as far as the run's maps tell. */
let layers = 0;

/**
 * Empties the stage for another run.
 * @param {import("../foveate/index.js").Request} request
 * @param {import("../foveate/index.js").Facts} facts of the model
 */
export function reset({ compression: { policy, cache } = {} }, { policies }) {
    merges = policies.find(({ name }) => name === policy)?.traces === "merged";
    reuses = cache !== undefined;
    layers = 0;
    any("show-tokens-label").textContent = merges ? "Show tokens that keep a row" : "Show computed tokens";
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
    // Some steps of a run may have no map, or one of some layers.
    layers = Math.max(layers, (step.tokens?.blocks.at(-1) ?? -1) + 1);
    any("layers").hidden = layers === 0;
    if (layers > 0) layerSlider.max = String(layers);
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
    const reused = reuses && step.index % 2 === 1;
    any("scrub-step-value").textContent = `${step.index + 1} of ${step.of}${reused ? ", inner blocks reused" : ""}`;
    stepSlider.setAttribute("aria-valuetext", any("scrub-step-value").textContent);
    if (step.preview) {
        [picture.width, picture.height] = [step.preview.width, step.preview.height];
        any("fitted").style.setProperty("--own", String(picture.width / picture.height));
        context(picture).drawImage(step.preview, 0, 0);
    }
    const map = step.tokens;
    const shown = map ? rows(map, reused) : [];
    veil.hidden = shown.length === 0 || !input("show-tokens").checked;
    if (map && !veil.hidden) drawVeil(veil, map, shown);
    if (map) place(map.area);
    const layer = Number(layerSlider.value);
    const which = layer > 0 ? `${layer} of ${layers}` : reused ? "first and last" : "all";
    any("scrub-layer-value").textContent = `${which}: ${map ? describe(map, shown) : "nothing merged"}`;
    layerSlider.setAttribute("aria-valuetext", any("scrub-layer-value").textContent);
}

/**
 * The rows of a map that the layer slider asks for, as far as this step computed their layers.
 * @param {TokenMap} map
 * @param {boolean} reused whether those were the first and the last alone: of others the map tells what is reused, or nothing
 */
function rows({ blocks }, reused) {
    const wanted = Number(layerSlider.value) - 1;
    const computed = (/** @type {number} */ block) => !reused || block === 0 || block === layers - 1;
    return [...blocks.keys()].filter((row) => computed(blocks[row]) && (wanted < 0 || blocks[row] === wanted));
}

/** @param {TokenMap} map @param {number[]} shown */
function describe({ columns, rows, kept }, shown) {
    if (shown.length === 0) return "reused";
    const tokens = columns * rows;
    const share = sum(shown.map((row) => sum([...kept.subarray(row * tokens, (row + 1) * tokens)]))) / (shown.length * tokens);
    return `${percent(share)} ${merges ? "keep a row" : "computed"}`;
}

/** Sets aside the place for a picture. @param {number} ratio of width by height, as far as it is known */
export function expect(ratio) {
    any("frame").style.setProperty("--ratio", String(ratio));
}

/** Lays the tokens over the part of the picture that they are of. @param {TokenMap["area"]} area */
function place(area) {
    const sides = /** @type {const} */ (["left", "top", "width", "height"]);
    for (const [at, side] of sides.entries()) veil.style[side] = `${100 * area[at]}%`;
}

function tellFigures() {
    const flops = sum(steps.map((step) => step.flops)) / steps.length;
    any("figure-time").textContent = time(sum(steps.map((step) => step.seconds)));
    any("figure-step").textContent = time(perStep(steps));
    any("figure-flops").textContent = work(flops);
    any("figure-saved").textContent = percent(Math.max(0, 1 - flops / steps[0].denseFlops));
}

for (const slider of [stepSlider, layerSlider]) slider.addEventListener("input", draw);
input("show-tokens").addEventListener("change", draw);
veil.hidden = true;
