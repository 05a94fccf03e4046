//! The picture that a run begins with: read from files, put on the canvas that the model draws on, and what was drawn
//! put back into it.

use foveate::photo::{self, Fit, Frame, Original, Photo, PhotoMask};
use foveate::{Error, Pipeline, Refusal, Request, Result, Size};
use image::RgbImage;
use image::imageops::{self, FilterType};
use js_sys::Uint8Array;
use serde::Deserialize;
use wasm_bindgen::prelude::*;

use crate::Picture;
use crate::failure::{Thrown, unreadable};
use crate::options::read;

/// The longer side of previews of a run that draws a part of a picture, at most: every step has one.
const SKETCH: u32 = 1024;

#[wasm_bindgen(typescript_custom_section)]
const HOW: &str = r#"
/** What becomes of a picture, and what its files are called. */
export interface How {
    image?: string;
    mask?: string;
    outpaint?: string | null;
    fit?: string | null;
    feather?: number | null;
}
"#;

#[wasm_bindgen]
extern "C" {
    /// `How` in JavaScript.
    #[wasm_bindgen(typescript_type = "How")]
    pub type JsHow;
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct How {
    image: String,
    mask: String,
    outpaint: Option<String>,
    fit: Option<String>,
    feather: Option<u32>,
}

/// A picture to begin with.
#[wasm_bindgen]
pub struct Beginning(Original);

#[wasm_bindgen]
impl Beginning {
    /// Reads the files of a picture and its mask; nothing where there are none. Refuses a mask, or what else is said of a
    /// picture, without one.
    pub fn read(image: Option<Uint8Array>, mask: Option<Uint8Array>, how: &JsHow) -> Thrown<Option<Beginning>> {
        let read = || {
            let how: How = read("request", how)?;
            match image {
                Some(image) => Self::of(&image, mask.as_ref(), how).map(Some),
                None => alone(mask.is_some(), &how).map(|()| None),
            }
        };
        read().map_err(unreadable)
    }
}

impl Beginning {
    fn of(image: &Uint8Array, mask: Option<&Uint8Array>, how: How) -> Result<Self> {
        let fit = how.fit.as_deref().map(str::parse::<Fit>).transpose()?;
        let border = how.outpaint.as_deref().map(str::parse).transpose()?;
        if how.feather.is_some() && mask.is_none() && border.is_none() {
            return Err(Error::Usage("a feather needs a mask, or a border".into()));
        }
        if fit.is_some() && border.is_some() {
            return Err(Error::Usage("a picture within a border is shown whole: it has no fit".into()));
        }
        let photo = Photo::decode(&how.image, &bytes(&how.image, image)?)?;
        let mask = mask.map(|mask| PhotoMask::decode(&how.mask, &bytes(&how.mask, mask)?)).transpose()?;
        let mut original = match border {
            Some(border) => Original::outpainted(&photo, mask, border)?,
            None => Original::new(photo, mask)?,
        };
        original.fit = fit.unwrap_or(original.fit);
        original.feather = how.feather.unwrap_or(original.feather);
        Ok(Self(original))
    }

    /// Has `request` begin with the picture, at the size that it asks for or else at one that fits the model. Returns
    /// where it lies on the canvas, unless all of the canvas is what is drawn.
    pub(crate) fn begin(self, pipeline: &Pipeline, request: &mut Request) -> Result<Option<Placed>> {
        let Self(original) = self;
        let size = request.size.map_or_else(|| pipeline.canvas_for(original.photo().size()), Ok)?;
        let frame = original.begin(request, size)?;
        if original.mask().is_none() && original.fit == Fit::Crop {
            return Ok(None);
        }
        let sketch = sketch(&original, size)?;
        Ok(Some(Placed { original, frame, sketch }))
    }
}

/// A picture, and where it lies on the canvas.
pub(crate) struct Placed {
    original: Original,
    frame: Frame,
    /// The same, smaller, where the picture is large and only a part of it is drawn.
    sketch: Option<(Original, Frame)>,
}

impl Placed {
    /// Where the canvas lies on it: left, top, width and height in shares of its sides.
    pub fn area(&self) -> [f64; 4] {
        self.frame.extent(self.original.photo().size())
    }

    /// What was drawn on the canvas, as it is kept.
    pub fn finished(&self, canvas: &RgbImage) -> RgbImage {
        self.original.finished(&self.frame, canvas)
    }

    /// The same for looking at, not larger than that needs.
    pub fn preview(&self, canvas: &RgbImage) -> RgbImage {
        match &self.sketch {
            Some((original, frame)) => original.finished(frame, canvas),
            None => self.finished(canvas),
        }
    }
}

/// A smaller picture, for previews.
fn sketch(original: &Original, canvas: Size) -> Result<Option<(Original, Frame)>> {
    let Some(mask) = original.mask() else { return Ok(None) };
    let Some((width, height)) = smaller(original.photo(), SKETCH) else { return Ok(None) };
    let photo = Photo(imageops::thumbnail(&original.photo().0, width, height));
    let mask = PhotoMask(imageops::resize(&mask.0, width, height, FilterType::Nearest));
    let frame = Frame::new(&photo, Some(&mask), canvas, original.fit)?;
    let feather = u64::from(original.feather) * u64::from(width) / original.photo().size().width.max(1) as u64;
    let mut sketch = Original::new(photo, Some(mask))?;
    (sketch.fit, sketch.feather) = (original.fit, feather as u32);
    Ok(Some((sketch, frame)))
}

/// The size of a picture whose longer side is `most`, where it is larger.
fn smaller(photo: &Photo, most: u32) -> Option<(u32, u32)> {
    let (width, height) = photo.0.dimensions();
    let longer = width.max(height);
    let scaled = |side: u32| ((u64::from(side) * u64::from(most) / u64::from(longer)) as u32).max(1);
    (longer > most).then(|| (scaled(width), scaled(height)))
}

/// Refuses what is said of a picture that is not there.
fn alone(mask: bool, how: &How) -> Result<()> {
    let said = [
        ("a mask", mask),
        ("a border", how.outpaint.is_some()),
        ("a fit", how.fit.is_some()),
        ("a feather", how.feather.is_some()),
    ];
    match said.into_iter().find(|(_, said)| *said) {
        Some((what, _)) => Err(Refusal::NeedsImage { what }.into()),
        None => Ok(()),
    }
}

/// The content of a file in this module's memory, if there is room for it.
fn bytes(file: &str, content: &Uint8Array) -> Result<Vec<u8>> {
    let length = content.length() as usize;
    let mut bytes = Vec::new();
    let room = bytes.try_reserve_exact(length);
    room.map_err(|_| Error::OutOfMemory(format!("reading {file}, which has {length} bytes")))?;
    bytes.resize(length, 0);
    content.copy_to(&mut bytes);
    Ok(bytes)
}

/// A picture as it is read: its size, and what it looks like.
#[wasm_bindgen]
pub struct Look {
    /// Its width in pixels, upright.
    #[wasm_bindgen(readonly)]
    pub width: u32,
    /// Its height in pixels, upright.
    #[wasm_bindgen(readonly)]
    pub height: u32,
    shown: RgbImage,
}

#[wasm_bindgen]
impl Look {
    /// What it looks like, no larger than it was asked for.
    pub fn shown(self) -> Picture {
        self.shown.into()
    }
}

/// Refuses a file that does not begin as a picture does: its first 16 bytes say so.
#[wasm_bindgen(js_name = checkHead)]
pub fn check_head(name: &str, head: &[u8]) -> Thrown<()> {
    photo::check_head(name, head).map_err(unreadable)
}

/// Reads the file of a picture as a run would that begins with it. The longer side of what is shown has `most` pixels
/// at most.
#[wasm_bindgen]
pub fn look(image: &Uint8Array, name: &str, most: u32) -> Thrown<Look> {
    let photo = bytes(name, image).and_then(|bytes| Photo::decode(name, &bytes)).map_err(unreadable)?;
    let (width, height) = photo.0.dimensions();
    let shown = match smaller(&photo, most.max(1)) {
        Some((width, height)) => imageops::thumbnail(&photo.0, width, height),
        None => photo.0,
    };
    Ok(Look { width, height, shown })
}
