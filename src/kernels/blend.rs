//! Keeps a known picture outside a mask: after each step the rest of the latents is the picture again, noised to the
//! level that the step led to (latent blending, as diffusers' inpainting pipelines do it).

use super::{params, shader, step_row};
use crate::Result;
use crate::graph::reference::HostValues;
use crate::graph::{Caps, Dispatch, Graph, Host, Op, Pass, Shader, ValueId};

pub(super) static SHADER: Shader = shader!("blend");

params! {
    /// Uniform of `blend.wgsl`.
    struct Params { count: u32, known: u32, plane: u32, image: u32, noise: u32 }
}

/// What [`blend`] works on.
#[derive(Clone, Copy, Debug)]
pub struct Blend {
    /// `[L, C, H, W]`, updated.
    pub latents: ValueId,
    /// The latents of the known picture, `[1, C, H, W]` or one for each.
    pub known: ValueId,
    /// What noises it, `[L, C, H, W]`, standard normal.
    pub noise: ValueId,
    /// `[1, 1, H, W]`: 1 where the latents stay as they are, 0 where they become the known ones.
    pub mask: ValueId,
    /// The step's row, `[16]`: [`step_row::KNOWN`] and [`step_row::KNOWN_NOISE`] say how much of each.
    pub step: ValueId,
}

/// `latents ← (1 − mask)·(image·known + noise·z) + mask·latents`, with both factors from the step's row.
pub fn blend(graph: &mut Graph, blend: Blend) -> Result<()> {
    let op = SHADER.name;
    let [count, channels, height, width] = graph.dims(op, blend.latents)?;
    let [pictures, _, _, _] = graph.dims(op, blend.known)?;
    graph.expect(op, blend.known, &[if pictures == 1 { 1 } else { count }, channels, height, width])?;
    graph.expect(op, blend.noise, &[count, channels, height, width])?;
    graph.expect(op, blend.mask, &[1, 1, height, width])?;
    graph.expect(op, blend.step, &[step_row::LEN])?;
    graph.push(blend);
    Ok(())
}

impl Op for Blend {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        let Self { latents, known, noise, mask, step } = *self;
        vec![Pass::new().update(latents).read(known).read(noise).read(mask).read(step)]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let [count, known, plane] = [self.latents, self.known, self.mask].map(|id| graph.get(id).len());
        let [image, noise] = [step_row::KNOWN, step_row::KNOWN_NOISE].map(|place| place as u32);
        let params = Params { count: count as u32, known: known as u32, plane: plane as u32, image, noise };
        Ok(vec![Dispatch::new(&SHADER, params.bytes(), caps.grid(count.div_ceil(256) as u64))])
    }

    fn compute(&self, _graph: &Graph, host: &Host<'_>) -> Result<()> {
        host.by_reference(&self.access(), |graph, values| self.reference(graph, values))
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let Self { latents, known, noise, mask, step } = *self;
        let [x, known, z, mask, row] = [latents, known, noise, mask, step].map(|id| host.f32(id));
        let next = x.iter().zip(z).enumerate().map(|(i, (x, z))| {
            let m = mask[i % mask.len()];
            let noised = row[step_row::KNOWN] * known[i % known.len()] + row[step_row::KNOWN_NOISE] * z;
            (1.0 - m) * noised + m * x
        });
        let next = next.collect();
        host.write(graph, latents, next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Case;

    fn case(shape: [usize; 4], pictures: usize) -> (Case, Blend) {
        let mut case = Case::new();
        let [_, channels, height, width] = shape;
        let blend = Blend {
            latents: case.input("latents", &shape),
            known: case.input("known", &[pictures, channels, height, width]),
            noise: case.input("noise", &shape),
            mask: case.input("mask", &[1, 1, height, width]),
            step: case.input("step", &[step_row::LEN]),
        };
        (case, blend)
    }

    #[test]
    fn agrees_with_the_reference() {
        for (shape, pictures) in [([1, 1, 1, 1], 1), ([3, 4, 5, 7], 1), ([2, 4, 16, 12], 2)] {
            let (mut case, op) = case(shape, pictures);
            blend(&mut case.graph, op).unwrap();
            case.agrees(1e-6);
        }
    }

    #[test]
    fn a_mask_of_ones_changes_nothing_and_one_of_zeros_leaves_the_noised_picture() {
        let after = |mask: f32| {
            let (mut case, op) = case([1, 1, 1, 1], 1);
            let mut row = vec![0.0; step_row::LEN];
            (row[step_row::KNOWN], row[step_row::KNOWN_NOISE]) = (0.5, 2.0);
            for (name, values) in [
                ("latents", vec![3.0]),
                ("known", vec![5.0]),
                ("noise", vec![7.0]),
                ("mask", vec![mask]),
                ("step", row),
            ] {
                case.stored.get_mut(name).unwrap().data = crate::tensor::Data::F32(values);
            }
            blend(&mut case.graph, op).unwrap();
            case.agrees(1e-6);
            crate::graph::reference::run(&case.graph, &case.stored).unwrap().f32(op.latents)[0]
        };
        assert_eq!([after(1.0), after(0.0), after(0.25)], [3.0, 16.5, 13.125]);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let (mut case, good) = case([2, 4, 6, 5], 1);
        let three = case.input("three", &[3, 4, 6, 5]);
        for (bad, message) in [
            (Blend { known: three, ..good }, "three has shape [3, 4, 6, 5], expected [2, 4, 6, 5]"),
            (Blend { noise: good.known, ..good }, "known has shape [1, 4, 6, 5], expected [2, 4, 6, 5]"),
            (Blend { mask: good.known, ..good }, "known has shape [1, 4, 6, 5], expected [1, 1, 6, 5]"),
            (Blend { step: good.mask, ..good }, "mask has shape [1, 1, 6, 5], expected [16]"),
        ] {
            let error = blend(&mut case.graph, bad).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
