/** A model, on whichever worker is at work. */

import { abortable } from "./abortable.js";
import { again } from "./again.js";
import { Failure } from "./failure.js";
import { Run } from "./run.js";

/** @typedef {import("./engine.js").Engine} Engine */
/** @typedef {import("./session.js").Session} Session */
/** @typedef {import("./load-progress.js").Progress} Progress */

/**
 * @typedef {object} Loading
 * @property {string | undefined} name
 * @property {import("./foveate.js").LoadOptions} options
 * @property {((progress: Progress) => void) | undefined} progress
 * @property {boolean} cache
 */

/** Which model each worker holds: one at a time. @type {WeakMap<Session, { model: Model, facts: Promise<import("./protocol.js").Facts> }>} */
const held = new WeakMap();

export class Model {
    #loading;
    /** What it is, and where its weights came from. @type {import("./protocol.js").Facts} */
    facts = /** @type {any} */ (undefined);

    /** @param {Engine} engine @param {string} url @param {Loading} loading */
    constructor(engine, url, loading) {
        this.engine = engine;
        this.url = url;
        /** What pictures call it; its address where that is nothing. */
        this.name = loading.name;
        this.#loading = loading;
    }

    /**
     * Starts a request. Nothing happens until its steps are asked for.
     * @param {import("./foveate.js").Request} request
     * @param {import("./run.js").RunOptions} [options]
     */
    generate(request, options) {
        return new Run(this, request, options);
    }

    /**
     * Measures which variants of the kernels are fastest on this GPU for the products of a request, which begins with no picture, and has the
     * engine follow them from now on. Fails with "Gpu" on the processor, which has no variants. Returns what `Engine.create({ tuning })`
     * takes later.
     * @param {import("./foveate.js").Request} request
     * @param {{ seconds?: number, progress?: (progress: import("./protocol.js").Measured) => void, signal?: AbortSignal }} [options]
     */
    async tune(request, { seconds = 20, progress, signal } = {}) {
        const tuning = await this.again(async () => {
            const session = await this.session(signal);
            const measured = session.call("tune", { request, seconds }, progress);
            try {
                return await abortable(measured, signal);
            } catch (error) {
                // Ending its worker is the one way to end its measuring.
                if (signal?.aborted) session.close(new Failure("Cancelled", "measuring was cancelled"));
                throw error;
            }
        });
        this.engine.follow(tuning);
        return tuning;
    }

    /**
     * Loads it, unless it is there. `Engine.load` has done so.
     * @param {AbortSignal} [signal] ends the worker, and so what it is reading
     */
    async load(signal) {
        await this.again(() => this.session(signal));
    }

    /**
     * Does work again that a lost device interrupts.
     * @template T
     * @param {() => Promise<T>} work
     */
    again(work) {
        return again(work, (why) => this.engine.giveUp(why));
    }

    /**
     * The worker at work, with this model on it.
     * @param {AbortSignal} [signal]
     * @returns {Promise<Session>}
     */
    async session(signal) {
        let session = await this.engine.session();
        const there = held.get(session);
        if (there && there.model !== this) {
            // Ending its worker is the one way to free another model's memory at once.
            session.close(new Failure("Cancelled", "another model was loaded"));
            session = await this.engine.session();
        }
        const facts = held.get(session)?.facts ?? this.#start(session);
        try {
            this.facts = await abortable(facts, signal);
        } catch (error) {
            held.delete(session);
            if (signal?.aborted) session.close(new Failure("Cancelled", "loading was cancelled"));
            throw error;
        }
        return session;
    }

    /** @param {Session} session */
    #start(session) {
        const { options, progress, cache } = this.#loading;
        const facts = session.call("load", { url: this.url, options, cache }, progress);
        held.set(session, { model: this, facts });
        return facts;
    }
}
