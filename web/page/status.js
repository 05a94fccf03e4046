/** The line and the bar below the picture, and the tab's title, which tells a hidden tab's progress. */

import { any, element } from "./dom.js";

const bar = element("progress", HTMLProgressElement);
const TITLE = document.title;

/**
 * @param {string} text
 * @param {number} [share] of what is under way; left out for what has no measure
 */
export function status(text, share) {
    any("status").textContent = text;
    if (share === undefined) bar.removeAttribute("value");
    else bar.value = share;
}

/** @param {string} [text] */
export function title(text) {
    document.title = text ? `${text} · ${TITLE}` : TITLE;
}
