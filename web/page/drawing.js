/** One request drawn, or the same one dense and compressed: what both have in common. */

/** @typedef {import("../foveate/index.js").Model} Model */
/** @typedef {import("../foveate/index.js").Request} Request */
/** @typedef {import("../foveate/index.js").Step} Step */

/**
 * What became of a request.
 * @typedef {object} Drawn
 * @property {Step[]} steps
 * @property {ImageData} image
 * @property {import("../foveate/index.js").Run} run that drew it
 * @property {string} name of the policy, with its step cache
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
    const { cache, masked } = request.compression ?? {};
    const name = cache ? `${run.policy} + cache` : masked ? `${run.policy} under the mask` : run.policy;
    return { steps, image, run, name };
}
