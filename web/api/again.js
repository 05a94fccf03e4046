/** Work that a lost device interrupts is done again, on the next one. */

import { Failure } from "./failure.js";

/** How often, without anything having been finished in between. */
const ATTEMPTS = 4;
/** How long a driver that starts again is waited for, in milliseconds: the first time not at all. */
const PAUSE = 1000;

/**
 * @template T
 * @param {() => Promise<T>} work asks for the worker at work itself: there is another each time
 * @returns {Promise<T>}
 */
export async function again(work) {
    for (let attempt = 1; ; attempt++) {
        try {
            return await work();
        } catch (error) {
            if (attempt === ATTEMPTS || !(error instanceof Failure)) throw error;
            const starting = attempt > 1 && error.kind === "NoAdapter";
            if (!error.recoverable && !starting) throw error;
            await new Promise((resolve) => setTimeout(resolve, (attempt - 1) * PAUSE));
        }
    }
}
