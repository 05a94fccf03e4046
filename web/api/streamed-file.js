/** A file on its way from the server into the browser's storage, readable as far as it has come. */

import { BLOCK } from "./cache.js";
import { Failure } from "./failure.js";
import { ask } from "./server.js";

/** How often a broken connection is taken up again, and how long is waited before, in milliseconds. */
const RETRIES = 4;
const PAUSE = 500;

export class StreamedFile {
    source = /** @type {const} */ ("network");
    arrived = 0;
    #url;
    #tag;
    #signal;
    #store;
    #blocks = 0;
    /** @type {Failure | null} */
    #failure = null;
    /** @type {(() => void)[]} */
    #waiting = [];

    /**
     * @param {string} url
     * @param {{ size: number, tag: string, response: Response, room: import("./cache.js").Growing, signal: AbortSignal }} start
     */
    constructor(url, { size, tag, response, room, signal }) {
        this.size = size;
        this.#url = url;
        this.#tag = tag;
        this.#signal = signal;
        this.#store = room;
        void this.#receive(response);
    }

    /**
     * A block, as soon as it is here.
     * @param {number} index
     */
    async block(index) {
        while (index >= this.#blocks) {
            if (this.#failure) throw this.#failure;
            await new Promise((resolve) => this.#waiting.push(() => resolve(undefined)));
        }
        return this.#store.block(index);
    }

    /** @param {Response} response */
    async #receive(response) {
        try {
            const block = new Uint8Array(BLOCK);
            let filled = 0;
            for await (const chunk of this.#chunks(response)) {
                for (let at = 0; at < chunk.length;) {
                    const part = chunk.subarray(at, at + BLOCK - filled);
                    block.set(part, filled);
                    [at, filled] = [at + part.length, filled + part.length];
                    this.arrived += part.length;
                    if (filled === BLOCK || this.arrived === this.size) {
                        await this.#store.append(block.subarray(0, filled));
                        this.#blocks += 1;
                        filled = 0;
                        this.#wake();
                    }
                }
            }
            await this.#store.finish(this.#tag);
        } catch (error) {
            this.#store.abandon();
            this.#failure = Failure.from(error);
        }
        this.#wake();
    }

    /** The bytes from first to last, over as many connections as it takes. @param {Response} response */
    async *#chunks(response) {
        let got = 0;
        for (let retries = 0; ; retries++) {
            try {
                const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
                for (let part = await reader.read(); !part.done; part = await reader.read()) {
                    const chunk = part.value.subarray(0, this.size - got);
                    got += chunk.length;
                    yield chunk;
                }
            } catch {
                this.#signal.throwIfAborted();
            }
            if (got === this.size) return;
            response = await this.#again(got, retries);
        }
    }

    /** @param {number} from @param {number} retries */
    async #again(from, retries) {
        const broken = new Failure("Offline", `the connection broke after ${from} of ${this.size} bytes`);
        for (; retries < RETRIES; retries++) {
            await new Promise((resolve) => setTimeout(resolve, PAUSE << retries));
            const answer = await ask(this.#url, from, undefined, this.#signal);
            if (answer.state === "unreachable") continue;
            const same = answer.tag === this.#tag && answer.size === this.size && answer.response?.status === 206;
            if (!same) throw new Failure("File", "the file changed on the server while it was being read");
            return /** @type {Response} */ (answer.response);
        }
        throw broken;
    }

    #wake() {
        for (const resume of this.#waiting.splice(0)) resume();
    }
}
