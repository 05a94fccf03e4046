/** Numbers as people read them. */

/** @param {number} value @param {number} [digits] */
export function number(value, digits = 3) {
    return new Intl.NumberFormat("en", { maximumSignificantDigits: digits }).format(value);
}

/** @param {number} seconds */
export function time(seconds) {
    return seconds < 1 ? `${number(1000 * seconds)} ms` : `${number(seconds)} s`;
}

/** @param {number} bytes */
export function size(bytes) {
    const unit = bytes >= 2 ** 30 ? 30 : bytes >= 2 ** 20 ? 20 : 10;
    return `${number(bytes / 2 ** unit)} ${{ 30: "GiB", 20: "MiB", 10: "KiB" }[unit]}`;
}

/** @param {number} flops */
export function work(flops) {
    return flops >= 1e12 ? `${number(flops / 1e12)} TFLOP` : flops >= 1e9 ? `${number(flops / 1e9)} GFLOP` : `${number(flops / 1e6)} MFLOP`;
}

/** @param {number} share */
export function percent(share) {
    return `${number(100 * share, 2)} %`;
}

/** @param {number[]} values */
export function median(values) {
    const sorted = [...values].sort((a, b) => a - b);
    const half = sorted.length / 2;
    return sorted.length % 2 ? sorted[Math.floor(half)] : (sorted[half - 1] + sorted[half]) / 2;
}

/**
 * Seconds of a step: the median of those with as much work, on average over all. One median over a run whose steps differ would tell
 * of one kind alone, and a mean would let the first step's compiling count.
 * @param {{ seconds: number, flops: number }[]} steps
 */
export function perStep(steps) {
    const kinds = Map.groupBy(steps, (step) => step.flops);
    return sum([...kinds.values()].map((kind) => kind.length * median(kind.map((step) => step.seconds)))) / steps.length;
}

/** @param {number[]} values */
export function sum(values) {
    return values.reduce((a, b) => a + b, 0);
}
