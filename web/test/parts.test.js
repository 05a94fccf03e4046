/** The parts of the page that need no browser. */

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { deflateSync } from "node:zlib";
import { read, write } from "../page/link.js";
import { withText } from "../page/png.js";
import { serve } from "../serve.js";

test("a link says what the form says, and makes no sense of nonsense", () => {
    const request = { prompt: "Füße & “50 %” #1", seed: 7, steps: 12, guidance: 3.5, compression: { policy: "diffcr", ratio: 0.25 } };
    assert.deepEqual(read(write(request, "https://host/a model")), { request, model: "https://host/a model" });
    assert.deepEqual(read(write({ class: 3 }, null)), { request: { class: 3 }, model: null });
    assert.deepEqual(read("#seed=x&policy=<b>&steps=&cache=3"), { request: {}, model: null });
    for (const policy of ["dense", "mod", "sdtm", "tome", "kv"]) {
        const compression = { policy, cache: "2", ratio: 0.4 };
        const asked = { compression: { ...compression, set: { multiple: "1" } }, traced: true };
        assert.equal(write(asked, null), `#policy=${policy}&cache=2&ratio=0.4`);
        assert.deepEqual(read(write(asked, null)).request, { compression });
    }
});

test("text in a PNG is a chunk that readers accept", async () => {
    const chunk = (/** @type {string} */ name, /** @type {Buffer} */ data) => {
        const head = Buffer.alloc(8);
        head.writeUInt32BE(data.length);
        head.write(name, 4);
        const sum = Buffer.alloc(4);
        sum.writeUInt32BE(crc(Buffer.concat([head.subarray(4), data])));
        return Buffer.concat([head, data, sum]);
    };
    const signature = Buffer.from("89504e470d0a1a0a", "hex");
    const header = chunk("IHDR", Buffer.from("00000001000000010802000000", "hex"));
    const rest = Buffer.concat([chunk("IDAT", deflateSync(Buffer.alloc(4))), chunk("IEND", Buffer.alloc(0))]);
    const marked = await withText(new Blob([signature, header, rest]), { prompt: "ein Haus 🏠", seed: "7" });
    const text = [chunk("iTXt", Buffer.from("prompt\0\0\0\0\0ein Haus 🏠")), chunk("tEXt", Buffer.from("seed\0" + "7"))];
    assert.deepEqual(Buffer.from(await marked.arrayBuffer()), Buffer.concat([signature, header, ...text, rest]));
});

/** CRC-32 by its table. @param {Buffer} bytes */
function crc(bytes) {
    const table = Uint32Array.from({ length: 256 }, (_, n) => {
        for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
        return n;
    });
    return (bytes.reduce((c, byte) => table[(c ^ byte) & 255] ^ (c >>> 8), 0xffffffff) ^ 0xffffffff) >>> 0;
}

test("the server knows ranges and versions, and stays in its folder", async () => {
    const folder = mkdtempSync(join(tmpdir(), "foveate-"));
    writeFileSync(join(folder, "a.bin"), Buffer.from(Array.from({ length: 100 }, (_, i) => i)));
    const server = await serve(folder);
    const { port } = /** @type {import("node:net").AddressInfo} */ (server.address());
    const get = (/** @type {string} */ path, headers = {}) => fetch(`http://127.0.0.1:${port}/${path}`, { headers });
    try {
        const whole = await get("a.bin");
        assert.equal((await whole.arrayBuffer()).byteLength, 100);
        const tag = whole.headers.get("ETag") ?? "";
        assert.equal((await get("a.bin", { "If-None-Match": tag })).status, 304);
        const part = await get("a.bin", { Range: "bytes=7-9" });
        assert.deepEqual([part.status, part.headers.get("Content-Range")], [206, "bytes 7-9/100"]);
        assert.deepEqual([...new Uint8Array(await part.arrayBuffer())], [7, 8, 9]);
        assert.equal((await (await get("a.bin", { Range: "bytes=90-" })).arrayBuffer()).byteLength, 10);
        assert.equal((await get("a.bin", { Range: "bytes=100-" })).status, 416);
        assert.equal((await get("b.bin")).status, 404);
        assert.equal((await get("..%2f..%2fetc%2fpasswd")).status, 404);
        assert.equal((await get("%ff")).status, 400);
    } finally {
        server.close();
        rmSync(folder, { recursive: true });
    }
});
