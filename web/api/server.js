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
    const [, first, total] = /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/.exec(response.headers.get("Content-Range") ?? "") ?? [];
    // An empty file has no range to give.
    if (response.status === 416) return { state: "here", size: count(total) ?? 0, tag, response: new Response() };
    if (!response.ok) {
        const failure = new Failure("File", `the server answered ${response.status} ${response.statusText}`.trim());
        return { state: "unreachable", failure };
    }
    if (response.status === 206 && first !== undefined && Number(first) !== start) {
        return { state: "unreachable", failure: new Failure("File", "the server sent another range than asked for") };
    }
    const length = response.headers.get("Content-Encoding") ? undefined : count(response.headers.get("Content-Length"));
    // A part to the end shows where that is.
    const reached = end === undefined && length !== undefined ? count(String(start + length)) : undefined;
    return { state: "here", size: response.status === 206 ? count(total) ?? reached : length, tag, response };
}

/** A number of bytes; nothing where the text is none that a file can have. @param {string | null | undefined} text */
function count(text) {
    const number = /^\d+$/.test(text ?? "") ? Number(text) : undefined;
    return Number.isSafeInteger(number) ? number : undefined;
}

/**
 * The address of a file below a base, with what has a meaning of its own in an address escaped.
 * @param {string} base
 * @param {string} file
 */
export function address(base, file) {
    return `${base}/${file.split("/").map(encodeURIComponent).join("/")}`;
}
