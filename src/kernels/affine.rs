//! Scale, shift and clamp by constants: latents to the decoder's range, the decoder's output to pixels.

use super::host::{ELEMENTS, vectorised};
use super::{params, shader};
use crate::graph::reference::HostValues;
use crate::graph::{Caps, Dispatch, Graph, Host, Op, Pass, Shader, ValueId};
use crate::{Error, Result};

pub(super) static SHADER: Shader = shader!("affine");

params! {
    /// Uniform of `affine.wgsl`.
    struct Params { count: u32, scale: f32, shift: f32, low: f32, high: f32 }
}

/// The constants of [`affine`]; by default they change nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// Multiplied first.
    pub scale: f32,
    /// Added then.
    pub shift: f32,
    /// No result is below.
    pub low: f32,
    /// No result is above.
    pub high: f32,
}

impl Default for Affine {
    fn default() -> Self {
        // Not infinities: WGSL lets a compiler assume there are none.
        Self { scale: 1.0, shift: 0.0, low: f32::MIN, high: f32::MAX }
    }
}

#[derive(Debug)]
struct AffineOp {
    x: ValueId,
    constants: Affine,
    out: ValueId,
}

/// `clamp(x·scale + shift, low, high)`, element by element.
pub fn affine(graph: &mut Graph, x: ValueId, constants: Affine) -> Result<ValueId> {
    let Affine { low, high, .. } = constants;
    if low.is_nan() || high.is_nan() || low > high {
        return Err(Error::shape(SHADER.name, format!("there is nothing between {low} and {high}")));
    }
    let shape = graph.shape(x).to_vec();
    let out = graph.transient("affine", &shape);
    graph.push(AffineOp { x, constants, out });
    Ok(out)
}

impl Op for AffineOp {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        vec![Pass::new().read(self.x).write(self.out)]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let count = graph.get(self.out).len();
        let Affine { scale, shift, low, high } = self.constants;
        let params = Params { count: count as u32, scale, shift, low, high };
        Ok(vec![Dispatch::new(&SHADER, params.bytes(), caps.grid(count.div_ceil(256) as u64))])
    }

    fn compute(&self, _graph: &Graph, host: &Host<'_>) -> Result<()> {
        let Affine { scale, shift, low, high } = self.constants;
        let x = host.numbers(self.x)?;
        host.pool().chunks(&mut host.numbers_mut(self.out)?, ELEMENTS, |chunk, out| {
            let pairs = out.iter_mut().zip(&x[chunk * ELEMENTS..]);
            vectorised(|| pairs.for_each(|(to, x)| *to = (x * scale + shift).max(low).min(high)));
        });
        Ok(())
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let Affine { scale, shift, low, high } = self.constants;
        let out = host.f32(self.x).iter().map(|x| (x * scale + shift).clamp(low, high)).collect();
        host.write(graph, self.out, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Case;

    #[test]
    fn agrees_with_the_reference() {
        for shape in [vec![1], vec![3, 85], vec![2, 3, 257]] {
            let mut case = Case::new();
            let x = case.input("x", &shape);
            affine(&mut case.graph, x, Affine::default()).unwrap();
            affine(&mut case.graph, x, Affine { scale: 1.0 / 0.18215, shift: 0.1, ..Affine::default() }).unwrap();
            affine(&mut case.graph, x, Affine { scale: 0.5, shift: 0.5, low: 0.0, high: 1.0 }).unwrap();
            case.agrees(1e-6);
        }
    }

    #[test]
    fn refuses_an_empty_range() {
        let mut case = Case::new();
        let x = case.input("x", &[3]);
        for (low, high) in [(1.0, 0.0), (f32::NAN, 1.0)] {
            let error = affine(&mut case.graph, x, Affine { low, high, ..Affine::default() }).unwrap_err();
            assert!(error.to_string().contains("there is nothing between"), "{error}");
        }
    }
}
