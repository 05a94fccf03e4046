/** The engine and the model of this page, opened when first needed and again after a failure. */

import { Engine } from "../foveate/index.js";

/** @typedef {import("../foveate/index.js").Model} Model */
/** @typedef {import("../foveate/index.js").Progress} Progress */
/** @typedef {import("../foveate/index.js").Device} Device */
/** @typedef {import("../foveate/index.js").Failure} Failure */
/** @typedef {import("../foveate/index.js").Wanted} Wanted */

/**
 * @typedef {object} Listener
 * @property {(device: Device) => void} opened
 * @property {(progress: Progress) => void} progress
 * @property {(model: Model) => void} loaded
 * @property {(why: Failure) => void} lost
 */

export class Studio {
    #listener;
    #adapter;
    /** @type {Promise<Engine> | null} */
    #engine = null;
    /** @type {{ url: string, model: Promise<Model> } | null} */
    #loading = null;

    /** @param {Listener} listener @param {Wanted} adapter */
    constructor(listener, adapter) {
        this.#listener = listener;
        this.#adapter = adapter;
    }

    /** The engine's version, once it is open. */
    async version() {
        return (await this.#open()).version;
    }

    /** The model at an address, loaded once. @param {string} url */
    model(url) {
        if (this.#loading?.url === url) return this.#loading.model;
        const model = this.#load(url);
        const loading = { url, model };
        this.#loading = loading;
        // What failed is tried anew the next time.
        model.catch(() => {
            if (this.#loading === loading) this.#loading = null;
        });
        return model;
    }

    /** @param {string} url */
    async #load(url) {
        const engine = await this.#open();
        const model = await engine.load(url, { progress: this.#listener.progress });
        this.#listener.loaded(model);
        return model;
    }

    #open() {
        if (this.#engine) return this.#engine;
        const { opened, lost } = this.#listener;
        const engine = Engine.create({ adapter: this.#adapter, opened, lost });
        this.#engine = engine;
        engine.catch(() => {
            this.#engine = null;
        });
        return engine;
    }
}
