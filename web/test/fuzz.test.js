/** What strangers and broken workers may hand to the package and the page: nothing of it may throw, hang or be believed. */

import assert from "node:assert/strict";
import { register } from "node:module";
import { test } from "node:test";
import { Failure } from "../api/failure.js";
import { ModelFiles } from "../api/model-files.js";
import { snapshot } from "../api/picture-file.js";
import { ask } from "../api/server.js";
import { Session } from "../api/session.js";
import { read } from "../page/link.js";
import { Draw, fuzz } from "./fuzz.js";

const LENGTH = 1000;
/** What an honest server has. */
const BYTES = Uint8Array.from({ length: LENGTH }, (_, place) => place % 251);

test("what fails names the seed and the round that fail again", async () => {
    const drawn = /** @type {number[]} */ ([]);
    const failing = (/** @type {number} */ rounds) => (/** @type {Draw} */ draw) => {
        drawn.push(draw.random());
        if (--rounds === 0) throw new Error("found");
    };
    await assert.rejects(fuzz(failing(3), { seed: 5, first: 0 }), /^Error: FUZZ_SEED=5 FUZZ_ROUND=2: Error: found/);
    await assert.rejects(fuzz(failing(1), { seed: 5, first: 2 }), /^Error: FUZZ_SEED=5 FUZZ_ROUND=2: /);
    assert.equal(new Set(drawn).size, 3);
    assert.equal(drawn[3], drawn[2]);
});

test("any link is a request or nothing", () => fuzz((draw) => {
    const names = ["prompt", "class", "seed", "steps", "guidance", "policy", "ratio", "cache", "model", "set", "__proto__"];
    const field = () => `${draw.of(names)}${draw.of(["=", "", "=="])}${draw.of([encodeURIComponent, String])(draw.text().toWellFormed?.() ?? "")}`;
    const { request, model } = read(`${draw.of(["#", ""])}${Array.from({ length: draw.below(5) }, field).join("&")}`);
    assert.ok(model === null || typeof model === "string");
    assert.deepEqual(JSON.parse(JSON.stringify(request)), request);
    assert.equal(Object.getPrototypeOf(request), Object.prototype);
}));

/** An answer that says anything of itself. @param {Draw} draw */
function answer(draw) {
    const body = BYTES.subarray(draw.below(3) * draw.below(LENGTH), draw.of([LENGTH, LENGTH, draw.below(LENGTH)]));
    const status = draw.of([200, 200, 206, 206, 206, 304, 404, 410, 416, 500]);
    const headers = new Headers();
    const set = (/** @type {string} */ name, /** @type {string} */ value) => {
        if (draw.random() < 0.8) headers.set(name, value.replace(/[^\x21-\x7e]/g, " "));
    };
    const number = () => draw.of([String(LENGTH), String(body.length), String(draw.number()), draw.text(), "*"]);
    set("Content-Length", number());
    set("Content-Range", draw.of([`bytes 0-${number()}/${number()}`, `bytes */${number()}`, draw.text()]));
    if (draw.random() < 0.2) set("Content-Encoding", draw.of(["gzip", "", "br"]));
    if (draw.random() < 0.5) set("ETag", draw.of(["a", "b"]));
    const empty = status === 304;
    return new Response(empty ? null : body, { status, headers });
}

/** An answer as it should be. @param {RequestInit | undefined} asked */
function honest(asked) {
    const [, start, end] = /** @type {RegExpMatchArray} */ (new Headers(asked?.headers).get("Range")?.match(/^bytes=(\d+)-(\d*)$/));
    const part = BYTES.subarray(Number(start), end === "" ? LENGTH : Number(end) + 1);
    const range = `bytes ${start}-${Number(start) + part.length - 1}/${LENGTH}`;
    return new Response(part, { status: 206, headers: { "Content-Range": range, "Content-Length": String(part.length), ETag: "a" } });
}

/** @param {unknown} error */
function isLine(error) {
    assert.ok(error instanceof Error, String(error));
    assert.ok(!(error instanceof TypeError || error instanceof RangeError), error.stack);
    assert.doesNotMatch(error.message, /\n/);
}

test("what a server says of sizes is a size or left out", () => fuzz(async (draw) => {
    globalThis.fetch = async () => answer(draw);
    const { state, size, failure } = await ask("http://host/x", 0, draw.of([undefined, 1, LENGTH]));
    assert.ok(size === undefined || (Number.isSafeInteger(size) && size >= 0), `a size of ${size}`);
    if (state === "unreachable") isLine(failure);
}));

test("what is read from a server has the length that was asked for", () => fuzz(async (draw) => {
    const tricks = draw.below(4);
    let asked = 0;
    globalThis.fetch = async (_, init) => (asked++ === tricks || draw.random() < 0.2 ? answer(draw) : honest(init));
    const files = new ModelFiles("http://host/m", null, new AbortController().signal);
    try {
        const size = await files.size("x");
        const start = draw.below(size + 1);
        const end = start + draw.below(Math.min(size - start, 2 * LENGTH) + 1);
        const bytes = await files.read("x", start, end);
        assert.equal(bytes.length, end - start);
        // A server can lie about what is in a file. But nothing is made up here.
        const zeros = [...bytes].filter((byte) => byte === 0).length;
        assert.ok(zeros <= 1 + bytes.length / 200, `${zeros} of ${bytes.length} bytes are zero`);
    } catch (error) {
        if (error instanceof assert.AssertionError) throw error;
        isLine(error);
    }
}));

test("whatever a worker says, calls end", () => fuzz(async (draw) => {
    /** @type {any} */
    let worker;
    class Stub extends EventTarget {
        constructor() {
            super();
            worker = this;
        }
        postMessage() {}
        terminate() {}
    }
    // @ts-expect-error it has what a session uses
    globalThis.Worker = Stub;
    const session = new Session();
    const said = (/** @type {unknown} */ data) => worker.dispatchEvent(Object.assign(new Event("message"), { data }));
    const broken = /** @type {string[]} */ ([]);
    process.once("uncaughtException", note);
    function note(/** @type {Error} */ error) { broken.push(error.stack ?? ""); }
    const calls = [1, 2, 3].map(() => session.call("free", { id: 1 }).catch((error) => assert.ok(error instanceof Failure)));
    for (let messages = draw.below(6); messages > 0; messages--) {
        const failure = { kind: draw.of(["Usage", "OutOfMemory", "DeviceLost", draw.text()]), message: draw.text() };
        said(draw.changed({ id: draw.of([1, 2, 3, 4]), ...draw.of([{ result: draw.value() }, { failure }, { progress: draw.value() }, { lost: "gone" }]) }, 0));
    }
    session.close();
    await Promise.all(calls);
    await new Promise((resolve) => setImmediate(resolve));
    process.off("uncaughtException", note);
    assert.deepEqual(broken, []);
}));

/** What the worker can be asked for. */
const NAMES = ["open", "load", "prepare", "step", "free", "look", "painted", "png"];

test("whatever a page asks of the worker, it answers once, in order", async () => {
    // The engine's own module is built from Rust: here stands one that refuses everything by throwing.
    const engine = `
        const refuse = () => { throw Object.assign(new Error("no"), { name: "Usage" }); };
        export default async function init() {}
        export const version = () => "0";
        export class Engine { static async create() { return refuse(); } }
        export class Screen {}`;
    const hooks = `export async function resolve(name, context, next) {
        return name === "./foveate.js" ? { url: ${JSON.stringify(`data:text/javascript,${encodeURIComponent(engine)}`)}, shortCircuit: true } : next(name, context);
    }`;
    register(`data:text/javascript,${encodeURIComponent(hooks)}`);
    /** @type {any[]} */
    const answers = [];
    /** @type {(event: { data: unknown }) => void} */
    let ask = () => {};
    Object.assign(globalThis, {
        addEventListener: (/** @type {string} */ _, /** @type {typeof ask} */ listener) => { ask = listener; },
        postMessage: (/** @type {unknown} */ message) => { answers.push(structuredClone(message)); },
    });
    await import("../api/worker.js");
    let id = 0;
    await fuzz(async (draw) => {
        answers.length = 0;
        const [first, known] = [id + 1, new Set()];
        for (let count = 1 + draw.below(4); count > 0; count--) {
            const name = draw.of([...NAMES, draw.text(), draw.value()]);
            const argument = draw.changed({ id: 1, screen: "auto", url: "http://host/m", options: {}, cache: false, request: {}, state: null });
            if (NAMES.includes(name)) known.add(id + 1);
            ask({ data: { id: ++id, name, argument: draw.of([argument, argument, draw.value()]) } });
        }
        while (answers.filter((answer) => !answer.progress).length < id + 1 - first) await new Promise((resolve) => setImmediate(resolve));
        const ended = answers.filter((answer) => !answer.progress);
        assert.deepEqual(ended.map((answer) => answer.id), Array.from({ length: id + 1 - first }, (_, place) => first + place));
        assert.ok(ended.every(({ id, failure }) => known.has(id) || failure), "a call that is none has a result");
        for (const { failure } of ended) if (failure) assert.equal(typeof failure.message, "string");
        for (const answer of ended) if (!answer.failure) assert.ok("result" in answer);
    });
});

test("any request is taken as it is at that moment, its bytes as files", () => fuzz((draw) => {
    const bytes = draw.of([new Uint8Array(4), new ArrayBuffer(4), new DataView(new ArrayBuffer(8), 2, 4)]);
    const request = { image: draw.of([bytes, bytes, draw.value()]), mask: draw.value(), prompt: draw.text() };
    const taken = snapshot(/** @type {any} */ (request));
    if (request.image === bytes) assert.ok(taken.image instanceof Blob && taken.image.size === 4);
    assert.equal(taken.prompt, request.prompt);
}));

test("a failure is one whatever was thrown", () => fuzz((draw) => {
    const failure = Failure.from(draw.of([draw.value(0), new Error(draw.text()), Symbol("x")]));
    assert.ok(failure instanceof Failure && typeof failure.message === "string");
}));
