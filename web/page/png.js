/** PNG with text: a picture that carries the request it was made with, as those of the command line do. */

/**
 * Adds text to a PNG, right after its header.
 * @param {Blob} png
 * @param {Record<string, string>} text
 */
export async function withText(png, text) {
    const bytes = new Uint8Array(await png.arrayBuffer());
    const header = 8 + 25; // the signature, and IHDR with its length, name and checksum
    const chunks = Object.entries(text).map(([key, value]) => {
        // The older chunk, which every viewer reads, knows no more than Latin-1.
        const [name, gap] = /^[\0-\x7f]*$/.test(value) ? ["tEXt", "\0"] : ["iTXt", "\0\0\0\0\0"];
        return chunk(name, new TextEncoder().encode(key + gap + value));
    });
    return new Blob([bytes.subarray(0, header), ...chunks, bytes.subarray(header)], { type: "image/png" });
}

/** @param {string} name @param {Uint8Array} data */
function chunk(name, data) {
    const bytes = new Uint8Array(12 + data.length);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, data.length);
    bytes.set(new TextEncoder().encode(name), 4);
    bytes.set(data, 8);
    view.setUint32(8 + data.length, checksum(bytes.subarray(4, 8 + data.length)));
    return bytes;
}

/** CRC-32. @param {Uint8Array} bytes */
function checksum(bytes) {
    let sum = -1;
    for (const byte of bytes) {
        sum ^= byte;
        for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0);
    }
    return ~sum >>> 0;
}
