//! The colours of values in maps.

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

/// The colour of a value in 0…1.
pub fn viridis(value: f32) -> Rgb<u8> {
    let value = value.clamp(0.0, 1.0);
    let channel = |c: usize| VIRIDIS.iter().rev().fold(0.0, |sum, power| sum * value + power[c]);
    Rgb([0, 1, 2].map(|c| (channel(c).clamp(0.0, 1.0) * 255.0).round() as u8))
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
}
