//! Where the bundled model lies, and what a model is called.

use std::path::{Path, PathBuf};

use foveate::Source;

/// The bundled model's folder within the repository.
pub const BUNDLED: &str = "assets/scenes";

/// The bundled model: below the current folder, in the repository this program was built in, or beside the program.
pub fn bundled() -> Option<PathBuf> {
    let program = std::env::current_exe().unwrap_or_default();
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).parent(); // the repository around this crate
    let roots = [Path::new("")].into_iter().chain(program.ancestors().skip(1)).chain(built_in);
    roots.map(|root| root.join(BUNDLED)).find(|folder| folder.join("model_index.json").is_file())
}

/// A model's name without the way to it: pictures are passed on, and folders are nobody's business.
pub fn name(source: &Source) -> String {
    match source {
        Source::Folder(path) => {
            let absolute = path.canonicalize().unwrap_or_else(|_| path.clone());
            absolute.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        }
        other => other.display("").trim_end_matches('/').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a picture says of its model.
    #[test]
    fn names_have_neither_ways_nor_secrets() {
        assert_eq!(name(&Source::parse("https://user:secret@host/models/m/?key=secret#x")), "https://host/models/m");
        assert_eq!(name(&Source::parse("/home/someone/m")), "m");
    }
}
