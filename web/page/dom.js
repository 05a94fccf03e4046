/** The page's elements, by id. */

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {{ new (): T }} type
 * @returns {T}
 */
export function element(id, type) {
    const found = document.getElementById(id);
    if (!(found instanceof type)) throw new TypeError(`the page has no ${type.name} #${id}`);
    return found;
}

export const canvas = (/** @type {string} */ id) => element(id, HTMLCanvasElement);
export const input = (/** @type {string} */ id) => element(id, HTMLInputElement);
export const button = (/** @type {string} */ id) => element(id, HTMLButtonElement);
export const any = (/** @type {string} */ id) => element(id, HTMLElement);

/** @param {HTMLCanvasElement} on @returns {CanvasRenderingContext2D} */
export function context(on) {
    const found = on.getContext("2d");
    if (!found) throw new TypeError("the browser gives no 2D canvas");
    return found;
}

/**
 * A new element with text.
 * @param {string} name
 * @param {string} [text]
 */
export function made(name, text = "") {
    const element = document.createElement(name);
    element.textContent = text;
    return element;
}
