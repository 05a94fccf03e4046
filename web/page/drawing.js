/** One request drawn, or the same one dense and compressed: what both have in common. */

/** @typedef {import("../foveate/index.js").Model} Model */
/** @typedef {import("../foveate/index.js").Request} Request */
/** @typedef {import("../foveate/index.js").Step} Step */

/**
 * What became of a request.
 * @typedef {{ steps: Step[], image: ImageData, policy: string, name: string }} Drawn the policy, and what to call it with its step cache
 */

/**
 * Draws a request, telling every step.
 * @param {Model} model
 * @param {Request} request
 * @param {AbortSignal} signal
 * @param {(step: Step) => void} told
 * @returns {Promise<Drawn>}
 */
export async function draw(model, request, signal, told) {
    const run = model.generate(request, { signal });
    const steps = [];
    for await (const step of run) {
        steps.push(step);
        told(step);
    }
    const image = await run.image();
    return { steps, image, policy: run.policy, name: request.stepCache ? `${run.policy} + cache` : run.policy };
}
