/** A request as the part of the address after '#', which no server sees. */

/** @typedef {import("../foveate/index.js").Request} Request */
/** @typedef {import("../foveate/index.js").Compression} Compression */

const NUMBERS = /** @type {const} */ (["class", "seed", "steps", "guidance"]);

/**
 * What the address asks for. What makes no sense is left out.
 * @param {string} hash
 * @returns {{ request: Request, model: string | null }}
 */
export function read(hash) {
    const fields = new URLSearchParams(hash.replace(/^#/, ""));
    const number = (/** @type {string} */ name) => {
        const value = fields.get(name);
        return value && Number.isFinite(Number(value)) ? Number(value) : undefined;
    };
    /** @type {Request} */
    const request = {};
    const prompt = fields.get("prompt");
    if (prompt !== null) request.prompt = prompt;
    for (const name of NUMBERS) {
        const value = number(name);
        if (value !== undefined) request[name] = value;
    }
    /** @type {Compression} */
    const compression = {};
    const policy = fields.get("policy");
    // Which policies there are, the model says later.
    if (policy && /^[\w-]+$/.test(policy)) compression.policy = policy;
    const ratio = number("ratio");
    if (ratio !== undefined) compression.ratio = ratio;
    if (fields.get("cache") === "2") compression.cache = "2";
    if (Object.keys(compression).length > 0) request.compression = compression;
    return { request, model: fields.get("model") };
}

/**
 * What the form made of its fields by itself (`set`) it will make again.
 * @param {Request} request
 * @param {string | null} model
 */
export function write({ prompt, compression: { policy, ratio, cache } = {}, ...rest }, model) {
    const fields = new URLSearchParams();
    if (model) fields.set("model", model);
    if (prompt !== undefined) fields.set("prompt", prompt);
    if (policy !== undefined) fields.set("policy", policy);
    if (cache !== undefined) fields.set("cache", cache);
    for (const name of NUMBERS) if (rest[name] !== undefined) fields.set(name, String(rest[name]));
    if (ratio !== undefined) fields.set("ratio", String(ratio));
    return `#${fields}`;
}
