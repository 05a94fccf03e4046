//! A hash that is the same in every process and on every machine (FNV-1a, 64 bits). It tells mistakes, not forgeries.

/// What was added so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fingerprint(u64);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fingerprint {
    /// Adds bytes, and how many they are: two parts never look like one.
    pub fn add(&mut self, bytes: &[u8]) {
        for byte in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    /// Adds texts, one after the other.
    pub fn add_all<T: AsRef<str>>(&mut self, texts: impl IntoIterator<Item = T>) {
        texts.into_iter().for_each(|text| self.add(text.as_ref().as_bytes()));
    }

    /// Of all that was added.
    pub fn value(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_never_look_like_one() {
        let of = |texts: &[&str]| {
            let mut hash = Fingerprint::default();
            hash.add_all(texts);
            hash.value()
        };
        assert_eq!(of(&["linear", "8x8"]), of(&["linear", "8x8"]));
        let all = [of(&[]), of(&[""]), of(&["ab"]), of(&["a", "b"]), of(&["b", "a"])];
        assert!(all.iter().enumerate().all(|(i, one)| !all[..i].contains(one)), "{all:?}");
    }
}
