/**
 * The line and the bar below the picture; the same for those who listen, less often; and the tab's title, which tells a
 * hidden tab's progress.
 */

import { any, element } from "./dom.js";

const bar = element("progress", HTMLProgressElement);
const TITLE = document.title;
/** How long screen readers are spared the next figure, in milliseconds. */
const PAUSE = 5000;
let spoken = -PAUSE;

/**
 * @param {string} text
 * @param {number} [share] of what is under way; left out for what has no measure
 */
export function status(text, share) {
    any("status").textContent = text;
    if (share === undefined) bar.removeAttribute("value");
    else bar.value = share;
    const passing = share !== undefined && share > 0 && share < 1;
    const now = performance.now();
    if (passing && now - spoken < PAUSE) return;
    spoken = passing ? now : -PAUSE;
    if (any("spoken").textContent !== text) any("spoken").textContent = text;
}

/** @param {string} [text] */
export function title(text) {
    document.title = text ? `${text} · ${TITLE}` : TITLE;
}
