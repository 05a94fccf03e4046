//! Where the bundled model lies, and what a model is called.

use std::path::{Path, PathBuf};

use foveate::Source;

/// The bundled model's folder within the repository.
pub const BUNDLED: &str = "assets/scenes";

/// Where it lies below a folder that has it: directly in a repository and on Windows, else where Linux and the apps of
/// macOS keep data.
const WITHIN: [&str; 3] = ["", "share/foveate", "Resources"];

/// The bundled model: below the current folder, beside the program or around it, or in the repository it was built in.
pub fn bundled() -> Option<PathBuf> {
    let program = std::env::current_exe().unwrap_or_default();
    // A program may be started through a link.
    let program = if cfg!(unix) { program.canonicalize().unwrap_or(program) } else { program };
    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).parent(); // the repository around this crate
    bundled_in([Path::new("")].into_iter().chain(program.ancestors().skip(1)).chain(built_in))
}

/// The first of these folders that has it.
fn bundled_in<'a>(mut roots: impl Iterator<Item = &'a Path>) -> Option<PathBuf> {
    roots.find_map(|root| {
        let mut folders = WITHIN.iter().map(|within| root.join(within).join(BUNDLED));
        folders.find(|folder| folder.join("model_index.json").is_file())
    })
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

    /// As the archives of a release lie after unpacking.
    #[test]
    fn an_unpacked_program_finds_its_model() {
        let folder = tempfile::tempdir().unwrap();
        for (program, model) in [
            ("windows/foveate.exe", "windows/assets/scenes"),
            ("linux/bin/foveate", "linux/share/foveate/assets/scenes"),
            ("mac/Foveate.app/Contents/MacOS/foveate", "mac/Foveate.app/Contents/Resources/assets/scenes"),
        ] {
            let (program, model) = (folder.path().join(program), folder.path().join(model));
            assert_eq!(bundled_in(program.ancestors().skip(1)), None);
            std::fs::create_dir_all(&model).unwrap();
            std::fs::write(model.join("model_index.json"), "{}").unwrap();
            assert_eq!(bundled_in(program.ancestors().skip(1)), Some(model));
        }
    }

    /// What a picture says of its model.
    #[test]
    fn names_have_neither_ways_nor_secrets() {
        assert_eq!(name(&Source::parse("https://user:secret@host/models/m/?key=secret#x")), "https://host/models/m");
        assert_eq!(name(&Source::parse("/home/someone/m")), "m");
    }
}
