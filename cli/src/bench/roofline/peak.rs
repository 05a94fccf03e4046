//! What an adapter does at most: kernels that do nothing but multiply and add, or nothing but copy.

use foveate::low_level::graph::reference::HostValues;
use foveate::low_level::graph::{Caps, Dispatch, Element, Graph, Op, Pass, Shader, ValueId};
use foveate::params;

static FMA: Shader = Shader::new("peak_fma", include_str!("fma.wgsl"));
static FMA_F16: Shader = Shader::new("peak_fma_f16", include_str!("fma_f16.wgsl"));
static COPY: Shader = Shader::new("peak_copy", include_str!("copy.wgsl"));

params! {
    /// Uniform of `fma.wgsl` and `fma_f16.wgsl`.
    struct FmaParams { rounds: u32, threads: u32, by: f32, plus: f32 }
}

params! {
    /// Uniform of `copy.wgsl`.
    struct CopyParams { count: u32 }
}

/// In a workgroup of any of them.
const THREADS: usize = 64;
/// Multiply-adds of a thread in a round: eight vec4 in single precision, eight vec4 of halves.
const A_ROUND: usize = 32;
/// Numbers that the next step multiplies with, and adds: sums stay finite however often.
const BY: f32 = 0.5;
const PLUS: f32 = 1.0;

/// How a kernel of multiply-adds counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    F32,
    F16,
}

/// `threads` threads that take `rounds` rounds of [`A_ROUND`] multiply-adds each, and write a sum.
#[derive(Debug)]
struct Fma {
    precision: Precision,
    rounds: usize,
    out: ValueId,
}

/// A graph of that one op.
pub fn fma(precision: Precision, threads: usize, rounds: usize) -> Graph {
    let mut graph = Graph::new();
    let out = graph.stored("sums", &[threads.next_multiple_of(THREADS)], Element::F32);
    graph.push(Fma { precision, rounds, out });
    graph
}

impl Op for Fma {
    fn name(&self) -> &'static str {
        self.shader().name
    }

    fn passes(&self) -> Vec<Pass> {
        vec![Pass::new().write(self.out)]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> foveate::Result<Vec<Dispatch>> {
        let threads = graph.get(self.out).len();
        let params = FmaParams { rounds: self.rounds as u32, threads: threads as u32, by: BY, plus: PLUS };
        Ok(vec![Dispatch::new(self.shader(), params.bytes(), caps.grid((threads / THREADS) as u64))])
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let threads = graph.get(self.out).len();
        // The accumulators of a thread start at 0, 1, … 7 in each of four lanes, and are added up.
        let sum: f32 = (0..8)
            .map(|start| (0..self.rounds).fold(start as f32, |sum, _| sum.mul_add(BY, PLUS)))
            .map(|sum| 4.0 * sum)
            .sum();
        host.write(graph, self.out, vec![sum; threads]);
    }

    fn flops(&self, graph: &Graph) -> u64 {
        2 * (graph.get(self.out).len() * self.rounds * A_ROUND) as u64
    }
}

impl Fma {
    fn shader(&self) -> &'static Shader {
        match self.precision {
            Precision::F32 => &FMA,
            Precision::F16 => &FMA_F16,
        }
    }
}

/// Copies a value to another one.
#[derive(Debug)]
struct Copy {
    from: ValueId,
    to: ValueId,
}

/// A graph that copies so many numbers, a multiple of four.
pub fn copy(count: usize) -> Graph {
    let mut graph = Graph::new();
    let [from, to] = ["from", "to"].map(|name| graph.stored(name, &[count.next_multiple_of(4)], Element::F32));
    graph.push(Copy { from, to });
    graph
}

impl Op for Copy {
    fn name(&self) -> &'static str {
        COPY.name
    }

    fn passes(&self) -> Vec<Pass> {
        vec![Pass::new().read(self.from).write(self.to)]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> foveate::Result<Vec<Dispatch>> {
        let count = graph.get(self.from).len() / 4;
        let params = CopyParams { count: count as u32 };
        Ok(vec![Dispatch::new(&COPY, params.bytes(), caps.grid(count.div_ceil(THREADS) as u64))])
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let numbers = host.f32(self.from).to_vec();
        host.write(graph, self.to, numbers);
    }
}

#[cfg(test)]
mod tests {
    use foveate::low_level::device::{Device, Memory, Plan, Store};
    use foveate::low_level::graph::{Home, reference};
    use foveate::{Gpu, GpuOptions, Tensor};

    use super::*;

    /// The result on the fastest adapter, and by the reference.
    fn both(graph: &Graph, given: &[(&str, Vec<f32>)]) -> [Vec<f32>; 2] {
        pollster::block_on(async {
            let device: Device = Gpu::request(GpuOptions::default()).await.unwrap().into();
            let mut store = Store::new();
            let mut stored = std::collections::HashMap::new();
            for value in graph.values().iter().filter(|value| value.home == Home::Stored) {
                store.allocate(&device, &value.name, &value.shape, value.element).await.unwrap();
            }
            for (name, numbers) in given {
                store.write(&device, name, bytemuck::cast_slice(numbers)).unwrap();
                stored.insert((*name).to_owned(), Tensor::new(&[numbers.len()], numbers.clone()).unwrap());
            }
            let plan = Plan::compile(&device, graph, &store, Memory::Separate).await.unwrap();
            plan.run(&device).unwrap();
            let last = graph.values().len() - 1;
            let found = store.read(&device, &graph.values()[last].name).await.unwrap().f32().to_vec();
            let id = graph.nodes()[0].op.access().last().unwrap().0;
            let expected = reference::run(graph, &stored).unwrap().f32(id).to_vec();
            [found, expected]
        })
    }

    /// No compiler has left the work out.
    #[test]
    fn what_is_timed_is_computed() {
        let [found, expected] = both(&fma(Precision::F32, 200, 3), &[]);
        assert_eq!((found.len(), &found), (256, &expected));
        assert_eq!(fma(Precision::F32, 200, 3).flops(), 2 * 256 * 3 * 32);
        let halves = pollster::block_on(Gpu::request(GpuOptions::default())).unwrap().caps().f16;
        if halves {
            let [found, expected] = both(&fma(Precision::F16, 64, 3), &[]);
            assert_eq!(found, expected);
        }
        let numbers: Vec<f32> = (0..1000).map(|i| i as f32).collect();
        let [found, expected] = both(&copy(1000), &[("from", numbers.clone())]);
        assert_eq!((&found, &expected), (&numbers, &numbers));
    }
}
