//! The picture that a drawing begins with: how it is named in a job, and as the form has it.

use foveate::photo::Fit;
pub use foveate_studio::{Marks, Painting, Place};
use image::RgbImage;
use serde::{Deserialize, Serialize};

/// What a job begins with: files of the folder of inputs, and what becomes of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Beginning {
    /// The picture's file.
    pub picture: String,
    /// The mask's file, white where the picture is drawn anew. None: all of it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask: Option<String>,
    /// Whether a picture of another ratio than the canvas is shown whole, with its edges repeated; else it is cropped.
    pub pad: bool,
    /// Pixels around the mask over which what was drawn fades into the picture.
    pub feather: u32,
}

impl Beginning {
    /// How the picture is fitted to the canvas.
    pub fn fit(&self) -> Fit {
        if self.pad { Fit::Pad } else { Fit::Crop }
    }

    /// The files that it needs.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        [Some(self.picture.as_str()), self.mask.as_deref()].into_iter().flatten()
    }
}

/// The picture that the form begins with, and what is painted on it. The picture itself stays on the disk.
#[derive(Clone, Debug)]
pub struct Input {
    /// Its file in the folder of inputs.
    pub name: String,
    /// Its width and height.
    pub size: (u32, u32),
    /// The picture as it is shown: of a large one fewer pixels.
    pub shown: RgbImage,
    /// What of it is drawn anew.
    pub painting: Painting,
    /// The file of the mask that it came with.
    pub mask: Option<String>,
}
