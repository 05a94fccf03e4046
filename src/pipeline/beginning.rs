//! What the loop begins with, and what it keeps in sight: noise, or a picture noised to the level of the first step.
//! Random numbers are drawn in diffusers' order: the picture's latents, the noise, what is left of a masked picture,
//! and then what the steps draw.

use super::Pipeline;
use super::model;
use super::names::{KNOWN, MASK, SHOWN};
use super::task::Task;
use crate::device::Store;
use crate::models::{Canvas, Encoder};
use crate::rng::Generator;
use crate::schedulers::Schedule;
use crate::tensor::Data;
use crate::{Request, Result, Size, Tensor};

/// What is stored before the first step.
#[derive(Debug)]
pub(super) struct Beginning {
    /// `[L, C, h, w]`.
    pub latents: Tensor,
    /// The noise that they were made with, before the scheduler scales it.
    pub noise: Tensor,
    /// What every step finds stored besides, by name.
    pub kept: Vec<(&'static str, Tensor)>,
}

/// The encoder, once it was needed: its weights are on the device until the beginning is made.
type Opened = Option<(Box<dyn Encoder>, Store)>;

impl Pipeline {
    /// The beginning of a run with latents of `shape`. Encodes the request's picture, where there is one.
    pub(super) async fn beginning(
        &self,
        request: &Request,
        task: Task,
        shape: [usize; 4],
        schedule: &Schedule,
        generator: &mut Generator,
    ) -> Result<Beginning> {
        let (only_noise, mut opened) = (task.begins_with_noise(request), None);
        let mut known = request.image_latents.clone();
        let needs_known = !matches!((task, only_noise), (Task::Draw, _) | (Task::FillIn { .. }, true));
        if let (true, None, Some(image)) = (needs_known, &known, &request.image) {
            known = Some(self.encode(image, shape, generator, &mut opened).await?);
        }
        let noise = match &request.init_latents {
            Some(given) => given.clone(),
            None => Tensor::new(&shape, generator.randn(shape.iter().product()))?,
        };
        let latents = match &known {
            Some(known) if !only_noise => noised(known, &noise, schedule)?,
            _ => scaled(noise.clone(), schedule.init_noise_sigma),
        };
        let mut kept = Vec::new();
        if let Some(mask) = &request.mask {
            let latent_mask = latent_mask(mask, shape)?;
            if let (Task::FillIn { .. }, Some(image)) = (task, &request.image) {
                let left = self.encode(&what_is_left(image, mask)?, shape, generator, &mut opened).await?;
                kept.push((SHOWN, beside(&latent_mask, &left)?));
            } else if request.image.is_some() {
                // diffusers encodes what is left here too: what stochastic steps draw comes after it.
                generator.randn(shape[1..].iter().product());
            }
            if task.blends() {
                if let (None, Some(image)) = (&known, &request.image) {
                    known = Some(self.encode(image, shape, generator, &mut opened).await?);
                }
                kept.extend(known.map(|known| (KNOWN, known)));
                kept.push((MASK, latent_mask));
            }
        }
        Ok(Beginning { latents, noise, kept })
    }

    /// The latents `[1, C, h, w]` of a picture `[3, H, W]`.
    async fn encode(
        &self,
        picture: &Tensor,
        shape: [usize; 4],
        generator: &mut Generator,
        opened: &mut Opened,
    ) -> Result<Tensor> {
        let noise = generator.randn(shape[1..].iter().product());
        let (encoder, store) = match opened {
            Some(opened) => opened,
            None => {
                let (encoder, loader) = self.model.encoder().await?;
                opened.insert((encoder, model::upload(&self.device, &[loader], |_| {}).await?))
            }
        };
        let picture = Tensor { shape: [&[1], picture.shape.as_slice()].concat(), data: picture.data.clone() };
        encoder.latents(&self.device, store, &picture, &noise).await
    }
}

/// The picture at the level of the first step, once for each of the noises.
fn noised(known: &Tensor, noise: &Tensor, schedule: &Schedule) -> Result<Tensor> {
    let level = schedule.levels.first().copied().unwrap_or(crate::schedulers::Level::CLEAN);
    let known = known.f32();
    let values = noise.f32().iter().enumerate();
    let values = values.map(|(i, z)| level.image * known[i % known.len()] + level.noise * z);
    Tensor::new(&noise.shape, values.collect())
}

fn scaled(mut noise: Tensor, sigma: f32) -> Tensor {
    if let Data::F32(values) = &mut noise.data {
        values.iter_mut().for_each(|value| *value *= sigma);
    }
    noise
}

/// Whether a pixel of a mask is drawn anew.
fn anew(value: f32) -> bool {
    value >= 0.5
}

/// The picture `[3, H, W]`, mid-grey where the mask `[H, W]` has it drawn anew.
fn what_is_left(image: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let mask = mask.f32();
    let values = image.f32().iter().enumerate();
    let values = values.map(|(i, &value)| if anew(mask[i % mask.len()]) { 0.5 } else { value });
    Tensor::new(&image.shape, values.collect())
}

/// The mask of the latents `[1, 1, h, w]`: of each latent pixel what the mask `[H, W]` says of the first pixel under
/// it, as diffusers has it. A mask too small to be met that way covers every latent pixel that it touches.
fn latent_mask(mask: &Tensor, [_, _, height, width]: [usize; 4]) -> Result<Tensor> {
    let (down, across) = (mask.shape[0] / height, mask.shape[1] / width);
    let pixel = |y: usize, x: usize| anew(mask.f32()[y * mask.shape[1] + x]);
    let cells = || (0..height).flat_map(|y| (0..width).map(move |x| (y * down, x * across)));
    let touched = |(y, x): (usize, usize)| (y..y + down).any(|y| (x..x + across).any(|x| pixel(y, x)));
    let met: Vec<bool> = cells().map(|(y, x)| pixel(y, x)).collect();
    let met = if met.contains(&true) { met } else { cells().map(touched).collect() };
    Tensor::new(&[1, 1, height, width], met.into_iter().map(|met| f32::from(u8::from(met))).collect())
}

/// Which tokens have a masked latent pixel, in raster order.
pub(super) fn marked_tokens(mask: &Tensor, canvas: Canvas) -> Result<Vec<bool>> {
    let Canvas { latents: Size { width, height }, grid, .. } = canvas;
    let mask = latent_mask(mask, [1, 1, height, width])?;
    let mut marked = vec![false; grid.tokens()];
    let (down, across) = (height / grid.rows, width / grid.columns);
    for at in (0..height * width).filter(|&at| mask.f32()[at] == 1.0) {
        marked[at / width / down * grid.columns + at % width / across] = true;
    }
    Ok(marked)
}

/// What a model that fills in sees beside its latents: `[1, 1 + C, h, w]`.
fn beside(mask: &Tensor, left: &Tensor) -> Result<Tensor> {
    let [_, channels, height, width]: [usize; 4] = [0, 1, 2, 3].map(|side| left.shape[side]);
    Tensor::new(&[1, 1 + channels, height, width], [mask.f32(), left.f32()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mask(height: usize, width: usize, anew: &[(usize, usize)]) -> Tensor {
        let mut values = vec![0.0; height * width];
        anew.iter().for_each(|(y, x)| values[y * width + x] = 1.0);
        Tensor::new(&[height, width], values).unwrap()
    }

    #[test]
    fn a_latent_pixel_is_masked_by_the_first_pixel_under_it() {
        let found = |anew: &[(usize, usize)]| latent_mask(&mask(4, 6, anew), [1, 4, 2, 3]).unwrap().f32().to_vec();
        assert_eq!(found(&[(0, 0), (1, 3), (2, 4)]), [1.0, 0.0, 0.0, 0.0, 0.0, 1.0]);
        assert_eq!(found(&[]), [0.0; 6]);
        // One pixel that none of them meets is not lost.
        assert_eq!(found(&[(1, 3)]), [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn what_is_left_is_grey_under_the_mask() {
        let image = Tensor::new(&[3, 1, 2], vec![0.1, 0.2, 0.3, 0.4, 0.6, 0.7]).unwrap();
        let left = what_is_left(&image, &mask(1, 2, &[(0, 1)])).unwrap();
        assert_eq!(left.f32(), [0.1, 0.5, 0.3, 0.5, 0.6, 0.5]);
    }
}
