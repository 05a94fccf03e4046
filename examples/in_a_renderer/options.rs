//! What the example was started with.

use std::path::PathBuf;

use foveate::{Error, Request, Result, Size};

/// A tiny model with random weights.
const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/pixart_alpha/model");

/// How large a picture is drawn, with how large a model.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of a PixArt model.
    pub model: PathBuf,
    /// Of the picture.
    pub tokens: usize,
    /// Of the transformer; none: as the folder has it.
    pub width: Option<usize>,
    /// Its blocks; none: as many as the folder has.
    pub layers: Option<usize>,
    /// Of the scheduler.
    pub steps: usize,
    /// Pictures to measure, all of them; none: until one is as it should be.
    pub tries: Option<usize>,
    /// Where every tenth frame goes.
    pub frames: Option<PathBuf>,
}

impl Options {
    /// Reads them.
    pub fn of_program() -> Result<Self> {
        let (model, tokens) = (TINY.into(), 256);
        let mut options = Self { model, tokens, width: None, layers: None, steps: 6, tries: None, frames: None };
        let mut words = std::env::args().skip(1);
        while let Some(name) = words.next() {
            let value = words.next().ok_or_else(|| Error::Usage(format!("{name} needs a value")))?;
            let number = || value.parse().map_err(|_| Error::Usage(format!("{name} {value}: it is a whole number")));
            match name.as_str() {
                "--model" => options.model = value.into(),
                "--tokens" => options.tokens = number()?,
                "--width" => options.width = Some(number()?),
                "--layers" => options.layers = Some(number()?),
                "--steps" => options.steps = number()?,
                "--tries" => options.tries = Some(number()?),
                "--frames" => options.frames = Some(value.into()),
                _ => return Err(Error::Usage(format!("there is no option {name}"))),
            }
        }
        match options.tokens.isqrt().pow(2) == options.tokens && options.tokens > 0 {
            true => Ok(options),
            false => Err(Error::Usage(format!("--tokens {}: it is a square, such as 256 or 1024", options.tokens))),
        }
    }

    /// The picture that is asked for, with so many pixels along each side of a token.
    pub fn request(&self, token: usize) -> Request {
        let size = Some(Size::square(token * self.tokens.isqrt()));
        Request { steps: Some(self.steps), seed: 5, size, ..Request::prompt("a blue boat") }
    }
}
