//! The harness every kernel is held to its reference with.

use std::collections::HashMap;
use std::sync::OnceLock;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::gpu::{AdapterClass, Gpu, GpuOptions, Shader};
use crate::graph::{Access, Element, Graph, Home, Memory, Plan, Store, ValueId, reference};
use crate::tensor::{Data, Tensor, relative_l2};
use crate::weights::Format;

/// The adapter under test. A missing one fails every kernel test: it never skips.
pub(crate) fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| pollster::block_on(Gpu::request(GpuOptions::default())).unwrap())
}

/// A graph under construction with random contents for its inputs.
pub(crate) struct Case {
    pub graph: Graph,
    pub stored: HashMap<String, Tensor>,
    pub rng: StdRng,
}

impl Case {
    pub fn new() -> Self {
        Self { graph: Graph::new(), stored: HashMap::new(), rng: StdRng::seed_from_u64(7) }
    }

    /// Numbers roughly normal: the sum of three uniform ones in −1…1.
    pub fn random(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| (0..3).map(|_| self.rng.random_range(-1.0f32..1.0)).sum()).collect()
    }

    /// A stored input of random numbers.
    pub fn input(&mut self, name: &str, shape: &[usize]) -> ValueId {
        let values = self.random(shape.iter().product());
        self.input_of(name, shape, values)
    }

    /// A stored input with these numbers.
    pub fn input_of(&mut self, name: &str, shape: &[usize], values: Vec<f32>) -> ValueId {
        self.stored.insert(name.into(), Tensor::new(shape, values).unwrap());
        self.graph.stored(name, shape, Element::F32)
    }

    /// A stored input with these indices.
    pub fn indices(&mut self, name: &str, shape: &[usize], values: Vec<u32>) -> ValueId {
        self.stored.insert(name.into(), Tensor::indices(shape, values).unwrap());
        self.graph.stored(name, shape, Element::U32)
    }

    /// A packed weight of random numbers.
    pub fn weight(&mut self, name: &str, shape: &[usize], format: Format) -> ValueId {
        let values = self.random(shape.iter().product());
        self.stored.insert(name.into(), Tensor::new(shape, values).unwrap());
        self.graph.stored(name, shape, Element::Packed(format))
    }

    /// Runs the graph on the GPU and by its references; every value that an op writes must agree to `tolerance`
    /// (relative L2). The same comparison must then fail against a reference with one element moved: a harness that
    /// cannot fail proves nothing.
    pub fn agrees(&self, tolerance: f64) {
        self.agrees_on(gpu(), tolerance);
    }

    /// [`Case::agrees`] for kernels whose variant depends on the adapter's class: with each of them.
    pub fn agrees_on_every_class(&self, tolerance: f64) {
        static CLASSES: OnceLock<[Gpu; 2]> = OnceLock::new();
        let classes = [AdapterClass::Software, AdapterClass::Hardware];
        for gpu in CLASSES.get_or_init(|| classes.map(|class| gpu().posing_as(class))) {
            self.agrees_on(gpu, tolerance);
        }
    }

    pub fn agrees_on(&self, gpu: &Gpu, tolerance: f64) {
        let found = self.run(gpu);
        let expected = reference::run(&self.graph, &self.stored).unwrap();
        assert!(!found.is_empty(), "no op wrote anything");
        for (id, data) in found {
            let name = &self.graph.get(id).name;
            match data {
                Data::F32(values) => {
                    let reference = expected.f32(id);
                    let deviation = relative_l2(&values, reference);
                    assert!(deviation <= tolerance, "{name}: relative L2 {deviation:.2e} > {tolerance:.0e}");
                    let mut moved = reference.to_vec();
                    let norm = moved.iter().map(|v| v * v).sum::<f32>().sqrt();
                    let middle = moved.len() / 2;
                    moved[middle] += 3.0 * tolerance as f32 * norm.max(1e-3);
                    assert!(relative_l2(&values, &moved) > tolerance, "{name}: the comparison cannot fail");
                }
                Data::U32(values) => assert_eq!(values, expected.u32(id), "{name}"),
            }
        }
    }

    /// What the GPU computes for every value that an op writes.
    pub fn run(&self, gpu: &Gpu) -> HashMap<ValueId, Data> {
        pollster::block_on(async {
            let mut store = Store::new();
            for value in self.graph.values().iter().filter(|v| v.home == Home::Stored) {
                store.allocate(gpu, &value.name, &value.shape, value.element).await.unwrap();
                match (self.stored.get(&value.name), value.element) {
                    (None, _) => {}
                    (Some(tensor), Element::Packed(format)) => {
                        let mut words = Vec::new();
                        format.encode_rows(tensor.f32(), value.matrix().1, &mut words).unwrap();
                        store.write_rows(gpu, &value.name, 0, &words).unwrap();
                    }
                    (Some(tensor), _) => store.write(gpu, &value.name, tensor.bytes()).unwrap(),
                }
            }
            let plan = Plan::compile(gpu, &self.graph, &store, Memory::Separate).await.unwrap();
            let mut encoder = gpu.encoder();
            plan.recording.encode(&mut encoder);
            gpu.submit(encoder);

            let mut found = HashMap::new();
            for (id, access) in self.graph.nodes().iter().flat_map(|n| n.op.access()) {
                if access == Access::Read || found.contains_key(&id) {
                    continue;
                }
                let value = self.graph.get(id);
                let buffer = plan.transient(id).unwrap_or_else(|| store.buffer(&value.name).unwrap());
                let bytes = gpu.read(buffer, 4 * value.len() as u64).await.unwrap();
                found.insert(
                    id,
                    match value.element {
                        Element::U32 => Data::U32(bytemuck::pod_collect_to_vec(&bytes)),
                        _ => Data::F32(bytemuck::pod_collect_to_vec(&bytes)),
                    },
                );
            }
            found
        })
    }
}

/// Asserts that `fields` (name, Rust type) are the members of the shader's `Params`, in order, by naga's reflection.
pub(crate) fn params_match(shader: &Shader, fields: &[(&str, &str)]) {
    let module = naga::front::wgsl::parse_str(shader.source).unwrap();
    let params = module.types.iter().find(|(_, t)| t.name.as_deref() == Some("Params")).unwrap().1;
    let naga::TypeInner::Struct { members, .. } = &params.inner else { panic!("Params is no struct") };
    let found: Vec<_> = members
        .iter()
        .map(|m| {
            let kind = match module.types[m.ty].inner {
                naga::TypeInner::Scalar(naga::Scalar { kind: naga::ScalarKind::Uint, .. }) => "u32",
                naga::TypeInner::Scalar(naga::Scalar { kind: naga::ScalarKind::Sint, .. }) => "i32",
                naga::TypeInner::Scalar(naga::Scalar { kind: naga::ScalarKind::Float, .. }) => "f32",
                _ => "not a scalar",
            };
            (m.name.clone().unwrap(), kind)
        })
        .collect();
    let expected: Vec<_> = fields.iter().map(|&(n, k)| (n.to_owned(), k)).collect();
    assert_eq!(found, expected, "{}.wgsl and its Params differ", shader.stem);
}

#[test]
fn every_shader_is_valid_and_keeps_to_the_conventions() {
    for shader in super::SHADERS {
        let module = naga::front::wgsl::parse_str(shader.source)
            .unwrap_or_else(|e| panic!("{}", e.emit_to_string_with_path(shader.source, shader.stem)));
        // Core WebGPU and no more; naga counts unpack2x16float as a capability, for old OpenGL's sake.
        let core = naga::valid::Capabilities::SHADER_FLOAT16_IN_FLOAT32;
        let info = naga::valid::Validator::new(naga::valid::ValidationFlags::all(), core)
            .validate(&module)
            .unwrap_or_else(|e| panic!("{}.wgsl: {e:?}", shader.stem));
        let storage = |v: &&naga::GlobalVariable| matches!(v.space, naga::AddressSpace::Storage { .. });
        for (index, _) in module.entry_points.iter().enumerate() {
            let used = module.global_variables.iter().filter(|(h, _)| !info.get_entry_point(index)[*h].is_empty());
            assert!(used.map(|(_, v)| v).filter(storage).count() <= 8, "{}: over 8 storage buffers", shader.stem);
        }
    }
}

#[test]
fn every_shader_file_has_its_rust_twin_and_its_place_in_the_table() {
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders")).unwrap();
    let mut stems: Vec<_> =
        files.map(|f| f.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let mut listed: Vec<_> = super::SHADERS.iter().map(|s| s.stem.to_owned()).collect();
    stems.sort();
    listed.sort();
    assert_eq!(stems, listed);
    for stem in stems {
        let twin = format!("{}/src/kernels/{stem}.rs", env!("CARGO_MANIFEST_DIR"));
        assert!(std::path::Path::new(&twin).exists(), "{stem}.wgsl has no {twin}");
    }
}
