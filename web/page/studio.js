/** The engine and the model of this page, opened when first needed and again after a failure. */

import { Engine } from "../foveate/index.js";
import * as tuning from "./tuning.js";

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
    #called;
    /** @type {Promise<Engine> | null} */
    #engine = null;
    /** @type {{ url: string, model: Promise<Model> } | null} */
    #loading = null;

    /**
     * @param {Listener} listener
     * @param {Wanted} adapter
     * @param {(url: string) => string | undefined} called what pictures call a model, where that is not its address
     */
    constructor(listener, adapter, called) {
        this.#listener = listener;
        this.#adapter = adapter;
        this.#called = called;
    }

    /** What the engine makes of a picture's file. @param {Blob} file */
    async look(file) {
        return (await this.#open()).look(file);
    }

    /**
     * A mask of what was painted.
     * @param {{ width: number, height: number }} size
     * @param {import("../foveate/index.js").Shape[]} shapes
     */
    async mask(size, shapes) {
        return (await this.#open()).mask(size, shapes);
    }

    /** Has the kernels follow their estimates again. */
    async forgetTuning() {
        tuning.forget();
        (await this.#open()).follow();
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
        const model = await engine.load(url, { name: this.#called(url), progress: this.#listener.progress });
        this.#listener.loaded(model);
        return model;
    }

    #open() {
        if (this.#engine) return this.#engine;
        const { opened, lost } = this.#listener;
        const options = { adapter: this.#adapter, opened, lost };
        const engine = Engine.create({ ...options, tuning: tuning.kept() }).catch((/** @type {Failure} */ error) => {
            // What another version of the engine kept may not be a tuning any more.
            if (error.kind !== "Usage" || !tuning.kept()) throw error;
            tuning.forget();
            return Engine.create(options);
        });
        this.#engine = engine;
        engine.catch(() => {
            this.#engine = null;
        });
        return engine;
    }
}
