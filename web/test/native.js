/** The same request drawn by the native program, to compare with. */

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "./browser.js";
import { pixelsOf, said } from "./png.js";

/**
 * Draws natively and gives the picture as RGB bytes.
 * @param {string[]} options of `foveate generate`
 */
export function drawNatively(options) {
    return within((folder) => {
        const tensors = join(folder, "tensors.safetensors");
        generate([...options, "-o", join(folder, "a.png"), "--save-tensors", tensors]);
        return interleaved(readFileSync(tensors));
    });
}

/**
 * Draws natively with files of its own, and gives the picture's file: its pixels, and what it says.
 * @param {string[]} options of `foveate generate`, with "@name" for a file
 * @param {Record<string, Uint8Array>} files by name
 */
export function fileOfNative(options, files) {
    return within((folder) => {
        for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, name), bytes);
        const drawn = join(folder, "drawn.png");
        generate([...options.map((option) => option.startsWith("@") ? join(folder, option.slice(1)) : option), "-o", drawn]);
        const file = readFileSync(drawn);
        return { ...pixelsOf(file), said: said(file) };
    });
}

/** @param {string[]} options */
function generate(options) {
    execFileSync("cargo", ["run", "--quiet", "--locked", "--", "generate", ...options], { cwd: ROOT, stdio: ["ignore", "ignore", "inherit"] });
}

/** @template T @param {(folder: string) => T} work in a folder of its own, which is gone afterwards */
function within(work) {
    const folder = mkdtempSync(join(tmpdir(), "foveate-"));
    try {
        return work(folder);
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
