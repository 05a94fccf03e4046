/** What can go wrong, by kind: what a program tells cases apart with. The message is for people. */

/**
 * @typedef {import("./foveate.js").FailureKind | "NoEngine" | "NoWebGPU" | "NotFound" | "Offline" | "Corrupt" | "Broken"} Kind
 */

/** An error of the engine. */
export class Failure extends Error {
    /**
     * @param {Kind} kind what went wrong
     * @param {string} message in a sentence
     */
    constructor(kind, message) {
        super(message);
        this.name = "Failure";
        /** @type {Kind} */
        this.kind = kind;
    }

    /** Whether another device may do what this one did not: not where memory is wanting, or the request is wrong. */
    get recoverable() {
        return this.kind === "DeviceLost" || this.kind === "Broken";
    }

    /**
     * Whatever was thrown, as a failure.
     * @param {unknown} thrown
     */
    static from(thrown) {
        if (thrown instanceof Failure) return thrown;
        if (!(thrown instanceof Error)) return new Failure("Broken", String(thrown));
        // The module's errors carry their kind as a name.
        return new Failure(KINDS.has(thrown.name) ? /** @type {Kind} */ (thrown.name) : "Broken", thrown.message);
    }
}

const KINDS = new Set(
    ["Usage", "File", "Model", "NoAdapter", "Limit", "OutOfMemory", "Picture", "Gpu", "DeviceLost", "Cancelled"],
);
