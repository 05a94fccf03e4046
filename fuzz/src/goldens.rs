//! The files that inputs start from: the models and tokenizers of the goldens.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// The files of a folder by their '/'-separated paths.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The files of every golden model, by the golden's name ("routed/dit_mlp").
pub fn models() -> &'static BTreeMap<String, Files> {
    static MODELS: OnceLock<BTreeMap<String, Files>> = OnceLock::new();
    MODELS.get_or_init(|| {
        let mut models = BTreeMap::new();
        for group in ["", "cached", "kv", "merged", "pictured", "routed"] {
            for folder in folders(&root().join(group)) {
                if folder.join("model/model_index.json").exists() {
                    let name = folder.strip_prefix(root()).unwrap_or(&folder).to_string_lossy().replace('\\', "/");
                    models.insert(name, read(&folder.join("model")));
                }
            }
        }
        models
    })
}

/// The files of four tokenizers, each in a folder `tokenizer/`.
pub fn tokenizers() -> &'static BTreeMap<String, Files> {
    static TOKENIZERS: OnceLock<BTreeMap<String, Files>> = OnceLock::new();
    TOKENIZERS.get_or_init(|| {
        let folders = [
            ("spiece", root().join("tokenizer/spiece")),
            ("json", root().join("tokenizer/json")),
            ("tiny", root().join("pixart_alpha/model/tokenizer")),
            ("scenes", root().join("../../assets/scenes/tokenizer")),
        ];
        let below = |files: Files| files.into_iter().map(|(name, bytes)| (format!("tokenizer/{name}"), bytes));
        folders.map(|(name, folder)| (name.to_owned(), below(read(&folder)).collect())).into()
    })
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/goldens")
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = entries(folder).into_iter().filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

fn read(folder: &Path) -> Files {
    let mut files = Files::new();
    for path in entries(folder) {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            files.extend(read(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
        } else if let Ok(bytes) = std::fs::read(&path) {
            files.insert(name, bytes);
        }
    }
    files
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_golden_is_found() {
        let models = super::models();
        assert!(models.len() > 30 && models.contains_key("routed/dit_mlp"), "{:?}", models.keys());
        assert!(models.contains_key("pictured/fill_in"), "{:?}", models.keys());
        assert!(models.values().all(|files| files.contains_key("model_index.json")));
        assert!(super::tokenizers().values().all(|files| files.len() > 1));
    }
}
