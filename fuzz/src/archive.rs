//! Several files as one input: each behind a line with a mark and its name. Whatever is done to the bytes of such an
//! input leaves an archive.

/// Stands before a name. No text has these bytes, and hardly any file.
const MARK: &[u8] = b"\xff\xfe==> ";

/// Named contents, in order. A name may come twice; then the last one counts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Archive(pub Vec<(String, Vec<u8>)>);

impl Archive {
    /// What the bytes hold. Those before the first mark belong to no file.
    pub fn parse(data: &[u8]) -> Self {
        let places: Vec<usize> =
            (0..data.len().saturating_sub(MARK.len() - 1)).filter(|&at| data[at..].starts_with(MARK)).collect();
        let ends = places.iter().skip(1).copied().chain([data.len()]);
        let entry = |(start, end): (usize, usize)| {
            let body = &data[start + MARK.len()..end];
            let line = body.iter().position(|&byte| byte == b'\n');
            let name = String::from_utf8_lossy(&body[..line.unwrap_or(body.len())]).into_owned();
            (name, body.get(line.map_or(body.len(), |at| at + 1)..).unwrap_or_default().to_vec())
        };
        Self(places.iter().copied().zip(ends).map(entry).collect())
    }

    /// The archive as one input.
    pub fn bytes(&self) -> Vec<u8> {
        let entry = |(name, content): &(String, Vec<u8>)| [MARK, name.as_bytes(), b"\n", content].concat();
        self.0.iter().flat_map(entry).collect()
    }

    /// The same with one file more.
    pub fn with(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.0.push((name.into(), content.into()));
        self
    }

    /// The content of the last file of this name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, content)| content.as_slice())
    }

    /// The text of the last file of this name.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(|content| str::from_utf8(content).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_come_back() {
        let archive = Archive::default().with("a/b.json", "{}\n").with("empty", "").with("x", [0xff, 0xfe, b'=']);
        assert_eq!(Archive::parse(&archive.bytes()), archive);
        assert_eq!(archive.text("a/b.json"), Some("{}\n"));
    }

    #[test]
    fn any_bytes_are_an_archive() {
        assert_eq!(Archive::parse(b"nothing"), Archive::default());
        assert_eq!(Archive::parse(b""), Archive::default());
        let torn = [b"lost".as_slice(), MARK, b"name without an end"].concat();
        assert_eq!(Archive::parse(&torn), Archive::default().with("name without an end", ""));
    }
}
