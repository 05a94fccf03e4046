/** Pictures as input of the package: what comes of them is the command line's, and what is none is refused. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { launch, open, psnr, site, WITHOUT_GPU } from "./browser.js";
import { fileOfNative } from "./native.js";
import { chunk, pixelsOf, png, said } from "./png.js";

const TINY = "goldens/routed/dit_mlp/model";
/** Between two orders of the same sums. */
const SAME = 60;
/** What the browser itself tells the console of files that are not there. */
const EXPECTED = /Failed to load resource/;
/** A photo of another size and ratio than the model's 20 by 20. */
const [WIDTH, HEIGHT] = [47, 31];

/** @type {import("playwright-core").Browser} */
let browser;
/** @type {Awaited<ReturnType<typeof site>>} */
let server;
/** @type {Awaited<ReturnType<typeof open>>} */
let visit;

/** @param {number} x @param {number} y */
const colour = (x, y) => [(5 * x + 40) % 256, (7 * y + 20) % 256, (x * y) % 256];
/** A rectangle, and a pixel that the canvas is too coarse for. @param {number} x @param {number} y */
const marked = (x, y) => (x >= 12 && x < 30 && y >= 9 && y < 22) || (x === 40 && y === 3);
const FILES = {
    photo: png(WIDTH, HEIGHT, colour),
    // The upper 8 bits are those of the other.
    deep: png(WIDTH, HEIGHT, (x, y) => colour(x, y).map((value) => 257 * value), 16),
    mask: png(WIDTH, HEIGHT, (x, y) => marked(x, y) ? [255, 255, 255] : [0, 0, 0]),
};

before(async () => {
    [browser, server] = await Promise.all([launch(WITHOUT_GPU), site()]);
    visit = await open(await browser.newContext({ serviceWorkers: "block" }));
    await visit.page.goto(`${server.url}foveate/package.json`);
    await visit.page.evaluate(async (url) => {
        const { Engine } = await import(String("/foveate/index.js"));
        const engine = await Engine.create({ adapter: "cpu" });
        const model = await engine.load(url, { name: "model" });
        const bytes = (/** @type {string} */ text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
        const text = async (/** @type {Blob} */ blob) => {
            const url = await new Promise((resolve) => {
                const reader = new FileReader();
                reader.onload = () => resolve(reader.result);
                reader.readAsDataURL(blob);
            });
            return String(url).split(",")[1];
        };
        Object.assign(globalThis, { engine, model, bytes, text });
    }, `/${TINY}`);
});
after(async () => {
    await browser?.close();
    await server?.close();
});

/**
 * The file of the picture that the package draws.
 * @param {object} asked
 * @param {Record<string, Buffer>} files by the request's names
 */
async function drawn(asked, files) {
    const given = Object.fromEntries(Object.entries(files).map(([name, file]) => [name, file.toString("base64")]));
    const { file, data } = await visit.page.evaluate(async ({ asked, given }) => {
        const { model, bytes, text } = /** @type {any} */ (globalThis);
        const files = Object.fromEntries(Object.entries(given).map(([name, file]) => [name, bytes(file)]));
        const run = model.generate({ ...asked, ...files }, { preview: false });
        // What becomes of the caller's bytes afterwards is nothing to the run.
        for (const file of Object.values(files)) file.fill(0);
        return { data: Array.from((await run.image()).data), file: await text(await run.png()) };
    }, { asked, given });
    const picture = Buffer.from(file, "base64");
    const { width, height, rgb } = pixelsOf(picture);
    assert.deepEqual(data.filter((_, at) => at % 4 !== 3), Array.from(rgb), "the file is the picture");
    return { width, height, rgb, said: said(picture) };
}

/** Whether a pixel is what the photo has there. @param {{ width: number, rgb: Uint8Array }} picture @param {number} x @param {number} y @param {number} [left] @param {number} [top] */
function kept({ width, rgb }, x, y, left = 0, top = 0) {
    const at = 3 * ((y + top) * width + x + left);
    return colour(x, y).every((value, channel) => rgb[at + channel] === value);
}

/** @param {(x: number, y: number) => void} visit each pixel of the photo */
function everywhere(visit) {
    for (let y = 0; y < HEIGHT; y++) for (let x = 0; x < WIDTH; x++) visit(x, y);
}

const ASKED = { class: 7, steps: 3, seed: 2 };
const WORDS = ["--class", "7", "--steps", "3", "--seed", "2", "--model", `tests/${TINY}`, "--adapter", "cpu"];

test("pictures begin with pictures as the command line's do, and say the same", async () => {
    const { photo, deep, mask } = FILES;
    const masked = { image: photo, mask };
    const cases = /** @type {[string, object, Record<string, Buffer>, string[], [number, number]][]} */ ([
        ["image-to-image", { strength: 0.7 }, { image: deep }, ["--image", "@image", "--strength", "0.7"], [24, 16]],
        ["padded", { fit: "pad", size: [20, 20] }, { image: photo }, ["--image", "@image", "--fit", "pad", "--size", "20x20"], [20, 13]],
        ["inpainting", {}, masked, ["--image", "@image", "--mask", "@mask"], [WIDTH, HEIGHT]],
        [
            "masked compute, feathered", { feather: 3, size: [20, 20], compression: { masked: "every=2,around=0" } }, masked,
            ["--image", "@image", "--mask", "@mask", "--feather", "3", "--size", "20x20", "--masked", "every=2,around=0"], [WIDTH, HEIGHT],
        ],
        [
            "outpainting", { outpaint: "25%,0,4,0" }, masked, ["--image", "@image", "--mask", "@mask", "--outpaint", "25%,0,4,0"],
            [WIDTH + 12 + 4, HEIGHT],
        ],
    ]);
    for (const [name, asked, files, words, size] of cases) {
        const picture = await drawn({ ...ASKED, ...asked }, files);
        const native = fileOfNative([...WORDS, ...words], files);
        assert.deepEqual([picture.width, picture.height, native.width, native.height], [...size, ...size], name);
        const agreement = psnr(picture.rgb, native.rgb, 3);
        assert.ok(agreement >= SAME, `${name}: ${agreement.toFixed(1)} dB`);
        assert.deepEqual({ ...picture.said, foveate: JSON.parse(picture.said.foveate) }, { ...native.said, foveate: JSON.parse(native.said.foveate) }, name);
        if (name === "inpainting") {
            everywhere((x, y) => assert.ok(marked(x, y) || kept(picture, x, y), `(${x}, ${y}) is not marked and was changed`));
            let changed = 0;
            everywhere((x, y) => changed += Number(!kept(picture, x, y)));
            assert.ok(changed > 200, `${changed} pixels of the mask were drawn`);
            // The command line draws it again from what it says; and another seed is another picture.
            const like = { ...files, like: rewritten(picture) };
            const again = (/** @type {string[]} */ ...more) => fileOfNative(["--like", "@like", ...words, ...WORDS.slice(-4), ...more], like);
            assert.deepEqual(again(), native);
            assert.ok(psnr(again("--seed", "3").rgb, native.rgb, 3) < 40);
        }
        if (name === "outpainting") everywhere((x, y) => assert.ok(marked(x, y) || kept(picture, x, y, 12, 0)));
    }
});

/** A file that says what a picture says. @param {{ said: Record<string, string> }} picture */
function rewritten({ said }) {
    const file = png(1, 1, () => [0, 0, 0]);
    const end = 8 + 25; // the signature and the header
    return Buffer.concat([file.subarray(0, end), chunk("tEXt", Buffer.from(`foveate\0${said.foveate}`)), file.subarray(end)]);
}

test("JPEG and WebP are read as everywhere: upright, and to the bit", async () => {
    const [jpeg, webp] = (await visit.page.evaluate(async (photo) => {
        const { bytes, text } = /** @type {any} */ (globalThis);
        const image = await createImageBitmap(new Blob([bytes(photo)]));
        const canvas = new OffscreenCanvas(image.width, image.height);
        canvas.getContext("2d")?.drawImage(image, 0, 0);
        return Promise.all(["image/jpeg", "image/webp"].map(async (type) => text(await canvas.convertToBlob({ type }))));
    }, FILES.photo.toString("base64"))).map((file) => Buffer.from(file, "base64"));
    // The camera was turned by a quarter: an APP1 segment behind the start of the image says so.
    const exif = Buffer.from("ffe100224578696600004d4d002a000000080001011200030000000100060000000000000000", "hex").subarray(0, 36);
    const turned = Buffer.concat([jpeg.subarray(0, 2), exif, jpeg.subarray(2)]);
    for (const [image, size] of /** @type {[Buffer, number[]][]} */ ([[turned, [HEIGHT, WIDTH]], [webp, [WIDTH, HEIGHT]]])) {
        // A mask that marks next to nothing: the rest is the photo as it was read.
        const mask = png(size[0], size[1], (x, y) => x + y === 0 ? [255, 255, 255] : [0, 0, 0]);
        const picture = await drawn({ ...ASKED, steps: 1 }, { image, mask });
        assert.deepEqual([picture.width, picture.height], size);
        const native = fileOfNative([...WORDS, "--steps", "1", "--image", "@image", "--mask", "@mask"].filter((word, at) => !(at === 2 || at === 3)), { image, mask });
        assert.deepEqual(picture.rgb.subarray(3), native.rgb.subarray(3));
        const looked = await visit.page.evaluate(async (file) => {
            const { engine, bytes } = /** @type {any} */ (globalThis);
            const { width, height, shown } = await engine.look(bytes(file), { most: 40 });
            return [width, height, shown.width, shown.height];
        }, image.toString("base64"));
        assert.deepEqual(looked, [...size, ...size.map((side) => Math.floor(side * 40 / WIDTH))]);
    }
});

test("shapes become a mask of the picture's size, to the pixel", async () => {
    const { mask, refused } = await visit.page.evaluate(async () => {
        const { engine, text } = /** @type {any} */ (globalThis);
        const size = { width: 12, height: 8 };
        const mask = await engine.mask(size, [
            { rectangle: [[2, 1], [9, 6]] }, { stroke: [[4.5, 3.5], [6.5, 3.5]], radius: 0.6, erase: true }, "invert", { stroke: [[11.5, 7.5]], radius: 0.5, erase: true },
        ]);
        const refused = [];
        for (const [size, shapes] of [
            [{ width: 0, height: 8 }, []], [{ width: 1 << 20, height: 1 }, []], [{ width: 60_000, height: 60_000 }, []],
            [{ width: 4, height: 4 }, [{ stroke: [[NaN, 1]], radius: 1 }]], [{ width: 4, height: 4 }, ["wipe"]], [{ width: 4, height: 4 }, 7],
        ]) refused.push(await engine.mask(size, shapes).then(() => "taken", ({ kind, message }) => [kind, message]));
        return { mask: await text(mask), refused };
    });
    const { width, height, rgb } = pixelsOf(Buffer.from(mask, "base64"));
    assert.deepEqual([width, height], [12, 8]);
    for (let y = 0; y < 8; y++) {
        for (let x = 0; x < 12; x++) {
            const [inside, erased, corner] = [x >= 2 && x < 9 && y >= 1 && y < 6, y === 3 && x >= 4 && x <= 6, x === 11 && y === 7];
            const white = !(inside && !erased) && !corner;
            assert.equal(rgb[3 * (12 * y + x)], white ? 255 : 0, `(${x}, ${y})`);
        }
    }
    const reasons = [/a mask of 0x8 has no pixel/, /65536 pixels along a side/, /pixels are painted on/, /the shapes/, /the shapes/, /the shapes/];
    for (const [at, [kind, message]] of refused.entries()) {
        assert.equal(kind, "Usage", message);
        assert.match(message, reasons[at]);
    }
});

test("what is no picture, or says nothing of one, is refused in a line, and the engine goes on", async () => {
    const { photo, mask } = FILES;
    const huge = Buffer.from(photo);
    huge.writeUInt32BE(60_000, 16);
    huge.writeUInt32BE(60_000, 20);
    const claims = Buffer.concat([huge.subarray(0, 8), chunk("IHDR", huge.subarray(16, 29)), huge.subarray(33)]);
    const files = /** @type {Record<string, Buffer>} */ ({
        photo, mask, claims, gif: Buffer.from("GIF89a and more"), empty: Buffer.alloc(0), half: photo.subarray(0, photo.length >> 1),
        other: png(HEIGHT, WIDTH, () => [255, 255, 255]), text: Buffer.alloc(40 << 20, "no picture "),
    });
    const image = "photo";
    const cases = /** @type {[object, string, RegExp][]} */ ([
        [{ image: "gif" }, "Picture", /^the picture: it is no picture in PNG, JPEG or WebP$/],
        [{ image: "empty" }, "Picture", /it is no picture/],
        [{ image: "half" }, "Picture", /^the picture: it cannot be read as a picture/],
        [{ image: "claims" }, "Usage", /^the picture: a picture.* is too large: at most 134217728 pixels are read$/],
        [{ image, mask: "gif" }, "Picture", /^the mask: it is no picture/],
        [{ image, mask: "other" }, "Usage", /^the mask has 31x47 pixels, and 47x31 are needed$/],
        [{ image: "text" }, "Picture", /it is no picture/],
        [{ mask: "mask" }, "Usage", /^a mask needs the picture/],
        [{ feather: 3 }, "Usage", /^a feather needs the picture/],
        [{ fit: "pad" }, "Usage", /^a fit needs the picture/],
        [{ outpaint: "1,0,0,0" }, "Usage", /^a border needs the picture/],
        [{ strength: 0.5 }, "Usage", /^a strength needs the picture/],
        [{ image, strength: 0 }, "Usage", /a strength of 0 is not above 0/],
        [{ image, strength: 0.2 }, "Usage", /leaves none of 3 steps/],
        [{ image, feather: 3 }, "Usage", /^a feather needs a mask, or a border$/],
        [{ image, mask: "mask", feather: -1 }, "Usage", /^the request: .*-1/],
        [{ image, fit: "stretch" }, "Usage", /there are crop and pad/],
        [{ image, fit: "pad", outpaint: "1,0,0,0" }, "Usage", /shown whole/],
        [{ image, outpaint: "0,0,0,0" }, "Usage", /adds no pixel/],
        [{ image, outpaint: "1000%,1000%,1000%,10000000" }, "Usage", /at most 65536 pixels/],
        [{ image, compression: { masked: "10" } }, "Usage", /^masked compute needs a picture with a mask$/],
        [{ image, mask: "mask", compression: { policy: "kv", masked: "10" } }, "Usage", /the policy kv needs all tokens/],
        [{ image, mask: "mask", compression: { masked: "0" } }, "Usage", /the first step has to compute all/],
    ]);
    const given = Object.fromEntries(Object.entries(files).map(([name, file]) => [name, name === "text" ? "" : file.toString("base64")]));
    await visit.page.workers()[0].evaluate(() => {
        const { arrayBuffer } = Blob.prototype;
        Object.assign(self, { read: 0 });
        Blob.prototype.arrayBuffer = function () {
            /** @type {any} */ (self).read = Math.max(/** @type {any} */ (self).read, this.size);
            return arrayBuffer.call(this);
        };
    });
    const told = await visit.page.evaluate(async ({ given, asked }) => {
        const { model, bytes } = /** @type {any} */ (globalThis);
        const file = (/** @type {string} */ name) => name === "text" ? new Blob([new Uint8Array(40 << 20).fill(65)]) : bytes(given[name]);
        const told = [];
        for (const one of asked) {
            const request = { class: 7, steps: 3, ...one };
            for (const name of ["image", "mask"]) if (request[name]) request[name] = file(request[name]);
            told.push(await model.generate(request).image().then(() => ["drawn", ""], ({ kind, message }) => [kind, message]));
        }
        // What is no file at all, and a file that has a name.
        for (const image of [7, "photo.png", {}, () => 0]) told.push(await model.generate({ class: 7, image }).image().catch(({ kind, message }) => [kind, message]));
        told.push(await model.generate({ class: 7, image: new File(["?"], "cat.png") }).image().catch(({ kind, message }) => [kind, message]));
        return told;
    }, { given, asked: cases.map(([asked]) => asked) });
    for (const [at, [asked, kind, reason]] of cases.entries()) {
        assert.equal(told[at][0], kind, `${JSON.stringify(asked)}: ${told[at][1]}`);
        assert.match(told[at][1], reason);
        assert.doesNotMatch(told[at][1], /\n/);
    }
    const rest = told.slice(cases.length);
    assert.deepEqual(rest.map(([kind]) => kind), ["Usage", "Usage", "Usage", "Usage", "Picture"]);
    assert.equal(rest[0][1], "the picture is neither a file nor the bytes of one");
    assert.equal(rest[4][1], "cat.png: it is no picture in PNG, JPEG or WebP");
    // Of a file that begins as no picture no more than its beginning was read.
    const read = await visit.page.workers()[0].evaluate(() => /** @type {any} */ (self).read);
    assert.ok(read < 1 << 20, `${read} bytes at once`);

    const { width } = await drawn(ASKED, { image: photo });
    assert.equal(width, 24);
});

test("a model whose encoder is out of reach says so, and draws once it is not", async () => {
    const draw = () => visit.page.evaluate(async (photo) => {
        const { engine, bytes } = /** @type {any} */ (globalThis);
        const self = /** @type {any} */ (globalThis);
        self.scenes ??= await engine.load("/models/scenes");
        try {
            const { width, height } = await self.scenes.generate({ prompt: "a red house", steps: 2, strength: 0.5, image: bytes(photo) }, { preview: false }).image();
            return { width, height };
        } catch (error) {
            return { kind: error.kind };
        }
    }, FILES.photo.toString("base64"));
    await visit.page.evaluate(async () => {
        const { Engine } = await import(String("/foveate/index.js"));
        const self = /** @type {any} */ (globalThis);
        self.engine.close();
        // Nothing is kept: what is needed is asked for.
        self.engine = await Engine.create({ adapter: "cpu", cache: false });
        self.scenes = await self.engine.load("/models/scenes");
    });
    server.hooks.now = (path, request) => {
        if (path.includes("/vae/")) request.socket.destroy();
        return path.includes("/vae/");
    };
    assert.deepEqual(await draw(), { kind: "Offline" });
    server.hooks.now = () => false;
    assert.deepEqual(await draw(), { width: 48, height: 32 });
    await visit.page.evaluate(() => /** @type {any} */ (globalThis).engine.close());
    await visit.quiet(EXPECTED);
});
