/** What was measured on this device's GPU, kept in this browser. */

/** @typedef {import("../foveate/index.js").Tuning} Tuning */

const KEY = "foveate.tuning";

/** What was kept; nothing where there is none, or the browser keeps nothing. @returns {Tuning | undefined} */
export function kept() {
    try {
        const { adapter, text } = JSON.parse(localStorage.getItem(KEY) ?? "{}");
        return typeof adapter === "string" && typeof text === "string" ? { adapter, text } : undefined;
    } catch {
        return undefined;
    }
}

/** Returns whether the browser keeps it. @param {Tuning} tuning */
export function keep(tuning) {
    try {
        localStorage.setItem(KEY, JSON.stringify(tuning));
        return true;
    } catch {
        return false;
    }
}

export function forget() {
    try {
        localStorage.removeItem(KEY);
    } catch {
        // A browser that keeps nothing has nothing to forget.
    }
}
