//! Classifier-free guidance and the scheduler's update in one pass over the latents. The row of coefficients lies on
//! the GPU, so one plan serves every step and every scheduler.

use super::{params, shader};
use crate::graph::reference::HostValues;
use crate::graph::{Caps, Dispatch, Graph, Host, Op, Pass, Shader, ValueId};
use crate::tensor::{BOUND, in_range};
use crate::{Error, Result};

pub(super) static SHADER: Shader = shader!("scheduler_step");

/// Where a step's numbers lie in its row `[16]`.
pub mod step_row {
    /// Numbers in a row; those not named here are not read.
    pub const LEN: usize = 16;
    /// The timestep that the model receives.
    pub const TIMESTEP: usize = 0;
    /// What multiplies the latents that the model is shown.
    pub const INPUT_SCALE: usize = 1;
    /// Of x, in the converted output m.
    pub const CONVERT_SAMPLE: usize = 2;
    /// Of the model's output, in m.
    pub const CONVERT_OUTPUT: usize = 3;
    /// m stays within ±clip.
    pub const CLIP: usize = 4;
    /// Of x, in the next x.
    pub const SAMPLE: usize = 5;
    /// Of the model's output, in the next x.
    pub const OUTPUT: usize = 6;
    /// Of m, in the next x.
    pub const CURRENT: usize = 7;
    /// Of the last step's m, in the next x.
    pub const PREVIOUS0: usize = 8;
    /// Of the m before that, in the next x.
    pub const PREVIOUS1: usize = 9;
    /// Of fresh noise, in the next x.
    pub const NOISE: usize = 10;
    /// The guidance scale.
    pub const GUIDANCE: usize = 11;
    /// The number of the step, from 1. No kernel reads it: a run finds here which step the device came to.
    pub const NUMBER: usize = 12;
    /// Of a known picture's latents, where it is kept outside a mask: how much of them the step leads to.
    pub const KNOWN: usize = 13;
    /// Of noise, in the same.
    pub const KNOWN_NOISE: usize = 14;
}

params! {
    /// Uniform of `scheduler_step.wgsl`.
    struct Params { count: u32, image: u32, channels: u32, unguided: u32, guided: u32, most: u32 }
}

/// Which halves of the batch the model's outputs without and with the prompt are:
/// g = uncond + scale·(cond − uncond).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guidance {
    /// The batch is not doubled.
    None,
    /// [uncond, cond]: PixArt.
    UncondFirst,
    /// [cond, uncond]: DiT.
    CondFirst,
}

/// The values of one scheduler step.
#[derive(Clone, Copy, Debug)]
pub struct SchedulerStep {
    /// The model's output `[L or 2L, Cm, H, W]`; channels from C on (a learned sigma) are ignored.
    pub output: ValueId,
    /// x `[L, C, H, W]`, updated.
    pub latents: ValueId,
    /// m of the last step and of the one before, `[L, C, H, W]`, updated.
    pub history: [ValueId; 2],
    /// z `[L, C, H, W]`; finite even where its coefficient is 0.
    pub noise: ValueId,
    /// `[16]`, see [`step_row`].
    pub step: ValueId,
    /// g `[L, C, H, W]`, written.
    pub guided: ValueId,
    /// How the batch is doubled.
    pub guidance: Guidance,
}

/// Guides the model's output and takes the scheduler's step. With g the guided output:
///
/// m = clamp(convert_sample·x + convert_output·g, ±clip),
/// x ← sample·x + output·g + current·m + previous0·m₁ + previous1·m₂ + noise·z, m₂ ← m₁, m₁ ← m.
pub fn scheduler_step(graph: &mut Graph, step: SchedulerStep) -> Result<()> {
    let op = SHADER.name;
    let latents @ [count, channels, height, width] = graph.dims(op, step.latents)?;
    for same in [step.history[0], step.history[1], step.noise, step.guided] {
        graph.expect(op, same, &latents)?;
    }
    graph.expect(op, step.step, &[step_row::LEN])?;
    let output = graph.dims(op, step.output)?;
    let batch = if step.guidance == Guidance::None { count } else { 2 * count };
    if output != [batch, output[1], height, width] || output[1] < channels {
        let name = &graph.get(step.output).name;
        let reason = format!("{name} has shape {output:?}, expected [{batch}, {channels} or more, {height}, {width}]");
        return Err(Error::shape(op, reason));
    }
    graph.push(step);
    Ok(())
}

impl SchedulerStep {
    /// Where in the model's output the halves without and with the prompt begin.
    fn halves(&self, graph: &Graph) -> [usize; 2] {
        let half = graph.get(self.output).len() / 2;
        match self.guidance {
            Guidance::None => [0, 0],
            Guidance::UncondFirst => [0, half],
            Guidance::CondFirst => [half, 0],
        }
    }
}

impl Op for SchedulerStep {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        let Self { output, latents, history: [m1, m2], noise, step, guided, .. } = *self;
        vec![Pass::new().read(output).update(latents).update(m1).update(m2).read(noise).read(step).write(guided)]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let count = graph.get(self.latents).len();
        let [unguided, guided] = self.halves(graph);
        let params = Params {
            count: count as u32,
            image: graph.shape(self.latents)[1..].iter().product::<usize>() as u32,
            channels: graph.shape(self.output)[1..].iter().product::<usize>() as u32,
            unguided: unguided as u32,
            guided: guided as u32,
            most: BOUND.to_bits(),
        };
        let dispatch = Dispatch::new(&SHADER, params.bytes(), caps.grid(count.div_ceil(256) as u64));
        Ok(vec![dispatch.constant("GUIDED", self.guidance != Guidance::None)])
    }

    fn compute(&self, _graph: &Graph, host: &Host<'_>) -> Result<()> {
        host.by_reference(&self.access(), |graph, values| self.reference(graph, values))
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let [model, x, m1, m2, z, row] =
            [self.output, self.latents, self.history[0], self.history[1], self.noise, self.step].map(|id| host.f32(id));
        let image: usize = graph.shape(self.latents)[1..].iter().product();
        let stride: usize = graph.shape(self.output)[1..].iter().product();
        let [unguided, guided] = self.halves(graph);
        let (mut g, mut m, mut next) = (Vec::new(), Vec::new(), Vec::new());
        for i in 0..x.len() {
            let at = i / image * stride + i % image;
            let (cond, uncond) = (model[guided + at], model[unguided + at]);
            g.push(match self.guidance {
                Guidance::None => cond,
                _ => uncond + row[step_row::GUIDANCE] * (cond - uncond),
            });
            let converted = row[step_row::CONVERT_SAMPLE] * x[i] + row[step_row::CONVERT_OUTPUT] * g[i];
            m.push(converted.max(-row[step_row::CLIP]).min(row[step_row::CLIP]));
            let direct = row[step_row::SAMPLE] * x[i] + row[step_row::OUTPUT] * g[i] + row[step_row::CURRENT] * m[i];
            let history = row[step_row::PREVIOUS0] * m1[i] + row[step_row::PREVIOUS1] * m2[i];
            let stepped = direct + history + row[step_row::NOISE] * z[i];
            next.push(if in_range(x[i]) { stepped } else { x[i] });
        }
        let m1 = m1.to_vec();
        for (id, values) in [(self.guided, g), (self.latents, next), (self.history[1], m1), (self.history[0], m)] {
            host.write(graph, id, values);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Case;

    /// A step over latents of this shape, the model putting out `model` channels and the row being `row`.
    fn step(case: &mut Case, shape: [usize; 4], model: usize, row: Vec<f32>, guidance: Guidance) -> SchedulerStep {
        let batch = if guidance == Guidance::None { shape[0] } else { 2 * shape[0] };
        SchedulerStep {
            output: case.input("output", &[batch, model, shape[2], shape[3]]),
            latents: case.input("latents", &shape),
            history: ["m1", "m2"].map(|name| case.input(name, &shape)),
            noise: case.input("noise", &shape),
            step: case.input_of("step", &[step_row::LEN], row),
            guided: case.graph.transient("guided", &shape),
            guidance,
        }
    }

    #[test]
    fn agrees_with_the_reference() {
        for guidance in [Guidance::None, Guidance::UncondFirst, Guidance::CondFirst] {
            for (shape, model) in [([1, 1, 1, 1], 1), ([1, 4, 6, 5], 8), ([3, 4, 8, 8], 4), ([2, 3, 7, 9], 5)] {
                let mut case = Case::new();
                let mut row = case.random(step_row::LEN);
                row[step_row::CLIP] = 0.7;
                let step = step(&mut case, shape, model, row, guidance);
                for _ in 0..3 {
                    scheduler_step(&mut case.graph, step).unwrap();
                }
                case.agrees(2e-6);
            }
        }
    }

    #[test]
    fn every_coefficient_has_its_place() {
        // x = 2, g = 3 + 0.5·(5 − 3) = 4, m₁ = 7, m₂ = 11, z = 13.
        let next = |index: usize, value: f32| {
            let mut case = Case::new();
            let mut row = vec![0.0; step_row::LEN];
            (row[step_row::CLIP], row[step_row::GUIDANCE]) = (1.5, 0.5);
            row[step_row::CONVERT_OUTPUT] = 0.25; // m = 1
            row[index] = value;
            let step = step(&mut case, [1, 1, 1, 1], 1, row, Guidance::UncondFirst);
            for (name, values) in [
                ("output", vec![3.0, 5.0]),
                ("latents", vec![2.0]),
                ("m1", vec![7.0]),
                ("m2", vec![11.0]),
                ("noise", vec![13.0]),
            ] {
                case.stored.get_mut(name).unwrap().data = crate::tensor::Data::F32(values);
            }
            scheduler_step(&mut case.graph, step).unwrap();
            case.agrees(1e-6);
            let host = crate::graph::reference::run(&case.graph, &case.stored).unwrap();
            [step.latents, step.history[0], step.history[1], step.guided].map(|id| host.f32(id)[0])
        };
        assert_eq!(next(step_row::SAMPLE, 10.0), [20.0, 1.0, 7.0, 4.0]);
        assert_eq!(next(step_row::OUTPUT, 10.0), [40.0, 1.0, 7.0, 4.0]);
        assert_eq!(next(step_row::CURRENT, 10.0), [10.0, 1.0, 7.0, 4.0]);
        assert_eq!(next(step_row::PREVIOUS0, 10.0), [70.0, 1.0, 7.0, 4.0]);
        assert_eq!(next(step_row::PREVIOUS1, 10.0), [110.0, 1.0, 7.0, 4.0]);
        assert_eq!(next(step_row::NOISE, 10.0), [130.0, 1.0, 7.0, 4.0]);
        assert_eq!(next(step_row::CONVERT_SAMPLE, -0.125), [0.0, 0.75, 7.0, 4.0]);
        assert_eq!(next(step_row::CONVERT_OUTPUT, -10.0), [0.0, -1.5, 7.0, 4.0]);
        assert_eq!(next(step_row::GUIDANCE, 2.0), [0.0, 1.5, 7.0, 7.0]);
    }

    /// A last step that takes nothing of x would make a picture of it.
    #[test]
    fn what_left_the_range_stays_out_of_it() {
        let mut case = Case::new();
        let step = step(&mut case, [1, 1, 1, 3], 1, vec![0.0; step_row::LEN], Guidance::None);
        let wild = vec![2e9, -3e9, 4e9];
        case.stored.get_mut("latents").unwrap().data = crate::tensor::Data::F32(wild.clone());
        scheduler_step(&mut case.graph, step).unwrap();
        case.agrees(1e-6);
        let host = crate::graph::reference::run(&case.graph, &case.stored).unwrap();
        assert_eq!(host.f32(step.latents), wild);
    }

    #[test]
    fn the_shader_has_the_same_row() {
        let module = naga::front::wgsl::parse_str(SHADER.source).unwrap();
        let step = module.types.iter().find(|(_, t)| t.name.as_deref() == Some("Step")).unwrap().1;
        let naga::TypeInner::Struct { members, .. } = &step.inner else { panic!("Step is no struct") };
        let found: Vec<_> = members.iter().map(|m| (m.name.clone().unwrap(), m.offset as usize / 4)).collect();
        macro_rules! places {
            ($($name:ident)*) => { [$((stringify!($name).to_lowercase(), step_row::$name)),*] };
        }
        let expected = places!(TIMESTEP INPUT_SCALE CONVERT_SAMPLE CONVERT_OUTPUT CLIP SAMPLE OUTPUT CURRENT PREVIOUS0
                               PREVIOUS1 NOISE GUIDANCE);
        assert_eq!(found, expected);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let mut case = Case::new();
        let good = step(&mut case, [2, 4, 6, 6], 8, vec![0.0; 16], Guidance::UncondFirst);
        let few = case.input("few", &[4, 3, 6, 6]);
        for (bad, message) in [
            (
                SchedulerStep { guidance: Guidance::None, ..good },
                "output has shape [4, 8, 6, 6], expected [2, 4 or more, 6, 6]",
            ),
            (SchedulerStep { output: few, ..good }, "few has shape [4, 3, 6, 6], expected [4, 4 or more, 6, 6]"),
            (SchedulerStep { noise: good.output, ..good }, "output has shape [4, 8, 6, 6], expected [2, 4, 6, 6]"),
            (SchedulerStep { step: good.noise, ..good }, "noise has shape [2, 4, 6, 6], expected [16]"),
        ] {
            let error = scheduler_step(&mut case.graph, bad).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
