/** A device in a worker of its own, a new one whenever that is lost, and the processor once GPUs are lost for good. */

import { again } from "./again.js";
import { Model } from "./model.js";
import { asFile } from "./picture-file.js";
import { Session } from "./session.js";
import { Failure } from "./failure.js";

/** @typedef {import("./protocol.js").Adapter} Adapter */
/** @typedef {import("./load-progress.js").Progress} Progress */
/** @typedef {import("./protocol.js").Tuning} Tuning */

/**
 * A device that was opened.
 * @typedef {object} Device
 * @property {Adapter} adapter
 * @property {Failure | null} instead why the processor took a GPU's place
 */

/**
 * @typedef {object} EngineOptions
 * @property {import("./protocol.js").Wanted} [adapter] "gpu" or "cpu", the processor; "auto" takes the processor where there is no
 * GPU that serves, or none any more
 * @property {"auto" | "gpu" | "readback"} [screen] how previews leave the device: drawn on a canvas there, or read back;
 * "auto" reads back on software adapters alone
 * @property {Tuning} [tuning] what `model.tune` returned, for the kernels to follow if it was measured on this GPU with these shaders;
 * `adapter.tuning` says whether they do
 * @property {boolean} [cache] whether models are kept in the browser's storage (they are)
 * @property {(device: Device) => void} [opened] told of every device: the first, and those that take the place of a lost one
 * @property {(why: Failure) => void} [lost] told when the device was lost; the engine starts another when it is next needed
 */

export class Engine {
    #options;
    /** What the next worker opens: once there was a GPU, one that starts again is waited for. @type {import("./protocol.js").Wanted} */
    #wanted;
    /** Why GPUs were given up. @type {Failure | null} */
    #instead = null;
    /** @type {Session | null} */
    #session = null;
    /** @type {Promise<Session> | null} */
    #opening = null;
    /** The adapter in use. @type {Adapter} */
    adapter = /** @type {any} */ (undefined);
    /** The engine's version. */
    version = "";

    /** @param {EngineOptions} options @private */
    constructor(options) {
        this.#options = options;
        this.#wanted = options.adapter ?? "auto";
    }

    /**
     * Opens the fastest GPU, or the processor. An engine that must have a GPU fails with "NoWebGPU", "NoAdapter" or "Limit".
     * @param {EngineOptions} [options]
     */
    static async create(options = {}) {
        const engine = new Engine(options);
        await engine.session();
        return engine;
    }

    /**
     * Loads a model in the diffusers layout from an address, streaming its weights to the device. Pictures name it by `name`, else
     * by its address.
     * @param {string | URL} url
     * @param {import("./foveate.js").LoadOptions & { name?: string, progress?: (progress: Progress) => void, signal?: AbortSignal }} [options]
     */
    async load(url, { name, progress, signal, ...options } = {}) {
        const address = new URL(url, globalThis.document?.baseURI ?? globalThis.location.href).href;
        const model = new Model(this, address, { name, options, progress, cache: this.#options.cache ?? true });
        await model.load(signal);
        return model;
    }

    /**
     * Reads a picture as a run does that begins with it: its size, upright, and what it looks like. What is no picture is refused as
     * it would be there.
     * @param {import("./foveate.js").PictureFile} image
     * @param {{ most?: number }} [options] the longer side of what is shown, in pixels
     */
    look(image, { most = 1600 } = {}) {
        return this.call("look", { image: /** @type {Blob} */ (asFile(image)), most });
    }

    /**
     * A mask for a picture of this size: white where the shapes mark it.
     * @param {{ width: number, height: number }} size
     * @param {import("./foveate.js").Shape[]} shapes in the order in which they were painted
     */
    async mask({ width, height }, shapes) {
        return new Blob([await this.call("painted", { width, height, shapes })], { type: "image/png" });
    }

    /**
     * Asks the worker at work, and another one where that is lost.
     * @template {keyof import("./protocol.js").Calls} Name
     * @param {Name} name
     * @param {import("./protocol.js").Calls[Name][0]} argument
     */
    call(name, argument) {
        return again(async () => (await this.session()).call(name, argument), (why) => this.giveUp(why));
    }

    /**
     * Has the kernels follow a tuning from now on, or their estimates where it is left out. That takes a new worker: runs under way end,
     * and models load again when they are next needed.
     * @param {Tuning} [tuning]
     */
    follow(tuning) {
        this.#options = { ...this.#options, tuning };
        this.#session?.close(new Failure("Cancelled", "the kernels follow another tuning"));
    }

    /** Ends the worker and frees the device. */
    close() {
        this.#session?.close();
    }

    /** The worker at work; another one, where that is dead. */
    async session() {
        if (this.#session && !this.#session.dead) return this.#session;
        this.#opening ??= this.#open().finally(() => {
            this.#opening = null;
        });
        return this.#opening;
    }

    /**
     * Gives GPUs up for the processor, and returns whether it may: not where a GPU was asked for. The next worker has it.
     * Runs that lost the last GPU together each come here; the first one's reason stays.
     * @param {Failure} why
     */
    giveUp(why) {
        if (this.#options.adapter === "gpu") return false;
        this.#wanted = "cpu";
        this.#instead ??= why;
        return true;
    }

    async #open() {
        const { screen = "auto", tuning = null, opened: tell, lost } = this.#options;
        const session = new Session();
        try {
            const { adapter, version, instead } = await session.call("open", { adapter: this.#wanted, screen, tuning });
            [this.#session, this.adapter, this.version] = [session, adapter, version];
            // GPUs may have been given up meanwhile: that holds for the worker after this one.
            if (this.#wanted === "auto") this.#wanted = adapter.kind;
            this.#instead ??= instead && new Failure(instead.kind, instead.message);
        } catch (error) {
            session.close(Failure.from(error));
            throw error;
        }
        session.ended = (why) => {
            if (why.recoverable) lost?.(why);
        };
        tell?.({ adapter: this.adapter, instead: this.adapter.kind === "cpu" ? this.#instead : null });
        return session;
    }
}
