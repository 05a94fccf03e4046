/** Taking a picture along: as a file that says how it was made, or as a link that makes it again. */

import { button, canvas, context } from "./dom.js";
import { withText } from "./png.js";

/** @typedef {import("../foveate/index.js").Request} Request */

/**
 * A picture, and what it was made with.
 * @typedef {object} Kept
 * @property {ImageData} image
 * @property {Request} request
 * @property {string} model its name or address
 * @property {string} scheduler its diffusers class
 * @property {string} version the engine's
 * @property {string} adapter what it was drawn on
 */

/** The picture to keep. @type {Kept | null} */
let kept = null;

/** @param {typeof kept} picture */
export function keep(picture) {
    kept = picture;
}

async function download() {
    if (!kept) return;
    const { image, request: { seed = 0 } } = kept;
    const on = document.createElement("canvas");
    [on.width, on.height] = [image.width, image.height];
    context(on).putImageData(image, 0, 0);
    const png = await new Promise((resolve) => on.toBlob(resolve, "image/png"));
    if (!(png instanceof Blob)) return;
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await withText(png, { foveate: JSON.stringify(about(kept)), adapter: kept.adapter }));
    link.download = `foveate-${seed}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** What a picture says about itself, which `foveate generate --like` reads: enough to draw it again. @param {Kept} picture */
function about({ request: { traced: _, ...request }, model, scheduler, version }) {
    return { version, request, model, scheduler, index: 0, count: 1 };
}

async function share() {
    const on = button("share");
    try {
        await navigator.clipboard.writeText(location.href);
        on.textContent = "Link copied";
    } catch {
        // No permission: the address bar has it too.
        on.textContent = "The link is in the address bar";
    }
    setTimeout(() => (on.textContent = "Copy link"), 2000);
}

button("download").addEventListener("click", download);
button("share").addEventListener("click", share);
