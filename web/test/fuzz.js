/** Random values of every kind, from a seed: what the fuzz tests hand to the package. */

/** Seconds of one fuzz test. */
export const SECONDS = Number(process.env.FUZZ_SECONDS ?? 2);

/** Another seed each day, or FUZZ_SEED; and which of its rounds is the first, to run one again. */
const SEED = Number(process.env.FUZZ_SEED ?? Math.floor(Date.now() / 86_400_000));
const FIRST = Number(process.env.FUZZ_ROUND ?? 0);

const NUMBERS = [0, -0, 1, -1, 0.5, 255, 2 ** 31, 2 ** 32, 2 ** 53, 1e30, -1e30, NaN, Infinity, -Infinity];
const TEXTS = ["", " ", "\0", "\n", "-1", "1e30", "0x10", "NaN", "*", "bytes", "ä🏠", "\u202e", "__proto__", "constructor", "toString"];

/** A generator of numbers in 0…1 (mulberry32). @param {number} seed */
export function generator(seed) {
    let state = seed >>> 0;
    return () => {
        state = (state + 0x6d2b79f5) >>> 0;
        let mixed = Math.imul(state ^ (state >>> 15), state | 1);
        mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
        return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    };
}

export class Draw {
    /** @param {number} seed */
    constructor(seed) {
        this.random = generator(seed);
    }

    /** A whole number below `end`. @param {number} end */
    below(end) {
        return Math.floor(this.random() * end);
    }

    /** @template T @param {readonly T[]} choices @returns {T} */
    of(choices) {
        return choices[this.below(choices.length)];
    }

    number() {
        return this.random() < 0.5 ? this.of(NUMBERS) : this.below(1000) - 100;
    }

    text() {
        const any = () => String.fromCharCode(this.below(this.of([128, 0x3000, 0x10000])));
        return this.random() < 0.5 ? this.of(TEXTS) : Array.from({ length: this.below(12) }, any).join("");
    }

    /** A value of any type, not deeper than that. @param {number} [depth] @returns {any} */
    value(depth = 3) {
        const kind = this.below(depth > 0 ? 9 : 6);
        if (kind === 0) return undefined;
        if (kind === 1) return null;
        if (kind === 2) return this.random() < 0.5;
        if (kind === 3) return this.number();
        if (kind < 6) return this.text();
        const length = this.below(4);
        if (kind === 6) return Array.from({ length }, () => this.value(depth - 1));
        if (kind === 7) return Uint32Array.from({ length }, () => this.below(2 ** 32));
        return Object.fromEntries(Array.from({ length }, () => [this.text(), this.value(depth - 1)]));
    }

    /** The object with some of its values changed, dropped or added. @param {Record<string, any>} object @param {number} [depth] */
    changed(object, depth = 3) {
        const copy = { ...object };
        for (const name of Object.keys(copy)) {
            const chance = this.random();
            if (chance < 0.15) delete copy[name];
            else if (chance < 0.4) copy[name] = this.value(depth);
        }
        if (this.random() < 0.2) copy[this.text()] = this.value(depth);
        return copy;
    }
}

/**
 * Calls `check` with fresh numbers, round after round, until the time is over. What fails names what runs that round again.
 * @param {(draw: Draw) => unknown} check
 */
export async function fuzz(check, { seed = SEED, first = FIRST } = {}) {
    const end = Date.now() + 1000 * SECONDS;
    for (let round = first; Date.now() < end; round++) {
        try {
            await check(new Draw(seed * 100_000 + round));
        } catch (error) {
            throw new Error(`FUZZ_SEED=${seed} FUZZ_ROUND=${round}: ${error instanceof Error ? error.stack : error}`);
        }
    }
}
