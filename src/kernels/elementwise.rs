//! Sums and products of two tensors, the second repeating: position embeddings, T5's gated feed-forward.

use super::host::{ELEMENTS, vectorised};
use super::{params, shader};
use crate::graph::reference::HostValues;
use crate::graph::{Caps, Dispatch, Graph, Host, Op, Pass, Shader, ValueId};
use crate::{Error, Result};

pub(super) static SHADER: Shader = shader!("elementwise");

params! {
    /// Uniform of `elementwise.wgsl`.
    struct Params { base: u32, count: u32, period: u32 }
}

#[derive(Debug)]
struct Elementwise {
    a: ValueId,
    b: ValueId,
    out: ValueId,
    multiply: bool,
}

/// `a + b`, where `b` repeats over `a`'s leading dimensions.
pub fn add(graph: &mut Graph, a: ValueId, b: ValueId) -> Result<ValueId> {
    elementwise(graph, a, b, false)
}

/// `a × b`, where `b` repeats over `a`'s leading dimensions.
pub fn multiply(graph: &mut Graph, a: ValueId, b: ValueId) -> Result<ValueId> {
    elementwise(graph, a, b, true)
}

fn elementwise(graph: &mut Graph, a: ValueId, b: ValueId, multiply: bool) -> Result<ValueId> {
    let (whole, part) = (graph.shape(a), graph.shape(b));
    let leading = part.iter().take_while(|&&d| d == 1).count().min(part.len().saturating_sub(1));
    let part = &part[leading..]; // [1, C] repeats as [C] does
    if !whole.ends_with(part) {
        return Err(Error::shape("elementwise", format!("{part:?} does not repeat over {whole:?}")));
    }
    let shape = whole.to_vec();
    let out = graph.transient(if multiply { "product" } else { "sum" }, &shape);
    graph.push(Elementwise { a, b, out, multiply });
    Ok(out)
}

impl Op for Elementwise {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        vec![Pass::new().read(self.a).read(self.b).write(self.out)]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let count = graph.get(self.out).len();
        let params = Params { base: 0, count: count as u32, period: graph.get(self.b).len() as u32 };
        let dispatch = Dispatch::new(&SHADER, params.bytes(), caps.grid(count.div_ceil(256) as u64));
        Ok(vec![dispatch.divisible().constant("MULTIPLY", self.multiply)])
    }

    fn compute(&self, graph: &Graph, host: &Host<'_>) -> Result<()> {
        let (a, b) = (host.numbers(self.a)?, host.numbers(self.b)?);
        let period = graph.get(self.b).len();
        // A thread takes whole repetitions of b, or some of it.
        host.pool().chunks(&mut host.numbers_mut(self.out)?, ELEMENTS, |chunk, mut out| {
            let mut at = chunk * ELEMENTS;
            while !out.is_empty() {
                let b = &b[at % period..];
                let count = b.len().min(out.len());
                let (now, later) = std::mem::take(&mut out).split_at_mut(count);
                let triples = now.iter_mut().zip(&a[at..]).zip(b);
                vectorised(|| match self.multiply {
                    true => triples.for_each(|((to, a), b)| *to = a * b),
                    false => triples.for_each(|((to, a), b)| *to = a + b),
                });
                (at, out) = (at + now.len(), later);
            }
        });
        Ok(())
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let pairs = host.f32(self.a).iter().zip(host.f32(self.b).iter().cycle());
        let out = pairs.map(|(x, y)| if self.multiply { x * y } else { x + y }).collect();
        host.write(graph, self.out, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Case;

    #[test]
    fn agrees_with_the_reference() {
        for (whole, part) in [(vec![1], vec![1]), (vec![3, 7], vec![7]), (vec![2, 5, 129], vec![5, 129])] {
            let mut case = Case::new();
            let (a, b) = (case.input("a", &whole), case.input("b", &part));
            add(&mut case.graph, a, b).unwrap();
            multiply(&mut case.graph, a, b).unwrap();
            case.agrees(1e-7);
        }
    }

    #[test]
    fn refuses_shapes_that_do_not_repeat() {
        let mut case = Case::new();
        let (a, b) = (case.input("a", &[4, 6]), case.input("b", &[4]));
        let error = add(&mut case.graph, a, b).unwrap_err().to_string();
        assert!(error.contains("[4] does not repeat over [4, 6]"), "{error}");
    }
}
