//! Folders as inputs: an archive names a golden in the file `base` and has the files that differ from it. `-NAME` is a
//! file that is missing. `NAME#head` is the head of a safetensors file whose numbers are the golden's.

use std::sync::Arc;

use foveate::Source;

use crate::archive::Archive;
use crate::goldens::Files;

/// The most bytes of one changed file that a seed holds.
const MOST: usize = 16 << 10;

/// The folder that an archive describes.
pub fn files(archive: &Archive, bases: &std::collections::BTreeMap<String, Files>) -> Files {
    let base = archive.text("base").map(str::trim).and_then(|name| bases.get(name));
    let mut files = base.cloned().unwrap_or_default();
    for (name, content) in &archive.0 {
        if let Some(absent) = name.strip_prefix('-') {
            files.remove(absent);
        } else if let Some(file) = name.strip_suffix("#head") {
            let numbers = files.get(file).and_then(|bytes| bytes.get(head(bytes)..)).unwrap_or_default();
            files.insert(file.to_owned(), [content, numbers].concat());
        } else {
            files.insert(name.clone(), content.clone());
        }
    }
    files
}

/// The folder that an archive describes, as a model's source.
pub fn source(archive: &Archive, bases: &std::collections::BTreeMap<String, Files>) -> Source {
    Source::Memory(Arc::new(files(archive, bases)))
}

/// For each file of a golden an archive with it: short ones whole, of weights the head.
pub fn seeds(name: &str, files: &Files) -> Vec<Archive> {
    let mut seeds = Vec::new();
    for (file, bytes) in files {
        let archive = Archive::default().with("base", name);
        if file.ends_with(".safetensors") {
            seeds.push(archive.with(&format!("{file}#head"), &bytes[..head(bytes)]));
        } else if bytes.len() <= MOST {
            seeds.push(archive.with(file, &bytes[..]));
        }
    }
    seeds
}

/// Where the numbers of a safetensors file begin.
fn head(bytes: &[u8]) -> usize {
    let length = bytes.first_chunk().map_or(0, |length| u64::from_le_bytes(*length) as usize);
    length.saturating_add(8).min(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goldens::models;

    #[test]
    fn a_seed_is_the_golden_itself() {
        let bases = models();
        let (name, golden) = bases.iter().next().unwrap();
        let seeds = seeds(name, golden);
        assert!(seeds.len() > 4);
        assert!(seeds.iter().all(|seed| {
            let mut made = files(seed, bases);
            made.remove("base");
            made == *golden
        }));
        let without = Archive::default().with("base", name.as_str()).with("-model_index.json", "");
        assert!(!files(&without, bases).contains_key("model_index.json"));
    }
}
