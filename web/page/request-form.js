/** The form: what to draw. */

import { any, button, element, input } from "./dom.js";
import { percent } from "./format.js";

/** @typedef {import("../foveate/index.js").Request} Request */
/** @typedef {import("../foveate/index.js").Facts} Facts */

const HINTS = {
    dense: "Every token through every layer.",
    diffcr: "Each layer computes the tokens that its router scores highest; how many was learned, layer by layer.",
    mod: "As DiffCR, but with one share for all layers.",
    sdtm: "Windows of similar tokens share a row while the picture takes shape, single tokens later; nothing was trained.",
    tome: "In every block the most similar tokens share a row of attention; nothing was trained.",
};
/**
 * What merging policies save as published, and at most: of four tokens one keeps its row, and sdtm begins with a fifth more than
 * what is asked for.
 */
const MERGING = { sdtm: { published: 0.3, most: 0.55 }, tome: { published: 0.5, most: 0.75 } };

const form = element("request", HTMLFormElement);
const prompt = element("prompt", HTMLTextAreaElement);
const ratio = input("ratio");
const cache = input("step-cache");

/** Whether the reader moved the slider: until then the checkpoint's own ratios, or the published one, hold. */
let moved = false;
/** Whether the reader, or a link, chose the policy: until then the model does. */
let chosen = false;
/** @type {Facts["routing"]} */
let routing = null;

/** @typedef {keyof typeof HINTS} Policy */

/** @returns {Policy} */
export function policy() {
    return /** @type {Policy} */ (new FormData(form).get("policy") ?? "dense");
}

/** Whether there is something to compare with dense. */
export function compresses() {
    return policy() !== "dense" || cache.checked;
}

/** Whether everything in it is valid; what is not is shown. What was sent off as shown stays as it is. */
export function valid() {
    chosen = true;
    return form.reportValidity();
}

/** @returns {Request} */
export function request() {
    const number = (/** @type {string} */ id) => Number(input(id).value);
    /** @type {Request} */
    const asked = { seed: number("seed"), steps: number("steps"), guidance: number("guidance"), policy: policy(), tokens: true };
    if (any("class-field").hidden) asked.prompt = prompt.value;
    else asked.class = number("class");
    if (asked.policy !== "dense" && moved) asked.ratio = number("ratio") / 100;
    // As published it merges in sixteens of windows, of which a small grid has none to give, and changes from windows to tokens at
    // step 20 of 50: here it is the same part of the way, however many steps there are.
    if (asked.policy === "sdtm") asked.set = { multiple: "1", switch_step: String(Math.round(0.4 * number("steps"))) };
    if (cache.checked) asked.stepCache = "2";
    return asked;
}

/** Shows a request: one that a link brought. @param {Request} asked */
export function show(asked) {
    if (asked.prompt !== undefined) prompt.value = asked.prompt;
    for (const id of /** @type {const} */ (["class", "seed", "steps", "guidance"])) {
        if (asked[id] !== undefined) input(id).value = String(asked[id]);
    }
    if (asked.policy !== undefined) {
        choose(asked.policy);
        chosen = true;
    }
    cache.checked = asked.stepCache !== undefined;
    // A link that names a policy and no ratio means the usual one.
    if (asked.policy !== undefined) moved = false;
    refresh(); // first the slider's range, then its value
    if (asked.ratio !== undefined) {
        ratio.value = String(Math.round(100 * asked.ratio));
        moved = true;
    }
    refresh();
}

/** Offers what the model can do. @param {Facts} facts */
export function offer(facts) {
    routing = facts.routing;
    any("prompt-field").hidden = facts.draws !== "prompt";
    any("class-field").hidden = facts.draws !== "class";
    for (const choice of form.querySelectorAll("input[name=policy]")) {
        const radio = /** @type {HTMLInputElement} */ (choice);
        radio.disabled = !facts.policies.includes(/** @type {Policy} */ (radio.value));
    }
    if (!facts.policies.includes(policy())) choose("dense");
    else if (!chosen) choose(routing ? "diffcr" : "dense");
    refresh();
}

/** @param {string} name */
function choose(name) {
    const radio = form.querySelector(`input[name=policy][value="${CSS.escape(name)}"]`);
    if (radio instanceof HTMLInputElement && !radio.disabled) radio.checked = true;
}

function refresh() {
    const name = policy();
    any("ratio-field").hidden = name === "dense";
    any("policy-hint").textContent = HINTS[name];
    const merging = name === "sdtm" || name === "tome" ? MERGING[name] : null;
    // A slider cannot promise more than the bins, or the windows, allow.
    const most = merging?.most ?? (name === "diffcr" && routing ? routing.mostSaved : 0.9);
    ratio.max = String(Math.floor(100 * most + 1e-6));
    const usual = merging?.published ?? (routing && 1 - routing.mean);
    if (!moved && usual !== null) ratio.value = String(Math.round(100 * usual));
    any("ratio-value").textContent = moved ? percent(Number(ratio.value) / 100) : merging ? "as published" : "as trained";
    ratio.setAttribute("aria-valuetext", any("ratio-value").textContent);
    button("compare").disabled = !compresses();
}

form.addEventListener("change", refresh);
any("policy-field").addEventListener("change", () => (chosen = true));
ratio.addEventListener("input", () => {
    moved = true;
    refresh();
});
button("dice").addEventListener("click", () => {
    input("seed").value = String(crypto.getRandomValues(new Uint32Array(1))[0] % 100_000);
});
for (const example of any("examples").querySelectorAll("button")) {
    example.addEventListener("click", () => {
        prompt.value = example.textContent ?? "";
        prompt.focus();
    });
}
// Enter draws; a new line is Shift and Enter.
prompt.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
});
refresh();
// Until now nothing heard the buttons.
for (const waiting of form.querySelectorAll("button:disabled:not(#compare)")) /** @type {HTMLButtonElement} */ (waiting).disabled = false;
