/** What page and worker say to each other: for each call its argument and its answer. */

/**
 * How a run goes on in another worker.
 * @typedef {{ taken: number, words: Uint32Array, fingerprint: bigint }} State
 */

/**
 * Which tokens each layer of a step computed, layer by layer and row by row. Of a layer that a step cache skipped, routing is that
 * of the step whose result was reused; merging tells of the layers that merged alone.
 * @typedef {object} TokenMap
 * @property {number} layers how many it tells of
 * @property {Uint32Array} blocks which they are, counted from 0
 * @property {number} columns
 * @property {number} rows
 * @property {Uint8Array} kept 1 where the token was computed, 0 where it went past the layer; of tokens that share a row, 1 is the one
 * whose place it has
 * @property {[number, number, number, number]} area where the grid lies on the picture: left, top, width and height in shares of its
 * sides. All of it, but for a picture that was put on a canvas of another ratio
 * @property {Float32Array} scores the routers' scores, in 0…1; where tokens merge, as `kept`
 */

/**
 * @typedef {import("./foveate.js").AdapterFacts & { screen: "gpu" | "readback" }} Adapter
 * the adapter, and how pictures reach the page
 */

/** @typedef {"auto" | "gpu" | "cpu"} Wanted which device: "auto" is a GPU, or the processor where there is none */
/** @typedef {"auto" | "gpu" | "readback"} Screen how pictures should reach the page */

/**
 * What was measured on a GPU, to be kept as it is: `Engine.create({ tuning })` takes it.
 * @typedef {{ adapter: string, text: string }} Tuning
 */

/**
 * How far measuring is: products, done and in all.
 * @typedef {{ done: number, total: number }} Measured
 */

/**
 * @typedef {object} Opened
 * @property {Adapter} adapter
 * @property {string} version the engine's
 * @property {{ kind: import("./failure.js").Kind, message: string } | null} instead why the processor took a GPU's place
 */

/**
 * @typedef {import("./foveate.js").ModelFacts & { source: "network" | "cache", bytes: number, kept: boolean }} Facts
 * a model, where its weights came from, their size in files, and whether this browser keeps them
 */

/** Pixels, row by row. @typedef {{ width: number, height: number, rgba: Uint8Array<ArrayBuffer> }} Pixels */

/**
 * A picture as the engine reads it.
 * @typedef {object} Look
 * @property {number} width in pixels, upright
 * @property {number} height
 * @property {ImageBitmap} shown what it looks like, no larger than was asked for
 */

/**
 * @typedef {object} Prepared
 * @property {number} id
 * @property {number} steps
 * @property {string} policy
 * @property {string} scheduler its diffusers class
 * @property {number} denseFlops of a step that computes every token
 * @property {string[]} warnings
 * @property {[string, string][]} said what its picture says as a file
 */

/**
 * @typedef {object} Taken
 * @property {number} index
 * @property {number} timestep
 * @property {number} flops
 * @property {number} seconds
 * @property {ImageBitmap | null} preview
 * @property {TokenMap | null} tokens
 * @property {State | null} state
 * @property {Pixels | null} pixels of the picture, after the last step
 */

/**
 * @typedef {object} Calls
 * @property {[{ adapter: Wanted, screen: Screen, tuning: Tuning | null }, Opened]} open
 * @property {[{ url: string, options: import("./foveate.js").LoadOptions, cache: boolean }, Facts]} load
 * @property {[{ request: import("./foveate.js").Request, name: string | undefined, state: State | null }, Prepared]} prepare
 * @property {[{ request: import("./foveate.js").Request, seconds: number }, Tuning]} tune
 * @property {[{ id: number, preview: boolean, tokens: boolean, state: boolean }, Taken | null]} step
 * @property {[{ id: number }, void]} free
 * @property {[{ image: Blob, most: number }, Look]} look
 * @property {[{ width: number, height: number, shapes: import("./foveate.js").Shape[] }, Uint8Array<ArrayBuffer>]} painted
 * @property {[Pixels & { said: [string, string][] }, Uint8Array<ArrayBuffer>]} png
 */

export {};
