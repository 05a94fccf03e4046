/** Dense and compressed side by side: pictures, their difference, times and work. */

import { any, canvas, context, made } from "./dom.js";
import { number, percent, perStep, sum, time, work } from "./format.js";

/** @typedef {import("./drawing.js").Drawn} Drawn */

/** How much the difference is enlarged, that one may see it. */
const ENLARGED = 4;
/** Bytes that are compared in one go. */
const AT_ONCE = 1 << 21;

/** @param {Drawn} dense @param {Drawn} compressed */
export async function showComparison(dense, compressed) {
    const { picture, mean, psnr } = await difference(dense.image, compressed.image);
    any("comparison").hidden = false;
    any("compare-caption").textContent = compressed.name;
    put("compare-dense", dense.image);
    put("compare-compressed", compressed.image);
    put("compare-difference", picture);

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

/** @param {string} id @param {ImageData} image */
function put(id, image) {
    const on = canvas(id);
    [on.width, on.height] = [image.width, image.height];
    context(on).putImageData(image, 0, 0);
}

/**
 * The difference as a picture, its mean over 0…1, and the peak signal-to-noise ratio in dB. Of a large picture it is not worked out in
 * one go: the page answers meanwhile.
 * @param {ImageData} a
 * @param {ImageData} b
 */
export async function difference(a, b) {
    const picture = new ImageData(a.width, a.height);
    let [absolute, squared, count] = [0, 0, 0];
    for (let i = 0; i < a.data.length; i++) {
        if (i % AT_ONCE === AT_ONCE - 1) await new Promise((resolve) => setTimeout(resolve));
        if (i % 4 === 3) {
            picture.data[i] = 255;
            continue;
        }
        const apart = Math.abs(a.data[i] - b.data[i]);
        picture.data[i] = ENLARGED * apart;
        absolute += apart / 255;
        squared += (apart / 255) ** 2;
        count++;
    }
    return { picture, mean: absolute / count, psnr: -10 * Math.log10(squared / count) };
}
