//! Where measured tunings are kept: one file for an adapter, a driver and a set of shaders.

use std::fs;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use foveate::low_level::graph::Caps;
use foveate::low_level::tuning::{Tuning, shared};
use foveate::{Error, Gpu, Result};

use crate::output::Output;

/// The most bytes that are read as a tuning: a hundred times what one has.
const MOST: u64 = 1 << 20;

/// The folder of the tunings: `$FOVEATE_TUNING`, else `tuning` in the folder that the system has for Foveate's data.
pub fn folder() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("FOVEATE_TUNING").filter(|folder| !folder.is_empty()) {
        return Ok(folder.into());
    }
    let base = etcetera::base_strategy::choose_native_strategy();
    let base = base.map_err(|error| Error::file("the tunings", format!("there is no folder for them: {error}")))?;
    // As the desktop app has it.
    let own = match std::env::consts::OS {
        "windows" => "Foveate/data",
        "macos" => "Foveate",
        _ => "foveate",
    };
    Ok(base.data_dir().join(own).join("tuning"))
}

/// Writes a tuning that was measured on a device with `caps`, in place of an older one.
pub fn keep(tuning: &Tuning, caps: &Caps) -> Result<PathBuf> {
    keep_in(&folder()?, tuning, caps)
}

/// The tuning of a device with `caps`: the user's own, else the one that somebody shared.
pub fn find(caps: &Caps) -> Result<Option<Tuning>> {
    // Where the system has no folder for data, nobody has kept one.
    let own = folder().map_or(Ok(None), |folder| find_in(&folder, caps))?;
    Ok(own.or_else(|| shared(caps)))
}

/// The same device, following its tuning where there is one.
pub fn followed(gpu: Gpu) -> Result<Gpu> {
    match find(gpu.caps())? {
        Some(tuning) => gpu.with_tuning(&tuning),
        None => Ok(gpu),
    }
}

fn keep_in(folder: &Path, tuning: &Tuning, caps: &Caps) -> Result<PathBuf> {
    fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
    let path = folder.join(Tuning::file_name(caps));
    Output::check(&path)?.stage(tuning.json().as_bytes())?.commit()?;
    Ok(path)
}

fn find_in(folder: &Path, caps: &Caps) -> Result<Option<Tuning>> {
    let path = folder.join(Tuning::file_name(caps));
    let size = match fs::metadata(&path) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io(path, error)),
    };
    let refused = |reason: String| {
        Error::file(path.display().to_string(), format!("{reason}; remove it, measure again, or draw without it"))
    };
    if size > MOST {
        return Err(refused(format!("a tuning has no {size} bytes")));
    }
    let text = fs::read_to_string(&path).map_err(|error| Error::io(&path, error))?;
    let tuning = Tuning::parse(&text).map_err(|error| refused(error.to_string()))?;
    if !tuning.fits(caps) {
        return Err(refused("it is of another adapter, driver or set of shaders than its name says".into()));
    }
    Ok(Some(tuning))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_for_the_same_device_only() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("not/there/yet");
        let caps = Caps { name: "Some GPU".into(), driver: "1".into(), ..Caps::minimum() };
        assert!(find_in(&place, &caps).unwrap().is_none());
        let mut tuning = Tuning::new(&caps);
        tuning.choices.insert("linear", "8x8x8 f32", "direct");
        let path = keep_in(&place, &tuning, &caps).unwrap();
        assert_eq!(find_in(&place, &caps).unwrap(), Some(tuning.clone()));
        let newer = Caps { driver: "2".into(), ..caps.clone() };
        assert!(find_in(&place, &newer).unwrap().is_none());

        // Of another one under this one's name, damaged, too large.
        let other = Tuning::new(&newer).json();
        for (text, reason) in [(other.as_str(), "another adapter"), ("{", "no tuning"), (&" ".repeat(1 << 21), "bytes")]
        {
            fs::write(&path, text).unwrap();
            let error = find_in(&place, &caps).unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("draw without it"), "{error}");
        }
        keep_in(&place, &tuning, &caps).unwrap();
        assert_eq!(find_in(&place, &caps).unwrap(), Some(tuning));
    }
}
