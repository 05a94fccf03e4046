/** A request under way: iterate over it for its steps, and ask it for its picture. */

import { abortable } from "./abortable.js";
import { snapshot } from "./picture-file.js";

/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./protocol.js").State} State */

/**
 * @typedef {object} RunOptions
 * @property {AbortSignal} [signal] cancels: the step under way is the last
 * @property {HTMLCanvasElement | OffscreenCanvas} [canvas] shows every preview; it must have no other context than "bitmaprenderer"
 * @property {boolean} [preview] whether steps carry a preview (they do)
 */

/**
 * A step that was taken.
 * @typedef {object} Step
 * @property {number} index from 0
 * @property {number} of how many there are
 * @property {number} timestep what the model was told
 * @property {number} seconds that it took on the device
 * @property {number} flops floating-point operations
 * @property {number} denseFlops what they would be if every token were computed
 * @property {ImageBitmap | null} preview the picture so far, of a large one that began with another fewer pixels; none where a canvas
 * shows it
 * @property {import("./protocol.js").TokenMap | null} tokens where the request is `traced` and the policy routes or merges, in this step
 * @property {string[]} warnings what the user should know, with the first step
 */

export class Run {
    #model;
    #request;
    #options;
    /** @type {{ session: Session, prepared: import("./protocol.js").Prepared } | null} */
    #here = null;
    /** @type {State | null} */
    #state = null;
    /** Steps handed out. */
    #done = 0;
    /** @type {ImageData | null} */
    #image = null;
    /** What its picture says as a file. @type {[string, string][]} */
    #said = [];
    /** @type {AsyncGenerator<Step, void> | null} */
    #steps = null;
    #ended = false;
    /** The policy at work, once the first step was taken. */
    policy = "";
    /** The diffusers class of the scheduler, from then on, too. */
    scheduler = "";

    /**
     * @param {import("./model.js").Model} model
     * @param {import("./foveate.js").Request} request
     * @param {RunOptions} [options]
     */
    constructor(model, request, options = {}) {
        this.#model = model;
        this.#request = snapshot(request);
        this.#options = options;
    }

    /** The steps, each taken when it is asked for. Leaving the loop ends the run. */
    [Symbol.asyncIterator]() {
        return (this.#steps ??= this.#all());
    }

    /** The picture, after all steps that are left. */
    async image() {
        for await (const step of this) step.preview?.close();
        if (!this.#image) throw new TypeError("the run was ended before its last step");
        return this.#image;
    }

    /**
     * The picture as a PNG file, after all steps that are left. It says how it was drawn, as the command line's pictures do:
     * `foveate generate --like` draws it again.
     * @param {Record<string, string>} [more] what it is to say besides, by name
     */
    async png(more = {}) {
        const { width, height, data } = await this.image();
        const rgba = new Uint8Array(data.buffer, data.byteOffset, data.length);
        const said = /** @type {[string, string][]} */ ([...this.#said, ...Object.entries(more)]);
        return new Blob([await this.#model.engine.call("png", { width, height, rgba, said })], { type: "image/png" });
    }

    /** @returns {AsyncGenerator<Step, void>} */
    async *#all() {
        const { signal, canvas } = this.#options;
        try {
            while (!this.#image) {
                const step = await abortable(this.#model.again(() => this.#next()), signal);
                if (canvas && step.preview) {
                    const context = /** @type {ImageBitmapRenderingContext} */ (canvas.getContext("bitmaprenderer"));
                    [canvas.width, canvas.height] = [step.preview.width, step.preview.height];
                    context.transferFromImageBitmap(step.preview);
                    step.preview = null;
                }
                yield step;
            }
        } finally {
            this.#ended = true;
            this.#free();
        }
    }

    /** @returns {Promise<Step>} */
    async #next() {
        const session = await this.#model.session();
        if (this.#here?.session !== session) {
            const request = this.#request;
            const prepared = await session.call("prepare", { request, name: this.#model.name, state: this.#state });
            this.#here = { session, prepared };
            if (this.#ended) this.#free(); // it was cancelled meanwhile
        }
        if (!this.#here) throw new TypeError("the run was ended");
        const { id, steps, policy, scheduler, denseFlops, warnings, said } = this.#here.prepared;
        [this.policy, this.scheduler, this.#said] = [policy, scheduler, said];
        const { preview = true } = this.#options;
        const tokens = this.#request.traced ?? false;
        let taken;
        do {
            // A state that was kept some steps ago: those since were handed out already, and are taken once more.
            taken?.preview?.close();
            taken = await session.call("step", { id, preview, tokens, state: true });
            if (!taken) throw new TypeError("the run has no step left");
        } while (taken.index < this.#done);
        const { pixels, state, ...step } = taken;
        this.#done = step.index + 1;
        if (state) this.#state = state;
        if (pixels) this.#image = new ImageData(new Uint8ClampedArray(pixels.rgba.buffer), pixels.width, pixels.height);
        return { ...step, of: steps, denseFlops, warnings: step.index === 0 ? warnings : [] };
    }

    #free() {
        const here = this.#here;
        this.#here = null;
        // A dead worker has freed it already.
        here?.session.call("free", { id: here.prepared.id }).catch(() => {});
    }
}
