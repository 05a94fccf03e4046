/** The picture that drawings begin with: which one, what of it is drawn anew, and what the form says of it. */

import { any, button, canvas, element, input } from "./dom.js";
import { number, percent } from "./format.js";
import { colour, drawSheet, Marks } from "./marks.js";
import * as form from "./request-form.js";
import { bordered, outpaint, Shapes } from "./shapes.js";
import * as trouble from "./trouble.js";

/** @typedef {import("../foveate/index.js").Request} Request */
/** @typedef {import("./shapes.js").Border} Border */

/**
 * A picture that was taken, and what is to become of it.
 * @typedef {object} Taken
 * @property {Blob} file
 * @property {{ width: number, height: number }} size in pixels
 * @property {ImageBitmap} shown what it looks like
 * @property {Shapes} shapes what is painted on it
 * @property {number} marked the share of it that is marked
 * @property {Border} border what is drawn around it
 * @property {ReturnType<typeof bordered>} frame where it lies within its border
 */

/** What the page needs of the engine: to read a picture, and to make a mask. */
/** @typedef {Pick<import("./studio.js").Studio, "look" | "mask">} Engine */

/** Computes no more than the mask, as the command line does where nothing else is said. */
const MASKED = "10";
/** The longer side of the small picture, in pixels of the screen. */
const SMALL = 96;

const strength = input("strength");
const feather = input("feather");
const only = input("masked");

/** @type {Engine} */
let engine;
/** @type {Taken | null} */
let taken = null;
/** What is being read. @type {Promise<unknown>} */
let reading = Promise.resolve();
/** Whether the reader moved the slider: until then the usual strength holds. */
let moved = false;
/** The mask of these shapes, once it was needed. @type {{ of: Taken, shapes: readonly unknown[], mask: Promise<Blob> } | null} */
let made = null;

/** The picture, once one was taken. */
export function current() {
    return taken;
}

/** @param {Engine} by what reads pictures and makes masks */
export function start(by) {
    engine = by;
}

/** Begins with a picture. What cannot be read is told, and a drawing that waits for it is not made without it. @param {Blob} file */
export function take(file) {
    const read = reading.catch(() => {}).then(() => replace(file));
    reading = read;
    return read.catch(() => {}).finally(() => {
        if (reading === read) reading = Promise.resolve();
    });
}

/** @param {Blob} file */
async function replace(file) {
    any("begin-none").hidden = true;
    any("begin-here").hidden = any("begin-how").hidden = false;
    any("begin-facts").textContent = "Reading…";
    try {
        const { width, height, shown } = await engine.look(file);
        taken?.shown.close();
        const [size, border] = [{ width, height }, { left: 0, top: 0, right: 0, bottom: 0 }];
        taken = { file, size, shown, shapes: new Shapes(), marked: 0, border, frame: bordered(size, border) };
        trouble.clear();
    } catch (error) {
        trouble.tell(error);
        throw error;
    } finally {
        refresh();
    }
}

/** Begins with noise. */
function without() {
    taken?.shown.close();
    taken = null;
    refresh();
    button("begin-choose").focus();
}

/** The mask, or the border, was changed. */
export function changed() {
    refresh();
}

/** Whether a part of the picture is drawn anew, or more around it. */
function isPart() {
    return taken !== null && (taken.marked > 0 || outpaint(taken.border) !== undefined);
}

/**
 * The request with the picture that the form begins with.
 * @param {Request} request
 * @returns {Promise<Request>}
 */
export async function complete(request) {
    await reading;
    if (!taken) return request;
    const { file, border, marked } = taken;
    /** @type {Request} */
    const asked = { ...request, image: file };
    if (moved) asked.strength = Number(strength.value);
    const beyond = outpaint(border);
    if (beyond) asked.outpaint = beyond;
    else if (fit() === "pad") asked.fit = "pad";
    if (marked > 0) asked.mask = await mask(taken);
    if (isPart() && Number(feather.value) > 0) asked.feather = Number(feather.value);
    if (isPart() && only.checked && !only.disabled) asked.compression = { ...request.compression, masked: MASKED };
    return asked;
}

/** What is painted on a picture, as a picture of its own. @param {Taken} of */
export function mask(of) {
    const shapes = [...of.shapes.list];
    const same = made?.of === of && made.shapes.length === shapes.length && made.shapes.every((shape, at) => shape === shapes[at]);
    if (!made || !same) made = { of, shapes, mask: engine.mask(of.size, shapes) };
    const { mask } = made;
    mask.catch(() => (made = null));
    return mask;
}

/** Width by height of what will be drawn, nearly: without a picture to begin with models draw squares. */
export function ratio() {
    if (!taken) return 1;
    const { width, height } = isPart() ? taken.frame : taken.size;
    return width / height;
}

function fit() {
    return element("fit", HTMLSelectElement).value;
}

function refresh() {
    const [here, part] = [taken !== null, isPart()];
    any("begin-none").hidden = here;
    any("begin-here").hidden = any("begin-how").hidden = !here;
    // A picture within a border is shown whole.
    any("fit-field").hidden = taken !== null && outpaint(taken.border) !== undefined;
    any("feather-field").hidden = any("masked-field").hidden = !part;
    // What is hidden must not keep the form from being sent.
    feather.disabled = !part;
    const chooses = form.choosesAmong();
    only.disabled = !chooses;
    any("masked-hint").textContent = chooses ? "" : "(not with this policy)";
    if (!moved) strength.value = part ? "1" : "0.8";
    any("strength-value").textContent = moved ? number(Number(strength.value)) : `${strength.value}, as usual`;
    strength.setAttribute("aria-valuetext", any("strength-value").textContent);
    if (taken) show(taken);
}

/** @param {Taken} taken */
function show(taken) {
    const { size, marked, frame, border, shapes } = taken;
    const told = [`${size.width} × ${size.height}`];
    if (outpaint(border)) told.push(`drawn to ${frame.width} × ${frame.height}`);
    if (marked > 0) told.push(`${marked < 0.001 ? "less than 0.1 %" : percent(marked)} is masked`);
    any("begin-facts").textContent = told.join(", ");
    const on = canvas("begin-shown");
    on.width = on.height = Math.round(SMALL * devicePixelRatio);
    const scale = on.width / Math.max(frame.width, frame.height);
    const [x, y] = [(on.width - frame.width * scale) / 2 + frame.left * scale, (on.height - frame.height * scale) / 2 + frame.top * scale];
    const marks = new Marks();
    marks.show(size, scale, shapes.list, colour());
    drawSheet(on, taken, marks, { x, y, scale });
}

/** Takes the first picture among some files, and says whether there was one. @param {Iterable<File>} files */
function takeOf(files) {
    // A mask that is being painted keeps its picture.
    if (element("mask", HTMLDialogElement).open) return false;
    const file = [...files].find((file) => file.type.startsWith("image/"));
    if (file) void take(file);
    return file !== undefined;
}

const chooser = input("begin-file");
for (const id of ["begin-choose", "begin-another"]) button(id).addEventListener("click", () => chooser.click());
chooser.addEventListener("change", () => {
    // What was chosen by hand is read whatever it says it is: the engine knows better.
    const file = chooser.files?.[0];
    if (file) void take(file);
    chooser.value = ""; // so that the same one can be chosen again
});
button("begin-without").addEventListener("click", without);
strength.addEventListener("input", () => {
    moved = true;
    refresh();
});
element("request", HTMLFormElement).addEventListener("change", refresh);

addEventListener("paste", (event) => {
    // Text that comes with a picture of itself is text.
    const { files = [], types = [] } = event.clipboardData ?? {};
    if (!types.includes("text/plain") && takeOf(files)) event.preventDefault();
});
/** @param {DragEvent} event */
function hasFiles(event) {
    return event.dataTransfer?.types.includes("Files") ?? false;
}
for (const name of /** @type {const} */ (["dragenter", "dragover"])) {
    addEventListener(name, (event) => {
        if (!hasFiles(event)) return;
        event.preventDefault();
        any("begin-field").classList.add("dropping");
    });
}
addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) any("begin-field").classList.remove("dropping");
});
addEventListener("drop", (event) => {
    any("begin-field").classList.remove("dropping");
    if (!hasFiles(event) || !event.dataTransfer) return;
    event.preventDefault();
    const { files } = event.dataTransfer;
    // A file that has no type is read all the same: the engine knows better.
    if (!takeOf(files) && files.length > 0 && !element("mask", HTMLDialogElement).open) void take(files[0]);
});
refresh();
