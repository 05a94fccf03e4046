/**
 * A static server on loopback for the built page: byte ranges, ETags, and the headers that isolate the page, which the processor's
 * threads need. `node web/serve.js [folder] [port]`
 */

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { createServer } from "node:http";
import { join, normalize, sep } from "node:path";
import { fileURLToPath } from "node:url";

/** With them a page may share memory among its workers; what it loads from elsewhere must then allow that (CORS). */
export const ISOLATED = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };

const TYPES = {
    html: "text/html; charset=utf-8", css: "text/css; charset=utf-8", js: "text/javascript; charset=utf-8",
    mjs: "text/javascript; charset=utf-8",
    json: "application/json", wasm: "application/wasm", svg: "image/svg+xml",
};

/**
 * Serves a folder on 127.0.0.1; a port of 0 takes any that is free.
 * @param {string} folder
 * @param {number} [port]
 * @returns {Promise<import("node:http").Server>}
 */
export function serve(folder, port = 0) {
    const server = createServer((request, response) => void answer(folder, request, response));
    return new Promise((resolve, reject) => {
        server.once("error", reject);
        server.listen(port, "127.0.0.1", () => resolve(server));
    });
}

/**
 * @param {string} folder
 * @param {import("node:http").IncomingMessage} request
 * @param {import("node:http").ServerResponse} response
 */
export async function answer(folder, request, response) {
    let path;
    try {
        path = normalize(decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname));
    } catch {
        return void response.writeHead(400).end();
    }
    const file = join(folder, path.endsWith(sep) ? join(path, "index.html") : path);
    const found = await stat(file).catch(() => null);
    if (!found?.isFile()) return void response.writeHead(404).end();

    const tag = `"${found.size.toString(16)}-${Math.round(found.mtimeMs).toString(16)}"`;
    const type = TYPES[/** @type {keyof TYPES} */ (file.split(".").at(-1))] ?? "application/octet-stream";
    const headers = { "Content-Type": type, "ETag": tag, "Accept-Ranges": "bytes", "Cache-Control": "no-cache", ...ISOLATED };
    if (request.headers["if-none-match"] === tag) return void response.writeHead(304, headers).end();

    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    if (!range) {
        response.writeHead(200, { ...headers, "Content-Length": found.size });
        return void createReadStream(file).pipe(response);
    }
    const start = Number(range[1]);
    const end = Math.min(range[2] === "" ? Infinity : Number(range[2]), found.size - 1);
    if (start > end) return void response.writeHead(416, { ...headers, "Content-Range": `bytes */${found.size}` }).end();
    response.writeHead(206, {
        ...headers, "Content-Length": end - start + 1, "Content-Range": `bytes ${start}-${end}/${found.size}`,
    });
    createReadStream(file, { start, end }).pipe(response);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
    const folder = process.argv[2] ?? fileURLToPath(new URL("dist", import.meta.url));
    const server = await serve(folder, Number(process.argv[3] ?? 8080));
    console.log(`the page is at http://localhost:${/** @type {import("node:net").AddressInfo} */ (server.address()).port}/ (Ctrl-C ends it)`);
}
