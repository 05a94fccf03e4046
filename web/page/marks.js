/** A mask as it is shown: the shapes at the size of the screen. What is drawn by them is made elsewhere, at the picture's size. */

import { context } from "./dom.js";

/** @typedef {import("../foveate/index.js").Shape} Shape */
/** @typedef {{ x: number, y: number, scale: number }} View where a picture is shown: its corner, and pixels of the screen in one of its own */

/** What counts as marked, of 255: as in the mask itself. */
const MARKED = 128;

export class Marks {
    #canvas = document.createElement("canvas");
    #on;
    /** How many pixels of the screen a picture's pixel has. */
    #scale = 1;

    constructor() {
        // Read after every change: what is marked is told to those who listen.
        this.#on = /** @type {CanvasRenderingContext2D} */ (this.#canvas.getContext("2d", { willReadFrequently: true }));
    }

    /** What is marked, in one colour. */
    get canvas() {
        return this.#canvas;
    }

    /**
     * Shows a picture of so many pixels at this scale, with all of its shapes.
     * @param {{ width: number, height: number }} size
     * @param {number} scale
     * @param {readonly Shape[]} shapes
     * @param {string} colour
     */
    show({ width, height }, scale, shapes, colour) {
        this.#scale = scale;
        [this.#canvas.width, this.#canvas.height] = [width, height].map((side) => Math.max(1, Math.round(side * scale)));
        Object.assign(this.#on, { fillStyle: colour, strokeStyle: colour, lineCap: "round", lineJoin: "round" });
        for (const shape of shapes) this.paint(shape);
    }

    /** Paints another shape over what is there. @param {Shape} shape */
    paint(shape) {
        const on = this.#on;
        const { width, height } = this.#canvas;
        if (shape === "clear") return on.clearRect(0, 0, width, height);
        on.globalCompositeOperation = shape === "invert" ? "source-out" : shape.erase ? "destination-out" : "source-over";
        if (shape === "invert") on.fillRect(0, 0, width, height);
        else if ("rectangle" in shape) {
            const [[left, top], [right, bottom]] = shape.rectangle.map((corner) => corner.map((at) => at * this.#scale));
            on.fillRect(left, top, right - left, bottom - top);
        } else this.#stroke(shape.stroke, shape.radius);
    }

    /** @param {[number, number][]} places @param {number} radius */
    #stroke(places, radius) {
        const on = this.#on;
        // No finer than can be seen.
        const seen = Math.max(1, radius * this.#scale);
        on.lineWidth = 2 * seen;
        on.beginPath();
        for (const [x, y] of places) on.lineTo(x * this.#scale, y * this.#scale);
        on.stroke();
        // A line without a length has no round ends everywhere.
        const [x, y] = places[0];
        on.beginPath();
        on.arc(x * this.#scale, y * this.#scale, seen, 0, 2 * Math.PI);
        on.fill();
    }

    /** The share of the picture that is marked. */
    share() {
        const { width, height } = this.#canvas;
        const { data } = this.#on.getImageData(0, 0, width, height);
        let marked = 0;
        for (let at = 3; at < data.length; at += 4) if (data[at] >= MARKED) marked++;
        return marked / (width * height);
    }

    /** Whether a place of the picture is marked. @param {[number, number]} place */
    at([x, y]) {
        const { width, height } = this.#canvas;
        const [column, row] = [Math.min(width - 1, Math.floor(x * this.#scale)), Math.min(height - 1, Math.floor(y * this.#scale))];
        return this.#on.getImageData(Math.max(0, column), Math.max(0, row), 1, 1).data[3] >= MARKED;
    }
}

/**
 * Draws a picture within its border, both darkened by what is marked.
 * @param {HTMLCanvasElement} canvas
 * @param {import("./begin.js").Taken} taken
 * @param {Marks} marks
 * @param {View} view of the picture without its border
 */
export function drawSheet(canvas, { shown, size, frame }, marks, { x, y, scale }) {
    const on = context(canvas);
    on.clearRect(0, 0, canvas.width, canvas.height);
    on.imageSmoothingQuality = "high";
    const [left, top] = [x - frame.left * scale, y - frame.top * scale];
    on.globalAlpha = SHADE;
    on.fillStyle = colour();
    on.fillRect(left, top, frame.width * scale, frame.height * scale);
    on.globalAlpha = 1;
    on.drawImage(shown, x, y, size.width * scale, size.height * scale);
    on.globalAlpha = SHADE;
    on.drawImage(marks.canvas, x, y, size.width * scale, size.height * scale);
    on.globalAlpha = 1;
}

/** How strongly marks cover the picture. */
const SHADE = 0.6;

/** The colour of marks: the page's own, as the reader's scheme has it. */
export function colour() {
    return getComputedStyle(document.documentElement).getPropertyValue("--accent").trim();
}
