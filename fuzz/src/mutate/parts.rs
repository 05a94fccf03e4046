//! What the formats of pictures have in common: parts with a name each, in a row.

use rand::RngExt;
use rand::rngs::SmallRng;
use rand::seq::IndexedMutRandom;

/// The parts that `read` finds in `data`, one of them changed or all moved; none where there are none.
pub fn mutated<T: Clone>(
    data: &[u8],
    other: &[u8],
    rng: &mut SmallRng,
    read: impl Fn(&[u8]) -> Option<Vec<T>>,
    change: impl FnOnce(&mut T, &mut SmallRng),
) -> Option<Vec<T>> {
    let mut parts = read(data).filter(|parts| !parts.is_empty())?;
    let from = read(other).unwrap_or_default();
    if moved(&mut parts, &from, rng).is_none() {
        change(parts.choose_mut(rng)?, rng);
    }
    Some(parts)
}

/// Leaves out a part, doubles it, swaps two, or takes one of `other`; none where none of this was drawn, and a part
/// itself should be changed. `parts` must not be empty.
fn moved<T: Clone>(parts: &mut Vec<T>, other: &[T], rng: &mut SmallRng) -> Option<()> {
    let place = rng.random_range(0..parts.len());
    match rng.random_range(0..10) {
        0 => drop(parts.remove(place)),
        1 => parts.insert(place, parts[place].clone()),
        2 => {
            let to = rng.random_range(0..parts.len());
            parts.swap(place, to);
        }
        3 if !other.is_empty() => parts.insert(place, other[rng.random_range(0..other.len())].clone()),
        _ => return None,
    }
    Some(())
}
