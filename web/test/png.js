/** PNG files for tests: written and read by their own few lines, so that no code under test judges itself. */

import assert from "node:assert/strict";
import { deflateSync, inflateSync } from "node:zlib";

const SIGNATURE = Buffer.from("89504e470d0a1a0a", "hex");

/** @typedef {{ width: number, height: number, rgb: Uint8Array }} Picture */

/**
 * A picture of `value(x, y)`: three numbers of 8 bits, or of 16.
 * @param {number} width
 * @param {number} height
 * @param {(x: number, y: number) => number[]} value
 * @param {8 | 16} [depth]
 */
export function png(width, height, value, depth = 8) {
    const [bytes, row] = [depth / 8, 3 * width * (depth / 8)];
    const rows = Buffer.alloc(height * (row + 1));
    for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
            for (const [channel, number] of value(x, y).entries()) {
                rows.writeUIntBE(number, y * (row + 1) + 1 + (3 * x + channel) * bytes, bytes);
            }
        }
    }
    const header = Buffer.alloc(13);
    header.writeUInt32BE(width, 0);
    header.writeUInt32BE(height, 4);
    header.set([depth, 2, 0, 0, 0], 8);
    return Buffer.concat([SIGNATURE, chunk("IHDR", header), chunk("IDAT", deflateSync(rows)), chunk("IEND", Buffer.alloc(0))]);
}

/** @param {string} name @param {Buffer} data */
export function chunk(name, data) {
    const head = Buffer.alloc(8);
    head.writeUInt32BE(data.length);
    head.write(name, 4);
    const sum = Buffer.alloc(4);
    sum.writeUInt32BE(crc(Buffer.concat([head.subarray(4), data])));
    return Buffer.concat([head, data, sum]);
}

/** The chunks of a PNG, in their order. @param {Buffer} file @returns {[string, Buffer][]} */
export function chunks(file) {
    assert.deepEqual(file.subarray(0, 8), SIGNATURE);
    const found = /** @type {[string, Buffer][]} */ ([]);
    for (let at = 8; at < file.length;) {
        const data = file.subarray(at + 8, at + 8 + file.readUInt32BE(at));
        const name = file.toString("latin1", at + 4, at + 8);
        assert.deepEqual(chunk(name, data), file.subarray(at, at + 12 + data.length), `the checksum of ${name}`);
        found.push([name, data]);
        at += 12 + data.length;
    }
    return found;
}

/** What a PNG says, by name. @param {Buffer} file @returns {Record<string, string>} */
export function said(file) {
    const text = chunks(file).filter(([name]) => name === "tEXt");
    return Object.fromEntries(text.map(([, data]) => [data.toString("latin1", 0, data.indexOf(0)), data.toString("latin1", data.indexOf(0) + 1)]));
}

/** The pixels of a PNG with 8 bits a channel, of grey or colours. @param {Buffer} file @returns {Picture} */
export function pixelsOf(file) {
    const all = chunks(file);
    const header = /** @type {Buffer} */ (all.find(([name]) => name === "IHDR")?.[1]);
    const [width, height, depth, colour, , , interlaced] = [header.readUInt32BE(0), header.readUInt32BE(4), ...header.subarray(8)];
    const channels = /** @type {Record<number, number>} */ ({ 0: 1, 2: 3 })[colour];
    assert.ok(depth === 8 && channels && !interlaced, `depth ${depth}, colour ${colour}`);
    const rows = inflateSync(Buffer.concat(all.filter(([name]) => name === "IDAT").map(([, data]) => data)));
    const [length, rgb] = [width * channels, new Uint8Array(3 * width * height)];
    let before = Buffer.alloc(length);
    for (let y = 0; y < height; y++) {
        const [filter, row] = [rows[y * (length + 1)], rows.subarray(y * (length + 1) + 1, (y + 1) * (length + 1))];
        for (let at = 0; at < length; at++) {
            const left = at < channels ? 0 : row[at - channels];
            const corner = at < channels ? 0 : before[at - channels];
            row[at] += [0, left, before[at], (left + before[at]) >> 1, paeth(left, before[at], corner)][filter];
            for (let channel = 0; channel < 3 / channels; channel++) rgb[y * 3 * width + at * (3 / channels) + channel] = row[at];
        }
        before = row;
    }
    return { width, height, rgb };
}

/** @param {number} left @param {number} above @param {number} corner */
function paeth(left, above, corner) {
    const guess = left + above - corner;
    const [a, b, c] = [left, above, corner].map((value) => Math.abs(guess - value));
    return a <= b && a <= c ? left : b <= c ? above : corner;
}

/** CRC-32 by its table. @param {Buffer} bytes */
function crc(bytes) {
    const table = (crc.table ??= Uint32Array.from({ length: 256 }, (_, n) => {
        for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
        return n;
    }));
    return (bytes.reduce((c, byte) => table[(c ^ byte) & 255] ^ (c >>> 8), 0xffffffff) ^ 0xffffffff) >>> 0;
}
/** @type {Uint32Array | undefined} */
crc.table = undefined;
