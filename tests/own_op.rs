//! An op of another crate, through the library's public face alone: its own shader, checked by the library's harness.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use foveate::low_level::graph::reference::HostValues;
use foveate::low_level::graph::{Caps, Dispatch, Graph, Op, Pass, Shader, ValueId};
use foveate::low_level::kernels::{Activation, Linear, ReadRows, linear};
use foveate::low_level::weights::Format;
use foveate::testing::{Case, params_match};
use foveate::{Result, params};

/// Of the same name as a shader of the library's, and with an entry point of the same name: a device must not take one
/// for the other.
static SHADER: Shader = Shader::new(
    "linear",
    "
    struct Params { count: u32, factor: f32 }
    @group(0) @binding(0) var<uniform> params: Params;
    @group(0) @binding(1) var<storage, read> x: array<f32>;
    @group(0) @binding(2) var<storage, read_write> out: array<f32>;
    override OFFSET: f32 = 0.0;
    @compute @workgroup_size(64)
    fn few(@builtin(global_invocation_id) id: vec3u) {
        if id.x < params.count {
            out[id.x] = params.factor * x[id.x] + OFFSET;
        }
    }
    ",
);

params! {
    /// Uniform of the shader.
    struct Params { count: u32, factor: f32 }
}

#[derive(Debug)]
struct Scale {
    x: ValueId,
    out: ValueId,
    factor: f32,
}

fn scale(graph: &mut Graph, x: ValueId, factor: f32) -> ValueId {
    let shape = graph.shape(x).to_vec();
    let out = graph.transient("scaled", &shape);
    graph.push(Scale { x, out, factor });
    out
}

impl Op for Scale {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        vec![Pass::new().read(self.x).write(self.out)]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let count = graph.get(self.out).len();
        let params = Params { count: count as u32, factor: self.factor };
        let workgroups = caps.grid(count.div_ceil(64) as u64);
        Ok(vec![Dispatch::new(&SHADER, params.bytes(), workgroups).entry("few").constant("OFFSET", 2.5)])
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let out = host.f32(self.x).iter().map(|x| self.factor * x + 2.5).collect();
        host.write(graph, self.out, out);
    }
}

#[test]
fn params_are_those_of_the_shader() {
    params_match(&SHADER, Params::FIELDS);
}

#[test]
fn agrees_with_its_reference() {
    for shape in [vec![1], vec![3, 7], vec![2, 5, 129]] {
        let mut case = Case::new();
        let x = case.input("x", &shape);
        scale(&mut case.graph, x, 0.5);
        case.agrees(1e-6);
    }
}

#[test]
fn runs_beside_the_librarys_op_of_the_same_name() {
    for first in [true, false] {
        let mut case = Case::new();
        let x = case.input("x", &[2, 16]);
        let weight = case.weight("w", &[16, 16], Format::F32);
        let product = Linear { weight, bias: None, activation: Activation::None, rows: ReadRows::All };
        let from = if first { scale(&mut case.graph, x, 3.0) } else { x };
        let out = linear(&mut case.graph, from, product).unwrap();
        scale(&mut case.graph, out, 3.0);
        case.agrees(3e-6);
    }
}
