/** Where the page says what went wrong, and offers to try again. */

import { any, button, made } from "./dom.js";
import { explain } from "./messages.js";

const place = any("trouble");

/**
 * @param {unknown} thrown
 * @param {() => void} [again]
 */
export function tell(thrown, again) {
    const { kind, sentence, detail } = explain(thrown);
    const told = [made("p", sentence)];
    if (detail) {
        const line = made("p", detail);
        line.className = "detail";
        told.push(line);
    }
    if (again) {
        const retry = /** @type {HTMLButtonElement} */ (made("button", "Try again"));
        retry.type = "button";
        retry.addEventListener("click", again);
        told.push(retry);
    }
    place.dataset.kind = kind;
    place.replaceChildren(...told);
    place.hidden = false;
}

/** What is not an error, though it should be known. @param {string} text */
export function note(text) {
    place.dataset.kind = "Note";
    place.replaceChildren(made("p", text));
    place.hidden = false;
}

export function clear() {
    // Who tried again by keyboard does not lose the way.
    if (place.contains(document.activeElement)) button("generate").focus();
    place.hidden = true;
    place.replaceChildren();
    delete place.dataset.kind;
}
