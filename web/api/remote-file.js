/** A file that stays on the server, read by ranges: where the browser keeps nothing for this page, or has no room. */

import { BLOCK } from "./cache.js";
import { Failure } from "./failure.js";
import { ask } from "./server.js";

export class RemoteFile {
    source = /** @type {const} */ ("network");
    arrived = 0;
    #url;
    #tag;
    #signal;
    /** The whole, from a server that knows no ranges: held by the browser, outside the module. @type {Blob | null} */
    #whole = null;

    /**
     * @param {string} url
     * @param {{ size: number, tag: string, signal: AbortSignal }} known
     */
    constructor(url, { size, tag, signal }) {
        this.size = size;
        this.#url = url;
        this.#tag = tag;
        this.#signal = signal;
    }

    /** @param {number} index */
    async block(index) {
        const [start, end] = [index * BLOCK, Math.min(this.size, (index + 1) * BLOCK)];
        if (!this.#whole) {
            const answer = await ask(this.#url, start, end, this.#signal);
            if (answer.state !== "here" || !answer.response) {
                throw answer.failure ?? new Failure("NotFound", "the server no longer has it");
            }
            if (answer.tag !== this.#tag) {
                throw new Failure("File", "the file changed on the server while it was being read");
            }
            if (answer.response.status === 206) {
                const bytes = new Uint8Array(await answer.response.arrayBuffer());
                if (bytes.length !== end - start) throw new Failure("File", "the server sent another range than asked for");
                this.arrived = Math.min(this.size, this.arrived + bytes.length);
                return bytes;
            }
            const whole = await answer.response.blob();
            if (whole.size !== this.size) {
                throw new Failure("File", `the server sent ${whole.size} of ${this.size} bytes`);
            }
            this.#whole = whole;
            this.arrived = this.size;
        }
        return new Uint8Array(await this.#whole.slice(start, end).arrayBuffer());
    }
}
