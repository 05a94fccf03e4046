//! Activations on their own, where no matrix product is at hand to fuse them into.

use super::host::{ELEMENTS, math, vectorised};
use super::{params, shader};
use crate::Result;
use crate::graph::reference::HostValues;
use crate::graph::{Caps, Dispatch, Graph, Host, Op, Pass, Shader, ValueId};

pub(super) static SHADER: Shader = shader!("activation", "activations");

params! {
    /// Uniform of `activation.wgsl`.
    struct Params { base: u32, count: u32 }
}

/// A function of one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// x.
    #[default]
    None,
    /// x·sigmoid(x).
    Silu,
    /// GELU by its tanh approximation.
    GeluTanh,
    /// GELU proper: x·Φ(x).
    GeluErf,
    /// max(x, 0).
    Relu,
}

impl Activation {
    /// The value of the shaders' `ACTIVATION`.
    pub fn id(self) -> u32 {
        match self {
            Self::None => 0,
            Self::Silu => 1,
            Self::GeluTanh => 2,
            Self::GeluErf => 3,
            Self::Relu => 4,
        }
    }

    /// Its value at `x`.
    pub fn apply(self, x: f32) -> f32 {
        let v = f64::from(x);
        let y = match self {
            Self::None => v,
            Self::Silu => v / (1.0 + (-v).exp()),
            Self::GeluTanh => {
                0.5 * v * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (v + 0.044715 * v.powi(3))).tanh())
            }
            Self::GeluErf => 0.5 * v * (1.0 + erf(v / std::f64::consts::SQRT_2)),
            Self::Relu => v.max(0.0),
        };
        y as f32
    }
}

/// 2/√π · exp(−x²) · Σ 2ⁿ x²ⁿ⁺¹ / (2n+1)!!, whose terms all have one sign, so that nothing cancels.
fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum, mut n) = (x, x, 0.0);
    while term.abs() > sum.abs() * 1e-17 {
        n += 1.0;
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

#[derive(Debug)]
struct ActivationOp {
    x: ValueId,
    activation: Activation,
    out: ValueId,
}

/// `activation(x)`, element by element; a copy for [`Activation::None`].
pub fn activation(graph: &mut Graph, x: ValueId, activation: Activation) -> Result<ValueId> {
    let shape = graph.shape(x).to_vec();
    let out = graph.transient("activation", &shape);
    graph.push(ActivationOp { x, activation, out });
    Ok(out)
}

impl Op for ActivationOp {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        vec![Pass::new().read(self.x).write(self.out)]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let count = graph.get(self.out).len();
        let params = Params { base: 0, count: count as u32 };
        let dispatch = Dispatch::new(&SHADER, params.bytes(), caps.grid(count.div_ceil(256) as u64));
        Ok(vec![dispatch.divisible().constant("ACTIVATION", self.activation.id())])
    }

    fn compute(&self, _graph: &Graph, host: &Host<'_>) -> Result<()> {
        let x = host.numbers(self.x)?;
        host.pool().chunks(&mut host.numbers_mut(self.out)?, ELEMENTS, |chunk, out| {
            out.copy_from_slice(&x[chunk * ELEMENTS..][..out.len()]);
            vectorised(|| math::activate(self.activation, out));
        });
        Ok(())
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let out = host.f32(self.x).iter().map(|&x| self.activation.apply(x)).collect();
        host.write(graph, self.out, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::reference;
    use crate::tensor::Data;
    use crate::testing::{Case, gpu};

    const ALL: [Activation; 5] =
        [Activation::None, Activation::Silu, Activation::GeluTanh, Activation::GeluErf, Activation::Relu];

    #[test]
    fn agrees_with_the_reference() {
        for shape in [vec![1], vec![3, 85], vec![2, 3, 257]] {
            let mut case = Case::new();
            let x = case.input("x", &shape);
            for act in ALL {
                activation(&mut case.graph, x, act).unwrap();
            }
            case.agrees(3e-6); // WGSL's exp may be off by a few units in the last place
        }
    }

    #[test]
    fn every_value_is_close_even_far_out() {
        let mut case = Case::new();
        let mut values: Vec<f32> = (-4000..=4000).map(|i| i as f32 / 400.0).collect();
        values.extend([-1e4, -1e3, -89.0, 89.0, 1e3, 1e4]);
        let x = case.input_of("x", &[values.len()], values.clone());
        let outs = ALL.map(|act| activation(&mut case.graph, x, act).unwrap());
        let (found, expected) = (case.run(gpu()), reference::run(&case.graph, &case.stored).unwrap());
        for (out, act) in outs.into_iter().zip(ALL) {
            let Data::F32(found) = &found[&out] else { panic!("numbers expected") };
            for ((&y, &right), &x) in found.iter().zip(expected.f32(out)).zip(&values) {
                assert!((y - right).abs() <= 1e-6 * x.abs().max(1.0), "{act:?}({x}) = {y}, not {right}");
            }
        }
    }

    #[test]
    fn the_reference_is_what_tables_say() {
        for (x, y) in [(0.5, 0.5204998778), (1.0, 0.8427007929), (-2.0, -0.9953222650), (7.0, 1.0), (0.0, 0.0)] {
            assert!((erf(x) - y).abs() < 1e-10, "erf({x})");
        }
        let at_one = ALL.map(|act| act.apply(1.0));
        for (y, right) in at_one.into_iter().zip([1.0f32, 0.731_058_6, 0.841_192, 0.841_344_7, 1.0]) {
            assert!((y - right).abs() < 1e-6, "{y}, not {right}");
        }
    }
}
