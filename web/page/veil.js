/** Which tokens were computed, drawn over the picture: what a layer left out is dimmed, and what shared another's row. */

import { context } from "./dom.js";

/** @typedef {import("../foveate/index.js").TokenMap} TokenMap */

const DARKEST = 0.82;

/**
 * @param {HTMLCanvasElement} on
 * @param {TokenMap} map
 * @param {number[]} layers which of the map's; a token is dimmed by how many of them left it out
 */
export function drawVeil(on, { columns, rows, kept }, layers) {
    const tokens = columns * rows;
    const veil = new ImageData(columns, rows);
    for (let token = 0; token < tokens; token++) {
        let computed = 0;
        for (const layer of layers) computed += kept[layer * tokens + token];
        veil.data[4 * token + 3] = Math.round(255 * DARKEST * (1 - computed / layers.length));
    }
    [on.width, on.height] = [columns, rows];
    context(on).putImageData(veil, 0, 0);
}
