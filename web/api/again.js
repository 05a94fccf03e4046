/** Work that a lost device interrupts is done again, on the next one; in the end on the processor. */

import { Failure } from "./failure.js";

/** How often, without anything having been finished in between. */
const ATTEMPTS = 4;
/** How long a driver that starts again is waited for, in milliseconds: the first time not at all. */
const PAUSE = 1000;

/**
 * @template T
 * @param {() => Promise<T>} work asks for the worker at work itself: there is another each time
 * @param {(why: Failure) => boolean} giveUp takes another kind of device, where it can: then all attempts begin anew
 * @returns {Promise<T>}
 */
export async function again(work, giveUp) {
    for (let attempt = 1; ; attempt++) {
        try {
            return await work();
        } catch (error) {
            if (!(error instanceof Failure)) throw error;
            const gone = error.kind === "DeviceLost" || (attempt > 1 && error.kind === "NoAdapter");
            if (!error.recoverable && !gone) throw error;
            if (attempt < ATTEMPTS) {
                await new Promise((resolve) => setTimeout(resolve, (attempt - 1) * PAUSE));
            } else {
                if (!gone || !giveUp(error)) throw error;
                attempt = 0;
            }
        }
    }
}
