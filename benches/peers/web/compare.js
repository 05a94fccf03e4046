/**
 * A step of DiT-S/2 in WebAssembly on one thread, by this project and by ONNX Runtime Web: `node compare.js FOLDER [rounds]`,
 * with the folder that `dit.py` wrote. Both run in this process and take turns.
 *
 * Seconds are the processor's time of this process, so that a machine's other work counts as little as it can.
 */

import { open, readFile, stat } from "node:fs/promises";
import { cpus } from "node:os";
import { join } from "node:path";
import * as ort from "onnxruntime-web";
import init, { Engine } from "../../../web/dist/foveate/foveate.js";

const [folder, rounds = "9"] = process.argv.slice(2);
const WARM = 3;

/** @typedef {{ name: string, step: () => Promise<void> }} Peer */

/** The package's module, with a model from disk. @returns {Promise<Peer>} */
async function foveate() {
    await init({ module_or_path: await readFile(new URL("../../../web/dist/foveate/foveate_bg.wasm", import.meta.url)) });
    const engine = Engine.processor();
    const model = await engine.load(files(join(folder, "model")), undefined, () => {});
    const { driver } = engine.adapter();
    // Guidance makes a batch of two. The step's sampling is part of its time.
    const request = { class: 7, steps: WARM + Number(rounds), guidance: 4, compression: { policy: "dense" } };
    const run = await model.prepare(request);
    return {
        name: `foveate (${driver})`,
        step: async () => {
            const taken = await run.step();
            if (!taken) throw new Error("the run has no step left");
            taken.free();
        },
    };
}

/** @returns {Promise<Peer>} */
async function onnxruntime() {
    ort.env.wasm.numThreads = 1;
    const session = await ort.InferenceSession.create(await readFile(join(folder, "transformer.onnx")), {
        executionProviders: ["wasm"],
        graphOptimizationLevel: "all",
    });
    const inputs = {
        sample: new ort.Tensor("float32", Float32Array.from({ length: 2 * 4 * 32 * 32 }, (_, i) => Math.sin(i)), [2, 4, 32, 32]),
        timestep: new ort.Tensor("int64", BigInt64Array.from([500n, 500n]), [2]),
        classes: new ort.Tensor("int64", BigInt64Array.from([7n, 1000n]), [2]),
    };
    return {
        name: `onnxruntime-web ${ort.env.versions.web}`,
        step: async () => {
            const { prediction } = await session.run(inputs);
            if (prediction.size !== 2 * 8 * 32 * 32) throw new Error(`a prediction of ${prediction.size} numbers`);
        },
    };
}

/** A folder as the engine reads it. @param {string} root */
function files(root) {
    return {
        size: async (/** @type {string} */ file) => (await stat(join(root, file))).size,
        exists: (/** @type {string} */ file) => stat(join(root, file)).then(() => true, () => false),
        read: async (/** @type {string} */ file, /** @type {number} */ start, /** @type {number} */ end) => {
            const handle = await open(join(root, file));
            try {
                const bytes = new Uint8Array(end - start);
                await handle.read(bytes, 0, bytes.length, start);
                return bytes;
            } finally {
                await handle.close();
            }
        },
        address: (/** @type {string} */ file) => join(root, file),
    };
}

/** Seconds of the processor that a step takes. @param {Peer} peer */
async function timed({ step }) {
    const before = process.cpuUsage();
    await step();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1e6;
}

/** The value that a share of all lies below. @param {number[]} values */
const quantile = (values, share = 0.5) => values.toSorted((a, b) => a - b)[Math.floor(share * values.length)];

const peers = [await foveate(), await onnxruntime()];
for (const peer of peers) for (let i = 0; i < WARM; i++) await peer.step();
const seconds = peers.map(() => /** @type {number[]} */ ([]));
for (let round = 0; round < Number(rounds); round++) {
    for (const [at, peer] of peers.entries()) seconds[at].push(await timed(peer));
}
console.log(`${cpus()[0].model.trim()}, node ${process.versions.node} (V8 ${process.versions.v8}), medians of ${rounds} rounds`);
for (const [at, { name }] of peers.entries()) console.log(`${quantile(seconds[at]).toFixed(3)} s  ${name}`);
const ratios = seconds[0].map((own, round) => seconds[1][round] / own);
const [low, middle, high] = [0.25, 0.5, 0.75].map((share) => quantile(ratios, share).toFixed(2));
console.log(`${middle} times as fast (half of the rounds: ${low} to ${high})`);
