/** The same request drawn by the native program, to compare with. */

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "./browser.js";

/**
 * Draws natively and gives the picture as RGB bytes.
 * @param {string[]} options of `foveate generate`
 */
export function drawNatively(options) {
    const folder = mkdtempSync(join(tmpdir(), "foveate-"));
    try {
        const tensors = join(folder, "tensors.safetensors");
        const command = ["run", "--quiet", "--locked", "--", "generate", ...options, "-o", join(folder, "a.png"), "--save-tensors", tensors];
        execFileSync("cargo", command, { cwd: ROOT, stdio: ["ignore", "ignore", "inherit"] });
        return interleaved(readFileSync(tensors));
    } finally {
        rmSync(folder, { recursive: true });
    }
}

/** `image [3, H, W]` of a safetensors file as RGB bytes. @param {Buffer} file */
function interleaved(file) {
    const length = Number(file.readBigUInt64LE(0));
    const { image } = JSON.parse(file.toString("utf8", 8, 8 + length));
    const [, height, width] = image.shape;
    const rgb = new Uint8Array(3 * width * height);
    for (let i = 0; i < rgb.length; i++) {
        const [pixel, plane] = [Math.floor(i / 3), i % 3];
        const value = file.readFloatLE(8 + length + image.data_offsets[0] + 4 * (plane * width * height + pixel));
        rgb[i] = Math.round(255 * value);
    }
    return rgb;
}
