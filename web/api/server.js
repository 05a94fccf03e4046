/** What a model's server says: versions, sizes and ranges of files, over `fetch`. */

import { Failure } from "./failure.js";

/**
 * @typedef {object} Answer
 * @property {"here" | "absent" | "unreachable"} state
 * @property {number} [size] of the whole file; left out where the server does not say
 * @property {string} [tag] what names this version: the ETag, or the date
 * @property {Response} [response] with the body still to be read
 * @property {Failure} [failure] why it is unreachable
 */

/**
 * Asks for a file from byte `start` on, to `end` where given. Asking for a range keeps servers from compressing, which
 * would hide the size and make ranges of something else.
 * @param {string} url
 * @param {number} start
 * @param {number} [end]
 * @param {AbortSignal} [signal]
 * @returns {Promise<Answer>}
 */
export async function ask(url, start, end, signal) {
    /** @type {Response} */
    let response;
    try {
        const headers = { Range: `bytes=${start}-${end === undefined ? "" : end - 1}` };
        // The browser's HTTP cache would keep weights a second time.
        response = await fetch(url, { headers, cache: "no-store", signal });
    } catch (error) {
        signal?.throwIfAborted();
        const why = navigator.onLine ? "the server cannot be reached" : "this browser is offline";
        return { state: "unreachable", failure: new Failure("Offline", why) };
    }
    if (response.status === 404 || response.status === 410) return { state: "absent" };
    const tag = response.headers.get("ETag") ?? response.headers.get("Last-Modified") ?? "";
    const range = response.headers.get("Content-Range")?.split("/")[1];
    // An empty file has no range to give.
    if (response.status === 416) return { state: "here", size: Number(range ?? 0), tag, response: new Response() };
    if (!response.ok) {
        const failure = new Failure("File", `the server answered ${response.status} ${response.statusText}`.trim());
        return { state: "unreachable", failure };
    }
    const length = response.headers.get("Content-Encoding") ? null : response.headers.get("Content-Length");
    const partial = response.status === 206 && length !== null ? start + Number(length) : undefined;
    const size = range !== undefined && range !== "*" ? Number(range) : end === undefined ? partial : undefined;
    const whole = response.status === 200 && length !== null ? Number(length) : undefined;
    return { state: "here", size: size ?? whole, tag, response };
}

/**
 * The address of a file below a base, with what has a meaning of its own in an address escaped.
 * @param {string} base
 * @param {string} file
 */
export function address(base, file) {
    return `${base}/${file.split("/").map(encodeURIComponent).join("/")}`;
}
