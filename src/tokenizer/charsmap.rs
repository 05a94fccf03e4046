//! The character map of a sentencepiece model: a trie that says which characters become which.
//!
//! The library that follows the trie trusts it, and would index beyond its end on some prompt. So a damaged map is
//! refused on loading. The format is that of darts-clone: `u32` units, each either a value (bit 31 set) or a node. The
//! first unit is always taken for a node.

/// The most bytes that one character may become. The longest of the published maps has 33.
const LONGEST: usize = 256;

/// Checks that no text can lead out of the map: `u32` length of the trie in bytes, the trie, then the replacements,
/// each ended by a zero byte.
pub fn check(map: &[u8]) -> Result<(), String> {
    let (length, rest) = map.split_first_chunk().ok_or("is too short")?;
    let length = u32::from_le_bytes(*length) as usize;
    // A node's children lie in one block of 256 units, so whole blocks mean that with the node they are all there.
    if length == 0 || !length.is_multiple_of(1024) || length > rest.len() {
        return Err(format!("claims a trie of {length} bytes where {} follow", rest.len()));
    }
    let (trie, replacements) = rest.split_at(length);
    let replacements = str::from_utf8(replacements).map_err(|e| format!("is not UTF-8: {e}"))?;
    let units: Vec<usize> = trie.as_chunks().0.iter().map(|unit| u32::from_le_bytes(*unit) as usize).collect();
    // Every unit is looked at, also those that no text reaches: one pass, and nothing is left to follow.
    for (place, unit) in units.iter().enumerate().filter(|(place, unit)| *place == 0 || **unit >> 31 == 0) {
        let (has_value, offset) = (unit >> 8 & 1 == 1, (unit >> 10) << (unit >> 6 & 8));
        let node = units.get(place ^ offset).ok_or_else(|| format!("leads out of itself at unit {place}"))?;
        let start = node & 0x7fff_ffff;
        if has_value && !replacements.is_char_boundary(start) {
            return Err(format!("has no replacement for unit {place}"));
        }
    }
    match replacements.split('\0').map(str::len).max() {
        Some(bytes) if bytes > LONGEST => Err(format!("makes {bytes} bytes of one character, more than {LONGEST}")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentencepiece_model::SentencePieceModel;
    use tokenizers::normalizers::Precompiled;

    fn published() -> Vec<u8> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/tokenizer/spiece/spiece.model");
        SentencePieceModel::from_file(path).unwrap().normalizer().unwrap().precompiled_charsmap().to_vec()
    }

    #[test]
    fn a_sound_map_passes_and_a_cut_one_does_not() {
        let map = published();
        check(&map).unwrap();
        assert_eq!(check(&map[..3]).unwrap_err(), "is too short");
        assert!(check(&map[..1000]).unwrap_err().starts_with("claims a trie of "));
        let mut torn = map.clone();
        *torn.last_mut().unwrap() = 0xff;
        assert!(check(&torn).unwrap_err().starts_with("is not UTF-8: "));
        let long = [map, vec![b'x'; LONGEST + 1]].concat();
        assert_eq!(check(&long).unwrap_err(), "makes 257 bytes of one character, more than 256");
    }

    /// The library takes the first unit for a node, whatever it says of itself.
    #[test]
    fn the_root_is_checked_as_a_node() {
        let mut map = published();
        map[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(check(&map).unwrap_err(), "leads out of itself at unit 0");
    }

    #[test]
    fn what_passes_never_leads_astray() {
        use rand::rngs::SmallRng;
        use rand::{RngExt, SeedableRng};
        let (sound, mut rng, mut refused) = (published(), SmallRng::seed_from_u64(1), 0);
        let rounds = 200;
        for round in 0..rounds {
            let mut map = sound.clone();
            for _ in 0..1 + round / 20 {
                let place = rng.random_range(4..map.len());
                map[place] ^= 1 << rng.random_range(0..8);
            }
            if check(&map).is_err() {
                refused += 1;
                continue;
            }
            let map = Precompiled::from(&map).unwrap();
            (0..0x3_0000).filter_map(char::from_u32).for_each(|c| _ = map.transform(c.encode_utf8(&mut [0; 4])));
        }
        assert!((20..rounds - 20).contains(&refused), "{refused} of {rounds} were refused");
    }
}
