/** Pictures of the caller's, on their way into the engine. */

import { Failure } from "./failure.js";

/** The most bytes of a file: the module has 4 GiB for everything. */
const MOST_BYTES = 256 << 20;
/** So many bytes say what kind of file it is. */
const HEAD = 16;

/** @typedef {import("./foveate.js").Request} Request */

/**
 * The request as it is now. Bytes become files, which nobody changes and which reach the worker uncopied.
 * @param {Request} request
 */
export function snapshot(request) {
    const copy = { ...request };
    for (const name of /** @type {const} */ (["image", "mask"])) {
        const given = copy[name];
        if (given !== undefined && given !== null) copy[name] = asFile(given);
    }
    return copy;
}

/** Bytes as a file. @param {import("./foveate.js").PictureFile} given */
export function asFile(given) {
    const bytes = given instanceof ArrayBuffer || ArrayBuffer.isView(given);
    return bytes ? new Blob([/** @type {Uint8Array<ArrayBuffer>} */ (given)]) : given;
}

/**
 * In the worker: what a file holds, once it is known to begin as a picture does.
 * @param {unknown} file
 * @param {string} what it is: "picture"
 * @param {(name: string, head: Uint8Array) => void} check refuses what begins otherwise
 */
export async function content(file, what, check) {
    if (!(file instanceof Blob)) throw new Failure("Usage", `the ${what} is neither a file nor the bytes of one`);
    const name = called(file, what);
    if (file.size > MOST_BYTES) throw new Failure("Picture", `${name}: is larger than ${MOST_BYTES} bytes`);
    check(name, await bytes(file.slice(0, HEAD), name));
    return bytes(file, name);
}

/** What a file is called. @param {unknown} file @param {string} what */
export function called(file, what) {
    return file instanceof File && file.name ? file.name : `the ${what}`;
}

/** @param {Blob} file @param {string} name */
async function bytes(file, name) {
    try {
        return new Uint8Array(await file.arrayBuffer());
    } catch (error) {
        // Moved or changed since it was chosen; or no memory.
        throw new Failure("Picture", `${name}: ${error instanceof Error ? error.message : error}`);
    }
}
