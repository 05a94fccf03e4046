/** The parts of the page that need no browser. */

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { read, write } from "../page/link.js";
import { bordered, outpaint, Shapes } from "../page/shapes.js";
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

test("what is painted is taken back and painted again, shape by shape", () => {
    const shapes = new Shapes();
    const [stroke, rectangle] = /** @type {import("../page/shapes.js").Shape[]} */ ([{ stroke: [[1, 2]], radius: 3 }, { rectangle: [[0, 0], [4, 4]] }]);
    for (const shape of [stroke, rectangle, /** @type {const} */ ("invert")]) shapes.add(shape);
    shapes.undo();
    shapes.undo();
    assert.deepEqual([shapes.list, shapes.canUndo, shapes.canRedo], [[stroke], true, true]);
    shapes.redo();
    assert.deepEqual(shapes.list, [stroke, rectangle]);
    // What is painted now is what comes next: the old future is gone.
    shapes.add("clear");
    assert.deepEqual([shapes.list, shapes.canRedo], [[stroke, rectangle, "clear"], false]);
    for (let more = 0; more < 5; more++) shapes.undo();
    assert.deepEqual([shapes.list, shapes.canUndo], [[], false]);
});

test("a border is in requests as the command line reads it, and as large as the engine makes it", () => {
    assert.equal(outpaint({ left: 0, top: 0, right: 0, bottom: 0 }), undefined);
    const border = { left: 25, top: 0, right: 10, bottom: 50 };
    assert.equal(outpaint(border), "25%,0%,10%,50%");
    assert.deepEqual(bordered({ width: 101, height: 33 }, border), { left: 25, top: 0, width: 136, height: 50 });
});

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
