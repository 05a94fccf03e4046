/** Taking a picture along: as a file that says how it was made, as a link that makes it again, or to begin with it. */

import * as begin from "./begin.js";
import { any, button } from "./dom.js";
import * as trouble from "./trouble.js";

/**
 * A picture, and what it was made with.
 * @typedef {object} Kept
 * @property {import("../foveate/index.js").Run} run that drew it
 * @property {import("../foveate/index.js").Request} request
 * @property {string} adapter what it was drawn on
 */

/** The picture to keep. @type {Kept | null} */
let kept = null;

/** @param {Kept} picture */
export function keep(picture) {
    kept = picture;
    // A link does not hold the picture that this one began with.
    any("share").hidden = picture.request.image !== undefined;
}

/** Hands a file to the reader. @param {Blob} file @param {string} name */
export function save(file, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(file);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** The picture as a file, and its name. @param {Kept} kept */
async function file({ run, request: { seed = 0 }, adapter }) {
    return { file: await run.png({ adapter }), name: `foveate-${seed}.png` };
}

/** Does something with the file of the picture. @param {(file: Blob, name: string) => unknown} deed */
async function withFile(deed) {
    if (!kept) return;
    try {
        const { file: made, name } = await file(kept);
        await deed(made, name);
    } catch (error) {
        trouble.tell(error);
    }
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

button("download").addEventListener("click", () => withFile(save));
button("begin-with-it").addEventListener("click", () => withFile((file, name) => begin.take(new File([file], name, { type: file.type }))));
button("share").addEventListener("click", share);
