/** Dense and compressed side by side: pictures, their difference, times and work. */

import { any, canvas, context, made } from "./dom.js";
import { number, percent, perStep, sum, time, work } from "./format.js";

/** @typedef {import("./drawing.js").Drawn} Drawn */

/** How much the difference is enlarged, that one may see it. */
const ENLARGED = 4;
/** The longer side of what is shown, in pixels. */
const SHOWN = 1024;
/** Bytes that are compared in one go. */
const AT_ONCE = 1 << 19;

/** @param {Drawn} dense @param {Drawn} compressed */
export async function showComparison(dense, compressed) {
    const { mean, psnr } = await difference(dense.image, compressed.image);
    const shown = [await put("compare-dense", dense.image), await put("compare-compressed", compressed.image)];
    putDifference("compare-difference", shown[0], shown[1]);
    any("comparison").hidden = false;
    any("compare-caption").textContent = compressed.name;

    const [before, after] = [row(dense), row(compressed)];
    any("compare-rows").replaceChildren(before.line, after.line);
    const faster = before.step / after.step;
    const speed = faster >= 1 ? `${number(faster)} times as fast per step` : `${number(1 / faster)} times as slow per step`;
    const apart = mean === 0 ? "the same picture to the byte" : `pictures ${number(255 * mean, 2)} of 255 levels apart on average (${number(psnr)} dB)`;
    any("compare-verdict").textContent = `${compressed.name}: ${percent(1 - after.flops / before.flops)} less work, ${speed}, ${apart}.`;
}

/** @param {Drawn} drawn */
function row({ steps, name: policy }) {
    const seconds = steps.map((step) => step.seconds);
    const step = perStep(steps);
    const flops = sum(steps.map((step) => step.flops)) / steps.length;
    const line = made("tr");
    const name = made("th", policy);
    name.setAttribute("scope", "row");
    line.append(name, made("td", time(step)), made("td", time(sum(seconds))), made("td", work(flops)));
    return { line, step, flops };
}

/** Shows a picture, a large one smaller, and gives what is shown. @param {string} id @param {ImageData} image */
async function put(id, image) {
    const { width, height } = image;
    const scale = Math.min(1, SHOWN / Math.max(width, height));
    const [resizeWidth, resizeHeight] = [width, height].map((side) => Math.max(1, Math.round(scale * side)));
    const bitmap = await createImageBitmap(image, scale < 1 ? { resizeWidth, resizeHeight, resizeQuality: "medium" } : {});
    const on = canvas(id);
    [on.width, on.height] = [bitmap.width, bitmap.height];
    const draw = /** @type {CanvasRenderingContext2D} */ (on.getContext("2d", { willReadFrequently: true }));
    draw.drawImage(bitmap, 0, 0);
    bitmap.close();
    return draw.getImageData(0, 0, on.width, on.height);
}

/** Shows where two pictures differ. @param {string} id @param {ImageData} a @param {ImageData} b */
function putDifference(id, a, b) {
    const picture = new ImageData(a.width, a.height);
    for (let i = 0; i < a.data.length; i++) picture.data[i] = i % 4 === 3 ? 255 : ENLARGED * Math.abs(a.data[i] - b.data[i]);
    const on = canvas(id);
    [on.width, on.height] = [a.width, a.height];
    context(on).putImageData(picture, 0, 0);
}

/**
 * The mean difference over 0…1, and the peak signal-to-noise ratio in dB. Of a large picture it is not worked out in one go: the page
 * answers meanwhile.
 * @param {ImageData} a
 * @param {ImageData} b
 */
async function difference(a, b) {
    let [absolute, squared] = [0, 0];
    for (let i = 0; i < a.data.length; i++) {
        if (i % AT_ONCE === AT_ONCE - 1) await new Promise((resolve) => setTimeout(resolve));
        if (i % 4 === 3) continue;
        const apart = Math.abs(a.data[i] - b.data[i]) / 255;
        absolute += apart;
        squared += apart ** 2;
    }
    const count = 3 * a.width * a.height;
    return { mean: absolute / count, psnr: -10 * Math.log10(squared / count) };
}
