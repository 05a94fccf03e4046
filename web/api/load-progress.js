/** How far loading is, over all files: what came over the network, and of kept files what reached the device. */

/** @typedef {{ done: number, total: number, source: "network" | "cache" }} Progress */

/** How often a listener is told, in milliseconds. */
const PERIOD = 100;

export class LoadProgress {
    #files;
    #tell;
    #timer;
    /** The share of each component on the device. @type {Map<string, number>} */
    #shares = new Map();

    /**
     * @param {import("./model-files.js").ModelFiles} files
     * @param {(progress: Progress) => void} tell
     */
    constructor(files, tell) {
        this.#files = files;
        this.#tell = tell;
        this.#timer = setInterval(() => this.#now(), PERIOD);
    }

    /** The module's listener. */
    uploaded = (/** @type {string} */ component, /** @type {number} */ done, /** @type {number} */ total) => {
        this.#shares.set(component, total > 0 ? done / total : 1);
    };

    get total() {
        return this.#sum((file) => file.size);
    }

    /** Where the bytes come from: the cache only if nothing came over the network. @returns {"network" | "cache"} */
    get source() {
        const fetched = [...this.#files.opened.values()].some((file) => file.source === "network");
        return fetched ? "network" : "cache";
    }

    end() {
        clearInterval(this.#timer);
        this.#now();
    }

    #now() {
        const done = this.#sum((file, name) => {
            const share = this.#shares.get(name.split("/")[0]) ?? 0;
            return file.source === "network" ? Math.max(file.arrived, share * file.size) : share * file.size;
        });
        // Small files have no share to wait for; the last report is whole.
        const [total, source] = [this.total, this.source];
        this.#tell({ done: Math.min(done, total), total, source });
    }

    /** @param {(file: import("./model-files.js").Opened, name: string) => number} of */
    #sum(of) {
        let sum = 0;
        for (const [name, file] of this.#files.opened) if (name.endsWith(".safetensors")) sum += of(file, name);
        return sum;
    }
}
