/** The form: what to draw. */

import { any, button, element, input } from "./dom.js";
import { percent } from "./format.js";

/** @typedef {import("../foveate/index.js").Request} Request */
/** @typedef {import("../foveate/index.js").Compression} Compression */
/** @typedef {import("../foveate/index.js").Facts} Facts */

/** What merging policies can save at most: of four tokens one keeps its row, and sdtm begins with a fifth more than what is asked for. */
const MOST = /** @type {Record<string, number>} */ ({ sdtm: 0.55, tome: 0.75 });

const form = element("request", HTMLFormElement);
const prompt = element("prompt", HTMLTextAreaElement);
const ratio = input("ratio");
const cache = input("step-cache");

/** Whether the reader moved the slider: until then the checkpoint's own ratios, or the published one, hold. */
let moved = false;
/** Whether the reader, or a link, chose the policy: until then the model does. */
let chosen = false;
/** What the model can do, once that is known. @type {Facts | null} */
let facts = null;

/** The policy's name. */
function policy() {
    return String(new FormData(form).get("policy") ?? "dense");
}

/** What the model says of the policy. */
function known() {
    const name = policy();
    return facts?.policies.find((one) => one.name === name);
}

/** Whether the policy has a ratio. Before the model says so, all but the one that computes everything may. */
function hasRatio() {
    return known()?.ratio ?? policy() !== "dense";
}

/** Whether there is something to compare with dense. */
export function compresses() {
    return policy() !== "dense" || cache.checked;
}

/** Whether the policy, as it is set, can choose among the tokens under a mask. */
export function choosesAmong() {
    return (known()?.masked ?? true) && !cache.checked;
}

/** Whether everything in it is valid; what is not is shown. What was sent off as shown stays as it is. */
export function valid() {
    chosen = true;
    return form.reportValidity();
}

/** @returns {Request} */
export function request() {
    const number = (/** @type {string} */ id) => Number(input(id).value);
    /** @type {Compression} */
    const compression = { policy: policy() };
    if (hasRatio() && moved) compression.ratio = number("ratio") / 100;
    // As published it merges in sixteens of windows, of which a small grid has none to give, and changes from windows to tokens at
    // step 20 of 50: here it is the same part of the way, however many steps there are.
    if (compression.policy === "sdtm") compression.set = { multiple: "1", switch_step: String(Math.round(0.4 * number("steps"))) };
    if (cache.checked) compression.cache = "2";
    /** @type {Request} */
    const asked = { seed: number("seed"), steps: number("steps"), guidance: number("guidance"), compression, traced: true };
    if (any("class-field").hidden) asked.prompt = prompt.value;
    else asked.class = number("class");
    return asked;
}

/** Shows a request: one that a link brought. @param {Request} asked */
export function show(asked) {
    if (asked.prompt !== undefined) prompt.value = asked.prompt;
    for (const id of /** @type {const} */ (["class", "seed", "steps", "guidance"])) {
        if (asked[id] !== undefined) input(id).value = String(asked[id]);
    }
    const { policy, ratio: saved, cache: cached } = asked.compression ?? {};
    if (policy !== undefined && radio(policy)) {
        choose(policy);
        // A link that names a policy and no ratio means the usual one.
        [chosen, moved] = [true, false];
    }
    cache.checked = cached !== undefined;
    refresh(); // first the slider's range, then its value
    if (saved !== undefined) {
        ratio.value = String(Math.round(100 * saved));
        moved = true;
    }
    refresh();
}

/** Offers what the model can do. @param {Facts} told */
export function offer(told) {
    facts = told;
    any("prompt-field").hidden = facts.draws !== "prompt";
    any("class-field").hidden = facts.draws !== "class";
    const names = facts.policies.map(({ name }) => name);
    for (const choice of form.querySelectorAll("input[name=policy]")) {
        const button = /** @type {HTMLInputElement} */ (choice);
        button.disabled = !names.includes(button.value);
    }
    if (!chosen) choose(facts.defaults.policy);
    else if (!names.includes(policy())) choose("dense");
    refresh();
}

/** The button of a policy, where there is one. @param {string} name @returns {HTMLInputElement | null} */
function radio(name) {
    return form.querySelector(`input[name=policy][value="${CSS.escape(name)}"]`);
}

/** @param {string} name */
function choose(name) {
    const button = radio(name);
    if (button && !button.disabled) button.checked = true;
}

function refresh() {
    const [name, routing, about] = [policy(), facts?.routing ?? null, known()];
    any("ratio-field").hidden = !hasRatio();
    // Until the model is here, the page's own hint is that of the policy it begins with.
    if (about || chosen) any("policy-hint").textContent = about ? sentence(about.summary) : "";
    // A slider cannot promise more than the bins, or the windows, allow.
    const most = MOST[name] ?? (name === "diffcr" && routing ? routing.mostSaved : 0.9);
    ratio.max = String(Math.floor(100 * most + 1e-6));
    const published = about?.parameters.find((parameter) => parameter.name === "ratio")?.default;
    const usual = published ? Number(published) : routing && 1 - routing.mean;
    if (!moved && usual !== null) ratio.value = String(Math.round(100 * usual));
    any("ratio-value").textContent = moved ? percent(Number(ratio.value) / 100) : published ? "as published" : "as trained";
    ratio.setAttribute("aria-valuetext", any("ratio-value").textContent);
    button("compare").disabled = !compresses();
}

/** @param {string} text */
function sentence(text) {
    return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
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
