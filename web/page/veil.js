/** Which tokens were computed, drawn over the picture: what a layer left out is dimmed. */

import { context } from "./dom.js";

/** @typedef {import("../foveate/index.js").TokenMap} TokenMap */

const DARKEST = 0.82;

/**
 * @param {HTMLCanvasElement} on
 * @param {TokenMap} map
 * @param {number} layer counted from 1; 0 is all of them, dimmed by how many left the token out
 */
export function drawVeil(on, map, layer) {
    const { layers, columns, rows, kept } = map;
    const tokens = columns * rows;
    const veil = new ImageData(columns, rows);
    for (let token = 0; token < tokens; token++) {
        let computed = 0;
        for (let at = 0; at < layers; at++) computed += kept[at * tokens + token];
        const share = layer > 0 ? kept[(layer - 1) * tokens + token] : computed / layers;
        veil.data[4 * token + 3] = Math.round(255 * DARKEST * (1 - share));
    }
    [on.width, on.height] = [columns, rows];
    context(on).putImageData(veil, 0, 0);
}
