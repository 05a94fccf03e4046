//! Tunings that others have measured and shared: the folder `tuning/` of the repository. They are used where the user has
//! none of their own.

use super::Tuning;
use crate::graph::Caps;

/// The files, by name. None was shared so far.
static FILES: &[(&str, &str)] = &[];

/// The shared tuning of a device with `caps`.
pub fn shared(caps: &Caps) -> Option<Tuning> {
    FILES.iter().filter_map(|(_, text)| Tuning::parse(text).ok()).find(|tuning| tuning.fits(caps))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_here_and_can_be_read() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tuning");
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut files: Vec<String> = files.filter(|name| name.ends_with(".json")).collect();
        files.sort();
        assert_eq!(files, FILES.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        for (name, text) in FILES {
            Tuning::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        assert!(shared(&Caps::minimum()).is_none());
    }
}
