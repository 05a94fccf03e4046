/** What is painted on a mask, shape by shape, with the way back. The engine makes the mask of it, at the picture's own size. */

/** @typedef {import("../foveate/index.js").Shape} Shape */

export class Shapes {
    /** @type {Shape[]} */
    #done = [];
    /** @type {Shape[]} */
    #undone = [];

    /** In the order in which they were painted. @returns {readonly Shape[]} */
    get list() {
        return this.#done;
    }

    get canUndo() {
        return this.#done.length > 0;
    }

    get canRedo() {
        return this.#undone.length > 0;
    }

    /** Paints a shape: what was taken back before is gone. @param {Shape} shape */
    add(shape) {
        this.#done.push(shape);
        this.#undone = [];
    }

    /** Takes the last one back. */
    undo() {
        const shape = this.#done.pop();
        if (shape) this.#undone.push(shape);
    }

    /** Paints again what was taken back last. */
    redo() {
        const shape = this.#undone.pop();
        if (shape) this.#done.push(shape);
    }
}

/** @typedef {{ left: number, top: number, right: number, bottom: number }} Border in percent of the picture's sides */

/** As requests have it; nothing where there is none. @param {Border} border @returns {string | undefined} */
export function outpaint({ left, top, right, bottom }) {
    return left + top + right + bottom > 0 ? `${left}%,${top}%,${right}%,${bottom}%` : undefined;
}

/**
 * A picture within its border, in its pixels: where it lies, and how large both are together.
 * @param {{ width: number, height: number }} size
 * @param {Border} border
 */
export function bordered({ width, height }, { left, top, right, bottom }) {
    const [before, after] = [left, right].map((percent) => Math.round(width * percent / 100));
    const [above, below] = [top, bottom].map((percent) => Math.round(height * percent / 100));
    return { left: before, top: above, width: before + width + after, height: above + height + below };
}
