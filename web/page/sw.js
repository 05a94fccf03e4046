/**
 * Keeps the page itself, so that it opens without a network: the newest that could be fetched. Models are kept by the
 * engine, in a storage of their own.
 */

const NAME = "foveate-page";
/** Filled in by the build. @type {string[]} */
const FILES = [];

addEventListener("install", (event) => {
    event.waitUntil(caches.open(NAME).then((cache) => cache.addAll(FILES)));
    skipWaiting();
});

addEventListener("activate", (event) => event.waitUntil(clients.claim()));

addEventListener("fetch", (event) => {
    const url = new URL(event.request.url);
    const file = url.pathname.slice(new URL(registration.scope).pathname.length) || "./";
    if (event.request.method === "GET" && url.origin === location.origin && FILES.includes(file)) {
        event.respondWith(newest(event.request));
    }
});

/** @param {Request} request */
async function newest(request) {
    const cache = await caches.open(NAME);
    try {
        const response = await fetch(request);
        if (response.ok) await cache.put(request, response.clone());
        if (response.status < 500) return response;
    } catch {
        // Offline: what was kept serves.
    }
    return await cache.match(request, { ignoreSearch: true }) ?? Response.error();
}
