/** A device in a worker of its own, and a new one whenever that is lost. */

import { Model } from "./model.js";
import { Session } from "./session.js";
import { Failure } from "./failure.js";

/** @typedef {import("./protocol.js").Adapter} Adapter */
/** @typedef {import("./load-progress.js").Progress} Progress */

/**
 * @typedef {object} EngineOptions
 * @property {"auto" | "gpu" | "readback"} [screen] how previews leave the device: drawn on a canvas there, or read back;
 * "auto" reads back on software adapters alone
 * @property {boolean} [cache] whether models are kept in the browser's storage (they are)
 * @property {(why: Failure) => void} [lost] told when the device was lost; the engine starts another when it is next needed
 */

export class Engine {
    #options;
    /** @type {Session | null} */
    #session = null;
    /** @type {Promise<Session> | null} */
    #opening = null;
    /** The adapter in use. @type {Adapter} */
    adapter;
    /** The engine's version. @type {string} */
    version;

    /** @param {EngineOptions} options @param {Session} session @param {import("./protocol.js").Opened} opened */
    constructor(options, session, { adapter, version }) {
        this.#options = options;
        this.#session = session;
        [this.adapter, this.version] = [adapter, version];
    }

    /**
     * Opens the fastest adapter. Fails with "NoWebGPU", "NoAdapter" or "Limit".
     * @param {EngineOptions} [options]
     */
    static async create(options = {}) {
        const { session, opened } = await open(options);
        return new Engine(options, session, opened);
    }

    /**
     * Loads a model in the diffusers layout from an address, streaming its weights to the device.
     * @param {string | URL} url
     * @param {import("./foveate.js").LoadOptions & { progress?: (progress: Progress) => void, signal?: AbortSignal }} [options]
     */
    async load(url, { progress, signal, ...options } = {}) {
        const address = new URL(url, globalThis.document?.baseURI ?? globalThis.location.href).href;
        const model = new Model(this, address, { options, progress, cache: this.#options.cache ?? true });
        await model.load(signal);
        return model;
    }

    /** Ends the worker and frees the device. */
    close() {
        this.#session?.close();
    }

    /** The worker at work; another one, where that is dead. */
    async session() {
        if (this.#session && !this.#session.dead) return this.#session;
        this.#opening ??= open(this.#options).then(({ session, opened }) => {
            [this.#session, this.adapter] = [session, opened.adapter];
            return session;
        }).finally(() => {
            this.#opening = null;
        });
        return this.#opening;
    }
}

/** @param {EngineOptions} options */
async function open(options) {
    const session = new Session();
    try {
        const opened = await session.call("open", { screen: options.screen ?? "auto" });
        session.ended = (why) => {
            if (why.recoverable) options.lost?.(why);
        };
        return { session, opened };
    } catch (error) {
        session.close(Failure.from(error));
        throw error;
    }
}
