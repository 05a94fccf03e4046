//! Colours of maps: viridis for values, and what becomes of a picture below them.

use image::Rgb;

/// viridis (Nathaniel Smith, Stéfan van der Walt; CC0), as the polynomial of degree six that Matt Zucker fitted to it
/// (<https://www.shadertoy.com/view/WlfXRN>, CC0). Powers rise from row to row.
const VIRIDIS: [[f32; 3]; 7] = [
    [0.277_727_33, 0.005_407_344_6, 0.334_099_8],
    [0.105_093_04, 1.404_613_5, 1.384_590_1],
    [-0.330_861_83, 0.214_847_56, 0.095_095_16],
    [-4.634_230_5, -5.799_101, -19.332_441],
    [6.228_27, 14.179_934, 56.690_55],
    [4.776_385, -13.745_145, -65.353_03],
    [-5.435_456, 4.645_852_6, 26.312_435],
];

/// Share of the colour in a heat map; the rest is the picture, which is there to be recognised, not to be read.
const COLOUR: f32 = 0.7;

/// The colour of a value in 0…1.
pub fn viridis(value: f32) -> Rgb<u8> {
    let value = value.clamp(0.0, 1.0);
    let channel = |c: usize| VIRIDIS.iter().rev().fold(0.0, |sum, power| sum * value + power[c]);
    Rgb([0, 1, 2].map(|c| (channel(c).clamp(0.0, 1.0) * 255.0).round() as u8))
}

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
    use super::*;

    #[test]
    fn viridis_is_that_of_matplotlib() {
        let table = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
        for (index, expected) in table.into_iter().enumerate() {
            let Rgb(found) = viridis(index as f32 / 4.0);
            let off = found.iter().zip(expected).map(|(&a, b): (&u8, u8)| a.abs_diff(b)).max();
            assert!(off <= Some(6), "{found:?}, expected {expected:?}");
        }
        assert_eq!((viridis(-1.0), viridis(2.0)), (viridis(0.0), viridis(1.0)));
    }

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
