//! Sinusoidal embeddings of timesteps, picture sizes and aspect ratios.

use super::scheduler_step::step_row;
use super::{params, shader};
use crate::graph::reference::HostValues;
use crate::graph::{Caps, Dispatch, Graph, Host, Op, Pass, Shader, ValueId};
use crate::{Error, Result};

pub(super) static SHADER: Shader = shader!("timestep_embedding");

params! {
    /// The head of the uniform of `timestep_embedding.wgsl`; the table of frequencies follows.
    struct Params { rows: u32, dim: u32, half: u32, first: u32, cosines: u32 }
}

/// Frequencies that the uniform's table has room for.
const MOST_FREQUENCIES: usize = 512;

/// What is embedded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timesteps {
    /// Each of `[R]` numbers.
    Values(ValueId),
    /// The timestep in a scheduler's step `[16]`: one row.
    Step(ValueId),
}

/// The options of diffusers' `get_timestep_embedding`, with its defaults.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimestepEmbedding {
    /// Length of an embedding, at most 1024; an odd one ends in a zero.
    pub dim: usize,
    /// Cosines first.
    pub flip_sin_to_cos: bool,
    /// frequency i = max_period^(−i / (dim/2 − downscale_freq_shift)).
    pub downscale_freq_shift: f32,
    /// The slowest frequency is about 1 / max_period.
    pub max_period: f32,
}

impl Default for TimestepEmbedding {
    fn default() -> Self {
        Self { dim: 256, flip_sin_to_cos: false, downscale_freq_shift: 1.0, max_period: 10_000.0 }
    }
}

#[derive(Debug)]
struct TimestepEmbeddingOp {
    values: ValueId,
    /// Which of the values the first row embeds.
    first: usize,
    options: TimestepEmbedding,
    out: ValueId,
}

/// Sines and cosines of every number t at dim / 2 frequencies: `[R, dim]`. Off by 1e-9·|t| and a few 1e-7 at most,
/// which is closer than diffusers, who take both frequencies and angles in f32.
pub fn timestep_embedding(graph: &mut Graph, timesteps: Timesteps, options: TimestepEmbedding) -> Result<ValueId> {
    let op = SHADER.name;
    let (values, first, rows) = match timesteps {
        Timesteps::Values(values) => (values, 0, graph.dims::<1>(op, values)?[0]),
        Timesteps::Step(step) => {
            graph.expect(op, step, &[step_row::LEN])?;
            (step, step_row::TIMESTEP, 1)
        }
    };
    let TimestepEmbedding { dim, downscale_freq_shift, max_period, .. } = options;
    if dim < 2 || dim / 2 > MOST_FREQUENCIES {
        return Err(Error::shape(op, format!("dim is {dim}, expected 2 to {}", 2 * MOST_FREQUENCIES + 1)));
    }
    // One frequency alone is 1 whatever the shift.
    let spread = (dim / 2) as f32 - downscale_freq_shift;
    if !(max_period >= 1.0 && max_period.is_finite() && (spread > 0.0 || dim / 2 == 1)) {
        let reason = format!("max_period {max_period} over {spread} frequencies gives none that are 1 or slower");
        return Err(Error::shape(op, reason));
    }
    let out = graph.transient("timestep embedding", &[rows, dim]);
    graph.push(TimestepEmbeddingOp { values, first, options, out });
    Ok(out)
}

impl TimestepEmbedding {
    /// Radians per unit of time.
    fn frequencies(&self) -> impl Iterator<Item = f64> {
        let half = self.dim / 2;
        let (period, spread) = (f64::from(self.max_period), half as f64 - f64::from(self.downscale_freq_shift));
        (0..half).map(move |i| if i == 0 { 1.0 } else { (-period.ln() * i as f64 / spread).exp() })
    }
}

impl Op for TimestepEmbeddingOp {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        vec![Pass::new().read(self.values).write(self.out)]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let (rows, dim) = graph.get(self.out).matrix();
        let half = dim / 2;
        let cosines = if self.options.flip_sin_to_cos { 0 } else { half };
        let [rows, dim, half, first, cosines] = [rows, dim, half, self.first, cosines].map(|n| n as u32);
        let mut params = Params { rows, dim, half, first, cosines }.bytes();
        // 2³² to the turn; at 999 units of time the rounding has grown to 8e-7 radians.
        let phases = self.options.frequencies().map(|f| (f / std::f64::consts::TAU * 2f64.powi(32)).round() as u32);
        let table = params.len();
        params.extend(phases.flat_map(u32::to_le_bytes));
        params.resize(table + 4 * MOST_FREQUENCIES, 0);
        Ok(vec![Dispatch::new(&SHADER, params, caps.grid(graph.get(self.out).len().div_ceil(256) as u64))])
    }

    fn compute(&self, _graph: &Graph, host: &Host<'_>) -> Result<()> {
        host.by_reference(&self.access(), |graph, values| self.reference(graph, values))
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let (rows, dim) = graph.get(self.out).matrix();
        let mut out = Vec::new();
        for &time in &host.f32(self.values)[self.first..self.first + rows] {
            let angles: Vec<_> = self.options.frequencies().map(|f| f64::from(time) * f).collect();
            let sines = angles.iter().map(|a| a.sin() as f32);
            let cosines = angles.iter().map(|a| a.cos() as f32);
            match self.options.flip_sin_to_cos {
                true => out.extend(cosines.chain(sines)),
                false => out.extend(sines.chain(cosines)),
            }
            out.resize(out.len().next_multiple_of(dim), 0.0);
        }
        host.write(graph, self.out, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::reference;
    use crate::tensor::Data;
    use crate::testing::{Case, gpu};

    #[test]
    fn every_element_is_exact() {
        let mut case = Case::new();
        let mut values: Vec<f32> = (0..1000).map(|t| t as f32).collect();
        values.extend([0.1, 0.999, 1e-6, 511.37, 998.9999, 1024.0, -3.25, 0.567]);
        let input = case.input_of("values", &[values.len()], values.clone());
        let shift = |downscale_freq_shift| TimestepEmbedding { downscale_freq_shift, ..TimestepEmbedding::default() };
        let outs = [0.0, 1.0].map(|s| timestep_embedding(&mut case.graph, Timesteps::Values(input), shift(s)).unwrap());
        let (found, expected) = (case.run(gpu()), reference::run(&case.graph, &case.stored).unwrap());
        for out in outs {
            let Data::F32(found) = &found[&out] else { panic!("numbers expected") };
            for (i, (y, right)) in found.iter().zip(expected.f32(out)).enumerate() {
                assert!((y - right).abs() <= 2e-6, "time {}, element {}: {y}, not {right}", values[i / 256], i % 256);
            }
        }
    }

    #[test]
    fn agrees_for_every_option() {
        for dim in [2, 3, 5, 6, 256, 321, 1024, 1025] {
            for (flip_sin_to_cos, downscale_freq_shift) in [(false, 0.0), (true, 0.0), (true, 1.0)] {
                let mut case = Case::new();
                let options = TimestepEmbedding { dim, flip_sin_to_cos, downscale_freq_shift, max_period: 10_000.0 };
                let input = case.input_of("values", &[3], vec![0.0, 512.5, 999.0]);
                let row: Vec<_> = (0..16).map(|i| 977.0 - 60.0 * i as f32).collect();
                let step = case.input_of("step", &[16], row);
                let rows = timestep_embedding(&mut case.graph, Timesteps::Values(input), options).unwrap();
                let one = timestep_embedding(&mut case.graph, Timesteps::Step(step), options).unwrap();
                assert_eq!((case.graph.shape(rows), case.graph.shape(one)), (&[3, dim][..], &[1, dim][..]));
                case.agrees(1e-6);
            }
        }
    }

    #[test]
    fn elements_lie_as_in_diffusers() {
        let mut case = Case::new();
        let input = case.input_of("values", &[1], vec![2.0]);
        let options = TimestepEmbedding { dim: 5, flip_sin_to_cos: true, downscale_freq_shift: 0.0, max_period: 1e4 };
        let out = timestep_embedding(&mut case.graph, Timesteps::Values(input), options).unwrap();
        let host = reference::run(&case.graph, &case.stored).unwrap();
        let expected = [2f32.cos(), 0.02f32.cos(), 2f32.sin(), 0.02f32.sin(), 0.0];
        assert!(host.f32(out).iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-7), "{:?}", host.f32(out));
    }

    #[test]
    fn refuses_what_it_cannot_embed() {
        let mut case = Case::new();
        let (values, step) = (case.input("values", &[3]), case.input("step", &[3, 16]));
        let default = TimestepEmbedding::default();
        for (input, options, message) in [
            (Timesteps::Step(step), default, "step has shape [3, 16], expected [16]"),
            (Timesteps::Values(step), default, "step has shape [3, 16], expected 1 dimensions"),
            (Timesteps::Values(values), TimestepEmbedding { dim: 1026, ..default }, "dim is 1026, expected 2 to 1025"),
            (Timesteps::Values(values), TimestepEmbedding { dim: 1, ..default }, "dim is 1, expected 2 to 1025"),
            (
                Timesteps::Values(values),
                TimestepEmbedding { max_period: 0.5, ..default },
                "gives none that are 1 or slower",
            ),
        ] {
            let error = timestep_embedding(&mut case.graph, input, options).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
