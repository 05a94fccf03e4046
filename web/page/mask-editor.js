/** The mask of the picture to begin with, painted by mouse, pen, touch or keys, and the border that is drawn around it. */

import * as begin from "./begin.js";
import { any, button, canvas, context, element, input } from "./dom.js";
import { number, percent } from "./format.js";
import { colour, drawSheet, Marks } from "./marks.js";
import { save } from "./keep.js";
import { bordered } from "./shapes.js";
import * as trouble from "./trouble.js";

/** @typedef {import("./begin.js").Taken} Taken */
/** @typedef {[number, number]} Place in pixels of the picture */

/** The smallest brush, in shares of the picture's longer side, and how many times as large the largest is. */
const SMALLEST = 0.002;
const RANGE = 250;
/** How far an arrow key moves the brush, in shares of its radius; and with Shift. */
const STRIDES = [1, 0.1];
/** Steps of the slider that a key takes, and a click of the wheel is not one of them. */
const NOTCH = 4;
/** The most of a side that is added, in percent. */
const MOST_ADDED = 200;
const SIDES = /** @type {const} */ (["left", "top", "right", "bottom"]);

const dialog = element("mask", HTMLDialogElement);
const sheet = canvas("mask-sheet");
const size = input("mask-size");
const marks = new Marks();

/** The picture that is painted on. @type {Taken | null} */
let taken = null;
/** Where the picture lies on the sheet, in the sheet's own pixels. */
let view = { x: 0, y: 0, scale: 1 };
/** Where the brush is. @type {Place} */
let cursor = [0, 0];
/** Whether the keys have it, so that it is shown without a pointer. */
let hovered = false;
/**
 * A stroke or a rectangle under way: its places, whether it erases, and who paints it.
 * @type {{ places: Place[], radius: number, erase: boolean, rectangle: boolean, by: "keys" | number } | null}
 */
let under = null;

/** Opens it for the picture that was taken. */
function open() {
    taken = begin.current();
    if (!taken) return;
    cursor = [taken.size.width / 2, taken.size.height / 2];
    under = null;
    dialog.showModal();
    for (const side of SIDES) input(`beyond-${side}`).value = String(taken.border[side]);
    // A border that is there is not hidden.
    if (SIDES.some((side) => taken && taken.border[side] > 0)) element("mask-beyond", HTMLDetailsElement).open = true;
    layOut();
    told("");
    sheet.focus();
}

/** Fits picture and border to the sheet, and paints all of it again. */
function layOut() {
    if (!taken || !dialog.open) return;
    const box = sheet.getBoundingClientRect();
    [sheet.width, sheet.height] = [box.width, box.height].map((side) => Math.max(1, Math.round(side * devicePixelRatio)));
    const { frame } = taken;
    const scale = Math.min(sheet.width / frame.width, sheet.height / frame.height);
    const [left, top] = [(sheet.width - frame.width * scale) / 2, (sheet.height - frame.height * scale) / 2];
    view = { x: left + frame.left * scale, y: top + frame.top * scale, scale };
    repaint();
}

/** Paints all shapes again: one of them was taken back, say. */
function repaint() {
    if (!taken) return;
    marks.show(taken.size, view.scale, taken.shapes.list, colour());
    update();
}

/** A change is done: says what is marked, and which ways back there are. */
function update() {
    if (!taken) return;
    const { shapes } = taken;
    taken.marked = marks.share();
    button("mask-undo").disabled = !shapes.canUndo;
    button("mask-redo").disabled = !shapes.canRedo;
    button("mask-clear").disabled = button("mask-save").disabled = taken.marked === 0;
    any("mask-share").textContent = share(taken);
    sheet.setAttribute("aria-label", `Mask of the picture: ${share(taken)}`);
    draw();
}

/** @param {Taken} taken */
function share({ marked }) {
    return marked === 0 ? "nothing is marked" : `${marked < 0.001 ? "less than 0.1 %" : percent(marked)} is marked`;
}

let waiting = false;
/** Draws the sheet, once in a frame. */
function draw() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
        waiting = false;
        if (!taken) return;
        drawSheet(sheet, taken, marks, view);
        outline();
    });
}

/** The brush, or the rectangle that is being drawn: a light line within a dark one, to be seen on any picture. */
function outline() {
    if (!hovered && document.activeElement !== sheet) return;
    const on = context(sheet);
    const at = (/** @type {Place} */ [x, y]) => [view.x + x * view.scale, view.y + y * view.scale];
    const [x, y] = at(cursor);
    on.beginPath();
    if (under?.rectangle) {
        const [left, top] = at(under.places[0]);
        on.rect(left, top, x - left, y - top);
    } else on.arc(x, y, tool() === "rectangle" ? 4 * devicePixelRatio : Math.max(1, radius() * view.scale), 0, 2 * Math.PI);
    for (const [width, colour] of /** @type {const} */ ([[3, "#000a"], [1, "#fff"]])) {
        [on.lineWidth, on.strokeStyle] = [width * devicePixelRatio, colour];
        on.stroke();
    }
}

/** What those who do not see the sheet hear. @param {string} text */
function told(text) {
    any("mask-said").textContent = text;
}

function tool() {
    return /** @type {HTMLInputElement} */ (dialog.querySelector("input[name=tool]:checked")).value;
}

/** In pixels of the picture. */
function radius() {
    const longer = taken ? Math.max(taken.size.width, taken.size.height) : 1;
    return longer * share01();
}

/** The brush in shares of the picture's longer side. */
function share01() {
    return SMALLEST * RANGE ** (Number(size.value) / 100);
}

function resized() {
    any("mask-size-value").textContent = `${number(100 * share01(), 2)} %`;
    size.setAttribute("aria-valuetext", `${any("mask-size-value").textContent} of the picture`);
    draw();
}

// ---- painting, by whichever hand ----

/** @param {Place} place @param {"keys" | number} by @param {boolean} [erase] */
function press(place, by, erase = tool() === "eraser") {
    under = { places: [place], radius: radius(), erase, rectangle: tool() === "rectangle" && !erase, by };
    if (!under.rectangle) paint([place]);
    draw();
}

/** @param {Place} place */
function move(place) {
    cursor = place;
    if (under && !under.rectangle) {
        paint([/** @type {Place} */ (under.places.at(-1)), place]);
        under.places.push(place);
    }
    draw();
}

/** Shows a part of the stroke under way. @param {Place[]} stroke */
function paint(stroke) {
    if (under) marks.paint({ stroke, radius: under.radius, erase: under.erase });
}

/** What is under way becomes a shape. */
function release() {
    if (!taken || !under) return;
    const { places, radius, erase, rectangle } = under;
    under = null;
    if (!rectangle) taken.shapes.add({ stroke: places, radius, erase });
    // A rectangle too small to be seen is a slip of the hand.
    else if (Math.min(...[0, 1].map((axis) => Math.abs(cursor[axis] - places[0][axis]))) * view.scale >= 2) {
        taken.shapes.add({ rectangle: [places[0], cursor] });
    }
    repaint();
    told(share(taken));
}

/** Drops what is under way. */
function drop() {
    under = null;
    repaint();
}

/** @param {() => void} change of the shapes @param {string} name */
function change(change, name) {
    if (!taken) return;
    under = null;
    change();
    repaint();
    told(`${name}: ${share(taken)}`);
}

const undo = () => change(() => taken?.shapes.undo(), "Undone");
const redo = () => change(() => taken?.shapes.redo(), "Redone");

// ---- mouse, pen and touch ----

/** @param {PointerEvent} event @returns {Place} */
function place(event) {
    const box = sheet.getBoundingClientRect();
    const across = sheet.width / box.width;
    return [((event.clientX - box.left) * across - view.x) / view.scale, ((event.clientY - box.top) * across - view.y) / view.scale];
}

sheet.addEventListener("pointerdown", (event) => {
    if (!event.isPrimary || (event.button !== 0 && event.button !== 5)) return;
    sheet.setPointerCapture(event.pointerId);
    hovered = true;
    cursor = place(event);
    // The other end of a pen erases.
    press(cursor, event.pointerId, event.button === 5 || undefined);
});
sheet.addEventListener("pointermove", (event) => {
    if (!event.isPrimary) return;
    hovered = true;
    if (under && under.by !== event.pointerId) return;
    const events = under ? event.getCoalescedEvents() : [];
    for (const one of events.length > 0 ? events : [event]) move(place(one));
});
sheet.addEventListener("pointerup", (event) => {
    if (under?.by !== event.pointerId) return;
    move(place(event));
    release();
});
sheet.addEventListener("pointercancel", (event) => {
    if (under?.by === event.pointerId) drop();
});
sheet.addEventListener("pointerleave", () => {
    hovered = false;
    draw();
});
for (const name of ["focus", "blur"]) sheet.addEventListener(name, draw);

// ---- keys ----

const ARROWS = /** @type {Record<string, Place>} */ ({ ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] });

sheet.addEventListener("keydown", (event) => {
    if (!taken || event.ctrlKey || event.metaKey || event.altKey) return;
    const [arrow, { width, height }] = [ARROWS[event.key], taken.size];
    if (arrow) {
        const stride = radius() * STRIDES[event.shiftKey ? 1 : 0];
        const clamped = [width, height].map((side, axis) => Math.min(side, Math.max(0, cursor[axis] + arrow[axis] * stride)));
        move(/** @type {Place} */ (clamped));
        const [across, down] = [cursor[0] / width, cursor[1] / height].map(percent);
        told(`${across} from the left, ${down} from the top, ${marks.at(cursor) ? "marked" : "not marked"}`);
    } else if (event.key === " ") {
        if (event.repeat || typeof under?.by === "number") return event.preventDefault();
        if (under?.rectangle) release();
        else press(cursor, "keys");
    } else return;
    event.preventDefault();
});
sheet.addEventListener("keyup", (event) => {
    if (event.key === " " && under?.by === "keys" && !under.rectangle) release();
});
// Who leaves amid a stroke has ended it.
sheet.addEventListener("blur", () => {
    if (under?.by === "keys" && !under.rectangle) release();
});
dialog.addEventListener("keydown", (event) => {
    const typing = event.target instanceof HTMLInputElement && event.target.type === "number";
    const key = event.key.toLowerCase();
    if ((event.ctrlKey || event.metaKey) && !typing && (key === "z" || key === "y")) {
        if (key === "y" || event.shiftKey) redo();
        else undo();
    } else if ((key === "[" || key === "]") && !typing) {
        size.value = String(Number(size.value) + (key === "]" ? NOTCH : -NOTCH));
        resized();
        told(`Size ${any("mask-size-value").textContent}`);
    } else return;
    event.preventDefault();
});
// The first Escape leaves a rectangle, the next one the mask.
dialog.addEventListener("cancel", (event) => {
    if (!under) return;
    event.preventDefault();
    drop();
});

// ---- the rest ----

button("begin-paint").addEventListener("click", open);
button("mask-undo").addEventListener("click", undo);
button("mask-redo").addEventListener("click", redo);
button("mask-clear").addEventListener("click", () => change(() => taken?.shapes.add("clear"), "Cleared"));
button("mask-invert").addEventListener("click", () => change(() => taken?.shapes.add("invert"), "Inverted"));
button("mask-save").addEventListener("click", async () => {
    try {
        if (taken) save(await begin.mask(taken), "foveate-mask.png");
    } catch (error) {
        dialog.close();
        trouble.tell(error);
    }
});
button("mask-done").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", () => {
    if (under) release();
    begin.changed();
    taken = null;
});
size.addEventListener("input", resized);
for (const chosen of dialog.querySelectorAll("input[name=tool]")) {
    chosen.addEventListener("change", () => {
        under = null;
        draw();
    });
}
for (const side of SIDES) {
    input(`beyond-${side}`).addEventListener("input", ({ target }) => {
        if (!taken || !(target instanceof HTMLInputElement)) return;
        const percent = Math.min(MOST_ADDED, Math.max(0, Math.round(target.valueAsNumber || 0)));
        taken.border = { ...taken.border, [side]: percent };
        taken.frame = bordered(taken.size, taken.border);
        layOut();
    });
    // What was typed is what holds.
    input(`beyond-${side}`).addEventListener("change", () => {
        if (taken) input(`beyond-${side}`).value = String(taken.border[side]);
    });
}
new ResizeObserver(layOut).observe(sheet);
resized();
