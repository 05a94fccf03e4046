//! Where a traced run stores what its policy decided, layer by layer. A policy of another crate that keeps its
//! decisions under these names is shown like those of this one. Routing is shown of layers that store both scores and
//! places.

/// The routers' scores of a layer in the last step, `[B, N]` in 0…1.
pub fn scores_name(layer: usize) -> String {
    format!("router.scores.{layer}")
}

/// The compact row of each token in a layer of the last step, `[B, N]` indices, or
/// [`NOTHING`](crate::kernels::NOTHING).
pub fn place_name(layer: usize) -> String {
    format!("router.place.{layer}")
}

/// The token whose row each token shared in a layer of the last step, `[B, N]` indices; itself, where it had its own.
pub fn destination_name(layer: usize) -> String {
    format!("{DESTINATION}{layer}")
}

/// The layer whose [`destination_name`] this is.
pub(crate) fn destination_layer(name: &str) -> Option<usize> {
    name.strip_prefix(DESTINATION)?.parse().ok()
}

const DESTINATION: &str = "merge.destination.";
