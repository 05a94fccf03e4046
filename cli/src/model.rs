//! Which model is meant: the one named, or the bundled one.

use std::env::VarError;

use foveate::{Error, Result, Source};
use foveate_studio::model::{BUNDLED, bundled};

/// The model `named` on the command line, else by `FOVEATE_MODEL`, else the bundled one.
pub fn find(named: Option<&str>) -> Result<Source> {
    if let Some(named) = named {
        return Ok(Source::parse(named));
    }
    match std::env::var("FOVEATE_MODEL") {
        Ok(named) if !named.is_empty() => Ok(Source::parse(&named)),
        Err(VarError::NotUnicode(_)) => Err(Error::Usage("FOVEATE_MODEL is not UTF-8".into())),
        _ => bundled().map(Source::Folder).ok_or_else(|| {
            Error::Usage(format!(
                "no model: give --model DIR|URL or set FOVEATE_MODEL; the bundled {BUNDLED} is not beside this program"
            ))
        }),
    }
}
