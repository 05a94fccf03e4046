/**
 * A model folder as the module reads it. Each file comes from the browser's storage where a complete, current copy lies
 * there; else from the server, in one stream that is stored as it comes and can be read as far as it has come.
 */

import { BLOCK } from "./cache.js";
import { Failure } from "./failure.js";
import { RemoteFile } from "./remote-file.js";
import { address, ask } from "./server.js";
import { StreamedFile } from "./streamed-file.js";

/** @typedef {import("./cache.js").Cache} Cache */

/**
 * A file that is open.
 * @typedef {object} Opened
 * @property {number} size
 * @property {"network" | "cache"} source
 * @property {number} arrived bytes that came over the network
 * @property {(index: number) => Promise<Uint8Array>} block
 */

/** Blocks held for reading: neighbours are read one after the other, and embeddings row by row. */
const HELD = 8;

export class ModelFiles {
    #base;
    #cache;
    #signal;
    /** @type {Map<string, Promise<Opened | null>>} */
    #files = new Map();
    /** @type {Map<string, Promise<Uint8Array>>} */
    #held = new Map();
    /** What was open when last asked, by file: for progress. @type {Map<string, Opened>} */
    opened = new Map();
    /** The last failure of a file, with the kind that the module's own error has lost. @type {Failure | null} */
    failure = null;

    /**
     * @param {string} url the folder
     * @param {Cache | null} cache
     * @param {AbortSignal} signal stops what is being streamed
     */
    constructor(url, cache, signal) {
        this.#base = url.replace(/\/+$/, "");
        this.#cache = cache;
        this.#signal = signal;
    }

    /** @param {string} file */
    address(file) {
        return file ? address(this.#base, file) : this.#base;
    }

    /** @param {string} file */
    async exists(file) {
        return await this.#noted(this.#open(file)) !== null;
    }

    /** @param {string} file */
    async size(file) {
        return (await this.#noted(this.#present(file))).size;
    }

    /**
     * Bytes of a file, which lie inside it.
     * @param {string} file
     * @param {number} start
     * @param {number} end
     */
    async read(file, start, end) {
        const opened = await this.#noted(this.#present(file));
        const bytes = new Uint8Array(end - start);
        for (let index = Math.floor(start / BLOCK); index * BLOCK < end; index++) {
            const block = await this.#noted(this.#block(file, opened, index));
            const from = index * BLOCK;
            const part = block.subarray(Math.max(0, start - from), Math.min(block.length, end - from));
            bytes.set(part, Math.max(0, from - start));
        }
        return bytes;
    }

    /** @param {string} file @param {Opened} opened @param {number} index */
    #block(file, opened, index) {
        const name = `${index} ${file}`;
        const block = this.#held.get(name) ?? opened.block(index).catch(async (error) => {
            this.#held.delete(name);
            // A damaged copy must not be met again.
            if (error instanceof Failure && error.kind === "Corrupt") {
                this.#files.delete(file);
                await this.#cache?.remove(this.address(file));
            }
            throw error;
        });
        this.#held.delete(name);
        this.#held.set(name, block);
        for (const oldest of this.#held.keys()) {
            if (this.#held.size <= HELD) break;
            this.#held.delete(oldest);
        }
        return block;
    }

    /** @param {string} file */
    async #present(file) {
        const opened = await this.#open(file);
        if (opened === null) throw new Failure("NotFound", "the server has no such file");
        return opened;
    }

    /** @param {string} file */
    #open(file) {
        let opening = this.#files.get(file);
        if (opening === undefined) {
            opening = this.#find(file).then((opened) => {
                if (opened) this.opened.set(file, opened);
                return opened;
            });
            this.#files.set(file, opening);
        }
        return opening;
    }

    /**
     * @param {string} file
     * @returns {Promise<Opened | null>}
     */
    async #find(file) {
        const url = this.address(file);
        const kept = await this.#cache?.find(url) ?? null;
        // One byte tells whether the copy is current; without a copy the answer is the file itself.
        const answer = await ask(url, 0, kept ? 1 : undefined, this.#signal);
        if (kept) {
            await answer.response?.body?.cancel();
            const { size, tag } = kept.description;
            const changed = answer.state === "here" && (answer.tag !== tag || (answer.size ?? size) !== size);
            // What the server no longer has, or cannot say, is still here.
            if (!changed) return { size, source: "cache", arrived: 0, block: (index) => kept.block(index) };
            return this.#stream(url, await ask(url, 0, undefined, this.#signal));
        }
        if (answer.state === "here") return this.#stream(url, answer);
        if (answer.state === "absent") {
            await this.#cache?.noteAbsent(url);
            return null;
        }
        if (await this.#cache?.wasAbsent(url)) return null;
        throw answer.failure ?? new Failure("File", "the server gave no answer");
    }

    /**
     * @param {string} url
     * @param {import("./server.js").Answer} answer
     */
    async #stream(url, answer) {
        if (answer.state !== "here" || !answer.response) {
            throw answer.failure ?? new Failure("NotFound", "the server has no such file");
        }
        let { size, tag = "", response } = answer;
        if (size === undefined) {
            // A server that hides the length is read to the end first; the browser, not the module, holds it.
            const whole = await response.blob();
            size = whole.size;
            response = new Response(whole);
        }
        const room = await this.#cache?.begin(url, size);
        if (room) return new StreamedFile(url, { size, tag, response, room, signal: this.#signal });
        await response.body?.cancel();
        return new RemoteFile(url, { size, tag, signal: this.#signal });
    }

    /** What the module threw, with the kind of the failure that it came of. @param {unknown} error */
    failed(error) {
        if (!this.failure) return error;
        return new Failure(this.failure.kind, error instanceof Error ? error.message : this.failure.message);
    }

    /** @template T @param {Promise<T>} promise */
    async #noted(promise) {
        try {
            return await promise;
        } catch (error) {
            this.failure ??= Failure.from(error);
            throw error;
        }
    }
}
