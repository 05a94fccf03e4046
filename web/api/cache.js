/**
 * Files kept in the browser's own storage (OPFS) across visits, block by block.
 *
 * An entry is two files: `data`, and `entry.json`, which is written last and names the size, the server's tag and the
 * SHA-256 of every block. Without it, or where it disagrees with `data`, there is no entry: what was half written when a
 * tab closed is never used. Damage is noticed when a block is read.
 */

import { Failure } from "./failure.js";

/** Bytes of a block. */
export const BLOCK = 256 << 10;

/**
 * A file that may be read and written at once: only workers have it, so the page's types lack it.
 * @typedef {{ read(to: Uint8Array, options: { at: number }): number, write(from: Uint8Array, options?: { at: number }): number,
 *     truncate(size: number): void, flush(): void, close(): void }} SyncHandle
 */

/** @typedef {{ url: string, size: number, tag: string, blocks: string[] }} Description */

/** The files of all models, by address. */
export class Cache {
    #root;

    /** @param {FileSystemDirectoryHandle} root */
    constructor(root) {
        this.#root = root;
    }

    /** The browser's storage; nothing where it has none for this page (private windows, insecure addresses). */
    static async open() {
        try {
            const storage = await navigator.storage.getDirectory();
            return new Cache(await storage.getDirectoryHandle("foveate-models", { create: true }));
        } catch {
            return null;
        }
    }

    /**
     * The complete entry of an address, if there is one.
     * @param {string} url
     */
    async find(url) {
        try {
            const folder = await this.#root.getDirectoryHandle(await digest(new TextEncoder().encode(url)));
            const json = await (await folder.getFileHandle("entry.json")).getFile();
            /** @type {Description} */
            const description = JSON.parse(await json.text());
            const data = await (await folder.getFileHandle("data")).getFile();
            const { size, blocks } = description;
            const whole = data.size === size && blocks.length === Math.ceil(size / BLOCK) && description.url === url;
            return whole ? new Kept(data, description) : null;
        } catch {
            return null;
        }
    }

    /**
     * Notes that the server has no such file: what is absent is known without a network, too.
     * @param {string} url
     */
    async noteAbsent(url) {
        const folder = await this.#folder(url).catch(() => null);
        await folder?.getFileHandle("absent", { create: true }).catch(() => {});
    }

    /**
     * Whether the server, when it last was asked, had no such file.
     * @param {string} url
     */
    async wasAbsent(url) {
        const folder = await this.#folder(url).catch(() => null);
        return await folder?.getFileHandle("absent").then(() => true, () => false) ?? false;
    }

    /**
     * Starts an entry. Nothing where storage is short, or another tab is writing the same.
     * @param {string} url
     * @param {number} size
     */
    async begin(url, size) {
        try {
            const { quota = 0, usage = 0 } = await navigator.storage.estimate();
            if (quota - usage < 1.05 * size) return null;
            const folder = await this.#folder(url);
            // Locks the data first: only then is the old entry ours to remove.
            const data = await writable(folder, "data");
            for (const old of ["entry.json", "absent"]) await folder.removeEntry(old).catch(() => {});
            data.truncate(0);
            return new Growing(folder, data, url, size);
        } catch {
            return null;
        }
    }

    /** @param {string} url */
    async #folder(url) {
        return this.#root.getDirectoryHandle(await digest(new TextEncoder().encode(url)), { create: true });
    }

    /**
     * Forgets an address.
     * @param {string} url
     */
    async remove(url) {
        const name = await digest(new TextEncoder().encode(url));
        await this.#root.removeEntry(name, { recursive: true }).catch(() => {});
    }
}

/** A complete entry. */
export class Kept {
    #data;
    #checked = new Set();

    /**
     * @param {File} data
     * @param {Description} description
     */
    constructor(data, description) {
        this.#data = data;
        this.description = description;
    }

    /**
     * A block; damage is an error of kind "Corrupt".
     * @param {number} index
     */
    async block(index) {
        const bytes = new Uint8Array(await this.#data.slice(index * BLOCK, (index + 1) * BLOCK).arrayBuffer());
        if (!this.#checked.has(index)) {
            if (await digest(bytes) !== this.description.blocks[index]) {
                throw new Failure("Corrupt", "the copy in this browser's storage is damaged");
            }
            this.#checked.add(index);
        }
        return bytes;
    }
}

/** An entry being written, which can be read as far as it has come. */
export class Growing {
    #folder;
    #data;
    /** @type {Description} */
    #description;
    /** The complete entry, from when the last block is there. @type {Promise<Kept> | null} */
    #kept = null;

    /**
     * @param {FileSystemDirectoryHandle} folder
     * @param {SyncHandle} data
     * @param {string} url
     * @param {number} size
     */
    constructor(folder, data, url, size) {
        this.#folder = folder;
        this.#data = data;
        this.#description = { url, size, tag: "", blocks: [] };
    }

    /**
     * Writes the next block.
     * @param {Uint8Array<ArrayBuffer>} bytes
     */
    async append(bytes) {
        const { blocks } = this.#description;
        const written = this.#data.write(bytes, { at: blocks.length * BLOCK });
        if (written !== bytes.length) throw new Failure("File", "the browser's storage is full");
        blocks.push(await digest(bytes));
    }

    /**
     * A block written before.
     * @param {number} index
     */
    async block(index) {
        if (this.#kept) return (await this.#kept).block(index);
        const start = index * BLOCK;
        const bytes = new Uint8Array(Math.min(BLOCK, this.#description.size - start));
        this.#data.read(bytes, { at: start });
        return bytes;
    }

    /**
     * Makes the entry valid, now that all of it is there.
     * @param {string} tag the server's name for this version
     */
    async finish(tag) {
        this.#kept = this.#complete(tag);
        await this.#kept;
    }

    /** @param {string} tag */
    async #complete(tag) {
        this.#data.flush();
        this.#data.close();
        this.#description.tag = tag;
        const json = await writable(this.#folder, "entry.json");
        json.truncate(0);
        json.write(new TextEncoder().encode(JSON.stringify(this.#description)));
        json.flush();
        json.close();
        return new Kept(await (await this.#folder.getFileHandle("data")).getFile(), this.#description);
    }

    /** Gives up; the entry stays invalid. */
    abandon() {
        if (!this.#kept) this.#data.close();
    }
}

/** @param {FileSystemDirectoryHandle} folder @param {string} name @returns {Promise<SyncHandle>} */
async function writable(folder, name) {
    return /** @type {any} */ (await folder.getFileHandle(name, { create: true })).createSyncAccessHandle();
}

/** @param {Uint8Array<ArrayBuffer>} bytes */
async function digest(bytes) {
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
