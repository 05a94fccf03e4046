//! Masks from what was painted on a picture: shapes, one after the other.

use std::io::Cursor;

use foveate::{Error, Refusal, Result};
use foveate_studio::{Painting, Place};
use image::ImageFormat;
use serde::Deserialize;
use wasm_bindgen::prelude::*;

use crate::failure::{Thrown, failure};
use crate::options::read;

/// The most pixels of a mask, and along a side: those of the pictures that are read.
const MOST_PIXELS: u64 = 1 << 27;
const MOST_SIDE: u32 = 1 << 16;

#[wasm_bindgen(typescript_custom_section)]
const SHAPES: &str = r#"
/** A place on a picture: pixels from its left edge, and from its top. */
export type Place = [number, number];

/** What is painted on a mask: a brush's way, the rectangle between two corners, or a change of all of it. */
export type Shape =
    | { stroke: Place[]; radius: number; erase?: boolean }
    | { rectangle: [Place, Place]; erase?: boolean }
    | "clear" | "invert";
"#;

#[wasm_bindgen]
extern "C" {
    /// `Shape[]` in JavaScript.
    #[wasm_bindgen(typescript_type = "Shape[]")]
    pub type JsShapes;
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Shape {
    Stroke {
        stroke: Vec<Place>,
        radius: f32,
        #[serde(default)]
        erase: bool,
    },
    Rectangle {
        rectangle: [Place; 2],
        #[serde(default)]
        erase: bool,
    },
    All(All),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum All {
    Clear,
    Invert,
}

/// The mask of a picture of this size, as PNG: white where the shapes mark it.
#[wasm_bindgen]
pub fn painted(width: u32, height: u32, shapes: &JsShapes) -> Thrown<Vec<u8>> {
    mask(width, height, shapes).map_err(failure)
}

fn mask(width: u32, height: u32, shapes: &JsShapes) -> Result<Vec<u8>> {
    let what = || format!("a mask of {width}x{height}");
    if width.max(height) > MOST_SIDE {
        return Err(Refusal::TooLarge { what: what(), most: MOST_SIDE.into(), unit: "pixels along a side" }.into());
    }
    if width == 0 || height == 0 {
        return Err(Error::Usage(format!("{} has no pixel", what())));
    }
    if u64::from(width) * u64::from(height) > MOST_PIXELS {
        return Err(Refusal::TooLarge { what: what(), most: MOST_PIXELS, unit: "pixels are painted on" }.into());
    }
    let mut painting = Painting::new(width, height);
    for shape in read::<Vec<Shape>>("shapes", shapes)? {
        match shape {
            Shape::Stroke { stroke, radius, erase } => {
                let ends = stroke.iter().skip(1).chain(stroke.last());
                stroke.iter().zip(ends).for_each(|(&from, &to)| painting.stroke(from, to, radius, !erase));
            }
            Shape::Rectangle { rectangle: [from, to], erase } => painting.rectangle(from, to, !erase),
            Shape::All(All::Clear) => painting.clear(),
            Shape::All(All::Invert) => painting.invert(),
        }
    }
    let failed = |error: image::ImageError| Error::file("the mask", error.to_string());
    let mut bytes = Cursor::new(Vec::new());
    painting.marks().picture().write_to(&mut bytes, ImageFormat::Png).map_err(failed)?;
    Ok(bytes.into_inner())
}
