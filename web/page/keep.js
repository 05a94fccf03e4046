/** Taking a picture along: as a file that says how it was made, or as a link that makes it again. */

import { button, canvas, context } from "./dom.js";
import { withText } from "./png.js";

/** @typedef {import("../foveate/index.js").Request} Request */

/** The picture to keep. @type {{ image: ImageData, request: Request, policy: string } | null} */
let kept = null;

/** @param {typeof kept} picture */
export function keep(picture) {
    kept = picture;
}

async function download() {
    if (!kept) return;
    const { image, request, policy } = kept;
    const on = document.createElement("canvas");
    [on.width, on.height] = [image.width, image.height];
    context(on).putImageData(image, 0, 0);
    const png = await new Promise((resolve) => on.toBlob(resolve, "image/png"));
    if (!(png instanceof Blob)) return;
    const { tokens: _, ...asked } = request;
    const text = { Software: "Foveate", request: JSON.stringify({ ...asked, policy }), link: location.href };
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await withText(png, text));
    link.download = `foveate-${request.seed ?? 0}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
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
