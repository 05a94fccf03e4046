/** A worker and the calls to it. Once its device is lost, or the worker broke, it is dead for good. */

import { Failure } from "./failure.js";

/** @typedef {import("./protocol.js").Calls} Calls */

/** Each call has progress of its own kind. @typedef {(progress: any) => void} Tell */
/** @typedef {{ resolve: (result: any) => void, reject: (failure: Failure) => void, tell?: Tell }} Waiting */

export class Session {
    /** Why it can no longer be called. @type {Failure | null} */
    dead = null;
    /** Told when that happens. @type {((why: Failure) => void) | null} */
    ended = null;
    #worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "foveate" });
    /** @type {Map<number, Waiting>} */
    #waiting = new Map();
    #last = 0;

    constructor() {
        this.#worker.addEventListener("message", ({ data }) => this.#hear(data));
        this.#worker.addEventListener("error", (event) => {
            event.preventDefault();
            this.close(new Failure("Broken", event.message || "the engine's worker could not start"));
        });
    }

    /**
     * @template {keyof Calls} Name
     * @param {Name} name
     * @param {Calls[Name][0]} argument
     * @param {Tell} [tell]
     * @returns {Promise<Calls[Name][1]>}
     */
    call(name, argument, tell) {
        if (this.dead) return Promise.reject(this.dead);
        const id = ++this.#last;
        try {
            this.#worker.postMessage({ id, name, argument });
        } catch (error) {
            // A function, say: nothing that can be handed over.
            return Promise.reject(new Failure("Usage", error instanceof Error ? error.message : String(error)));
        }
        return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject, tell }));
    }

    /**
     * Ends the worker, and with it everything on its device.
     * @param {Failure} [why]
     */
    close(why = new Failure("Cancelled", "the engine was closed")) {
        if (this.dead) return;
        this.dead = why;
        this.#worker.terminate();
        for (const { reject } of this.#waiting.values()) reject(why);
        this.#waiting.clear();
        this.ended?.(why);
    }

    /** @param {{ id: number, result?: unknown, failure?: Failure, progress?: unknown, lost?: string }} message */
    #hear({ id, result, failure, progress, lost }) {
        if (lost !== undefined) return this.close(new Failure("DeviceLost", lost || "the GPU device was lost"));
        const waiting = this.#waiting.get(id);
        if (progress) return waiting?.tell?.(progress);
        this.#waiting.delete(id);
        if (!failure) return waiting?.resolve(result);
        const told = new Failure(failure.kind, failure.message);
        waiting?.reject(told);
        // A device that can hold nothing more, or a module that stopped amid its work: the next call starts with another.
        if (told.kind === "OutOfMemory" || told.recoverable) this.close(told);
    }
}
