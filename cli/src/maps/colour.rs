//! Colours of maps: what becomes of a picture below them, and of letters on them.

use image::Rgb;

/// Share of the colour in a heat map; the rest is the picture, which is there to be recognised, not to be read.
const COLOUR: f32 = 0.7;

/// Brightness as eyes weigh it, 0…255 (BT.709).
pub fn luma(Rgb([r, g, b]): Rgb<u8>) -> f32 {
    0.2126 * f32::from(r) + 0.7152 * f32::from(g) + 0.0722 * f32::from(b)
}

/// A colour laid over a grey of 0…255.
pub fn over(colour: Rgb<u8>, grey: f32) -> Rgb<u8> {
    Rgb(colour.0.map(|c| (COLOUR * f32::from(c) + (1.0 - COLOUR) * grey).round() as u8))
}

/// A pixel whose token went past the layer: dark and without colour, and never as dark as a night sky that was kept.
pub fn bypassed(pixel: Rgb<u8>) -> Rgb<u8> {
    let grey = luma(pixel);
    Rgb([26.0, 28.0, 34.0].map(|dark| (dark + 0.2 * grey).round() as u8))
}

/// What is legible on a colour.
pub fn ink(on: Rgb<u8>) -> Rgb<u8> {
    Rgb(if luma(on) < 128.0 { [255; 3] } else { [16; 3] })
}

#[cfg(test)]
mod tests {
    use foveate_studio::viridis;

    use super::*;

    #[test]
    fn brightness_rises_with_the_value_over_any_picture() {
        for grey in [0.0, 128.0, 255.0] {
            let ramp: Vec<_> = (0..=20).map(|v| luma(over(viridis(v as f32 / 20.0), grey))).collect();
            assert!(ramp.windows(2).all(|pair| pair[0] < pair[1]), "{ramp:?}");
        }
    }

    #[test]
    fn bypassed_differs_from_kept() {
        for grey in 0..=255 {
            assert_ne!(bypassed(Rgb([grey; 3])), Rgb([grey; 3]));
        }
        assert!(luma(bypassed(Rgb([255; 3]))) < 90.0 && luma(bypassed(Rgb([0; 3]))) > 20.0);
    }
}
