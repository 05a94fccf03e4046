//! A cheap preview: each latent pixel's colour as a linear function of its channels. The function is fitted by least
//! squares to what the model's own decoder makes of latents, and is kept, so that it gets better with every picture.

use image::{Rgb, RgbImage};
use serde::{Deserialize, Serialize};

use foveate::Tensor;

/// How much of what was learnt before counts when something new is learnt: the first lessons may be noise.
const MEMORY: f64 = 0.9;
/// Keeps the fit stable where the latents of a lesson hardly vary, relative to the number of its pixels.
const RIDGE: f64 = 1e-4;

/// The normal equations of the fit: with `a` the channels of a latent pixel and a constant, `c` its colour in 0…1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Projection {
    /// The sum of `a aᵀ`, `[n, n]`.
    square: Vec<f64>,
    /// The sum of `a cᵀ`, `[n, 3]`.
    right: Vec<f64>,
    /// Latent pixels, as far as they are remembered.
    weight: f64,
}

impl Projection {
    /// Whether it has learnt anything.
    pub fn is_fitted(&self) -> bool {
        self.weight > 0.0
    }

    /// Learns from latents `[1, L, h, w]` and what the decoder made of them, `[1, 3, H, W]` in 0…1. Shapes that do not
    /// belong together teach nothing.
    pub fn learn(&mut self, latents: &Tensor, picture: &Tensor) {
        let (Some([channels, height, width]), Some([3, full_height, full_width])) = (planes(latents), planes(picture))
        else {
            return;
        };
        if height == 0 || width == 0 || full_height % height != 0 || full_width % width != 0 {
            return;
        }
        let n = channels + 1;
        if self.square.len() != n * n || self.right.len() != 3 * n {
            *self = Self { square: vec![0.0; n * n], right: vec![0.0; 3 * n], weight: 0.0 };
        }
        self.square.iter_mut().chain(&mut self.right).for_each(|sum| *sum *= MEMORY);
        self.weight = self.weight * MEMORY + (height * width) as f64;
        let scale = [full_height / height, full_width / width];
        for y in 0..height {
            for x in 0..width {
                let a = inputs(latents, channels, [y, x], [height, width]);
                let colour = mean(picture, [y, x], scale, [full_height, full_width]);
                for (i, &left) in a.iter().enumerate() {
                    a.iter().enumerate().for_each(|(j, &right)| self.square[i * n + j] += left * right);
                    colour.iter().enumerate().for_each(|(j, &right)| self.right[3 * i + j] += left * right);
                }
            }
        }
    }

    /// The latents `[1, L, h, w]` in colour, `w × h` pixels. None where nothing was learnt about such latents.
    pub fn show(&self, latents: &Tensor) -> Option<RgbImage> {
        let [channels, height, width] = planes(latents)?;
        let n = channels + 1;
        // What was kept on the disk may be damaged.
        if !self.is_fitted() || self.square.len() != n * n || self.right.len() != 3 * n {
            return None;
        }
        let matrix = self.solve(n)?;
        Some(RgbImage::from_fn(width as u32, height as u32, |x, y| {
            let a = inputs(latents, channels, [y as usize, x as usize], [height, width]);
            Rgb([0, 1, 2].map(|c| {
                let value: f64 = a.iter().zip(matrix.chunks_exact(3)).map(|(a, row)| a * row[c]).sum();
                (value * 255.0).round() as u8 // saturates
            }))
        }))
    }

    /// The matrix `[n, 3]` that fits best, by elimination with pivots.
    fn solve(&self, n: usize) -> Option<Vec<f64>> {
        let mut rows: Vec<Vec<f64>> = (0..n)
            .map(|i| {
                let mut row = self.square[i * n..(i + 1) * n].to_vec();
                row[i] += RIDGE * self.weight;
                row.extend(&self.right[3 * i..3 * i + 3]);
                row
            })
            .collect();
        for column in 0..n {
            let pivot = (column..n).max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()))?;
            rows.swap(column, pivot);
            let scale = rows[column][column];
            if scale == 0.0 || !scale.is_finite() {
                return None;
            }
            rows[column].iter_mut().for_each(|value| *value /= scale);
            let own = rows[column].clone();
            for (_, row) in rows.iter_mut().enumerate().filter(|(at, _)| *at != column) {
                let factor = row[column];
                row.iter_mut().zip(&own).for_each(|(value, own)| *value -= factor * own);
            }
        }
        Some(rows.iter().flat_map(|row| row[n..].iter().copied()).collect())
    }
}

/// `[C, H, W]` of `[1, C, H, W]`.
fn planes(tensor: &Tensor) -> Option<[usize; 3]> {
    match tensor.shape[..] {
        [1, channels, height, width] if tensor.f32().len() == channels * height * width => {
            Some([channels, height, width])
        }
        _ => None,
    }
}

/// The channels of a latent pixel, and 1.
fn inputs(latents: &Tensor, channels: usize, [y, x]: [usize; 2], [height, width]: [usize; 2]) -> Vec<f64> {
    let values = latents.f32();
    let channel = |c: usize| f64::from(values[(c * height + y) * width + x]);
    (0..channels).map(channel).chain([1.0]).collect()
}

/// The mean colour of the pixels that a latent pixel stands for.
fn mean(picture: &Tensor, [y, x]: [usize; 2], [down, across]: [usize; 2], [height, width]: [usize; 2]) -> [f64; 3] {
    let values = picture.f32();
    [0, 1, 2].map(|c| {
        let row = |row: usize| {
            let start = (c * height + y * down + row) * width + x * across;
            values[start..start + across].iter().map(|&value| f64::from(value)).sum::<f64>()
        };
        (0..down).map(row).sum::<f64>() / (down * across) as f64
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tensor(shape: &[usize], value: impl Fn(usize) -> f32) -> Tensor {
        Tensor::new(shape, (0..shape.iter().product()).map(value).collect()).unwrap()
    }

    #[test]
    fn a_linear_decoder_is_learnt() {
        let latents = tensor(&[1, 2, 4, 4], |i| ((i * 7919) % 13) as f32 / 13.0);
        // Red is channel 0, green is channel 1, blue is a quarter; two pixels by two for each.
        let picture = tensor(&[1, 3, 8, 8], |i| {
            let (plane, y, x) = (i / 64, i / 8 % 8, i % 8);
            if plane == 2 { 0.25 } else { latents.f32()[plane * 16 + y / 2 * 4 + x / 2] }
        });
        let mut projection = Projection::default();
        assert!(projection.show(&latents).is_none());
        projection.learn(&latents, &picture);
        let other = tensor(&[1, 2, 1, 2], |i| [0.2, 0.8, 0.6, 0.4][i]);
        let shown = projection.show(&other).unwrap();
        for (x, expected) in [(0, [51, 153, 64]), (1, [204, 102, 64])] {
            let Rgb(found) = *shown.get_pixel(x, 0);
            let far = found.iter().zip(expected).map(|(a, b): (&u8, i32)| (i32::from(*a) - b).abs()).max();
            assert!(far <= Some(2), "{found:?} {expected:?}");
        }
        // Other latents than were learnt about, and shapes that belong to nothing.
        assert!(projection.show(&tensor(&[1, 3, 1, 1], |_| 0.0)).is_none());
        let before = projection.clone();
        projection.learn(&latents, &tensor(&[1, 3, 6, 8], |_| 0.0));
        assert_eq!(projection, before);
    }

    #[test]
    fn a_damaged_file_shows_nothing_and_is_learnt_anew() {
        let latents = tensor(&[1, 1, 1, 2], |i| i as f32);
        for damaged in [
            r#"{"square": [1.0, 0.0, 0.0, 1.0], "right": [1.0], "weight": 1.0}"#,
            r#"{"square": [1.0], "right": [1.0, 1.0, 1.0, 1.0, 1.0, 1.0], "weight": 1.0}"#,
        ] {
            let mut projection: Projection = serde_json::from_str(damaged).unwrap();
            assert!(projection.show(&latents).is_none(), "{damaged}");
            projection.learn(&latents, &tensor(&[1, 3, 1, 2], |_| 0.5));
            assert!(projection.show(&latents).is_some(), "{damaged}");
        }
    }
}
