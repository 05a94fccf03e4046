/** The kept-ratio matrix as a picture: regions of the timesteps downwards, layers across. */

import { any, canvas, context } from "./dom.js";
import { percent } from "./format.js";

/** Pixels of a cell. */
const CELL = 24;

/** @param {import("../foveate/index.js").Facts["routing"]} routing */
export function showMatrix(routing) {
    any("routing").hidden = routing === null;
    if (!routing) return;
    const { keptRatio, mean } = routing;
    const [regions, layers] = [keptRatio.length, keptRatio[0].length];
    const on = canvas("matrix");
    [on.width, on.height] = [layers * CELL, regions * CELL];
    const draw = context(on);
    for (const [region, row] of keptRatio.entries()) {
        for (const [layer, kept] of row.entries()) {
            draw.fillStyle = colour(kept);
            draw.fillRect(layer * CELL, region * CELL, CELL, CELL);
        }
    }
    const [least, most] = [Math.min(...keptRatio.flat()), Math.max(...keptRatio.flat())];
    on.setAttribute("aria-label", `${layers} layers across, ${regions} timestep regions downwards, keeping ${percent(least)} to ${percent(most)} of their tokens`);
    any("matrix-caption").textContent =
        `${layers} layers from left to right, ${regions} ${regions === 1 ? "region" : "regions"} of the timesteps from noise (top) to picture. ` +
        `Bright keeps all tokens, dark few: ${percent(least)} to ${percent(most)}, ${percent(mean)} on average.`;
}

/** From dark blue over violet to warm white. @param {number} kept */
function colour(kept) {
    return `oklch(${0.25 + 0.68 * kept} ${0.16 - 0.08 * kept} ${275 + 175 * kept})`;
}
