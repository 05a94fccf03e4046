/** The engine and the model of this page, opened when first needed and again after a failure. */

import { Engine } from "../foveate/index.js";

/** @typedef {import("../foveate/index.js").Model} Model */
/** @typedef {import("../foveate/index.js").Progress} Progress */
/** @typedef {import("../foveate/index.js").Failure} Failure */

/**
 * @typedef {object} Listener
 * @property {(engine: Engine) => void} opened
 * @property {(progress: Progress) => void} progress
 * @property {(model: Model) => void} loaded
 * @property {(why: Failure) => void} lost
 */

export class Studio {
    #listener;
    /** @type {Promise<Engine> | null} */
    #engine = null;
    /** @type {{ url: string, model: Promise<Model> } | null} */
    #loading = null;

    /** @param {Listener} listener */
    constructor(listener) {
        this.#listener = listener;
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
        const engine = Engine.create({ lost: this.#listener.lost });
        this.#engine = engine;
        engine.then(this.#listener.opened, () => {
            this.#engine = null;
        });
        return engine;
    }
}
