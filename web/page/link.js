/** A request as the part of the address after '#', which no server sees. */

/** @typedef {import("../foveate/index.js").Request} Request */

const POLICIES = /** @type {const} */ (["dense", "diffcr", "mod", "sdtm", "tome"]);
const NUMBERS = /** @type {const} */ (["class", "seed", "steps", "guidance", "ratio"]);

/**
 * What the address asks for. What makes no sense is left out.
 * @param {string} hash
 * @returns {{ request: Request, model: string | null }}
 */
export function read(hash) {
    const fields = new URLSearchParams(hash.replace(/^#/, ""));
    /** @type {Request} */
    const request = {};
    const prompt = fields.get("prompt");
    if (prompt !== null) request.prompt = prompt;
    const policy = POLICIES.find((name) => name === fields.get("policy"));
    if (policy !== undefined) request.policy = policy;
    if (fields.get("cache") === "2") request.stepCache = "2";
    for (const name of NUMBERS) {
        const value = fields.get(name);
        if (value && Number.isFinite(Number(value))) request[name] = Number(value);
    }
    return { request, model: fields.get("model") };
}

/**
 * What the form made of its fields by itself (`set`) it will make again.
 * @param {Request} request
 * @param {string | null} model
 */
export function write({ prompt, policy, stepCache, ...rest }, model) {
    const fields = new URLSearchParams();
    if (model) fields.set("model", model);
    if (prompt !== undefined) fields.set("prompt", prompt);
    if (policy !== undefined) fields.set("policy", policy);
    if (stepCache !== undefined) fields.set("cache", stepCache);
    for (const name of NUMBERS) if (rest[name] !== undefined) fields.set(name, String(rest[name]));
    return `#${fields}`;
}
