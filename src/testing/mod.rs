//! The harness that holds every kernel to its reference: the library's own, and those of other crates.
//!
//! A crate with an op of its own turns on the feature `testing` for its tests (`[dev-dependencies] foveate = {
//! features = ["testing"], … }`), builds a [`Case`], and asks whether GPU and reference agree:
//!
//! ```no_run
//! # use foveate::low_level::graph::{Graph, ValueId};
//! # use foveate::low_level::kernels::{Activation, activation};
//! # fn halve(graph: &mut Graph, x: ValueId) -> foveate::Result<ValueId> { activation(graph, x, Activation::Silu) }
//! use foveate::testing::Case;
//!
//! let mut case = Case::new();
//! let x = case.input("x", &[3, 7]);
//! // The crate's own constructor, which checks shapes and pushes the op.
//! halve(&mut case.graph, x).unwrap();
//! case.agrees(1e-6);
//! ```
//!
//! The same cases run on the processor by the op's CPU form, which must agree as closely.
//!
//! A case fails where GPU and reference differ, where the comparison could not fail, where an op's
//! [passes](crate::graph::Op::passes) are not what its shader declares, and where there is no adapter.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failure here is what tests are for")]

mod reflection;

use std::collections::HashMap;
use std::io::Write;
use std::sync::OnceLock;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

pub use reflection::{check_passes, params_match};

use crate::device::{Device, Memory, Plan, Processor, ProcessorOptions, Store};
use crate::gpu::{Cursor, Gpu, GpuOptions};
use crate::graph::reference::HostValues;
use crate::graph::{Access, AdapterClass, Arithmetic, Caps, Element, Graph, Home, ValueId, reference};
use crate::tensor::{Data, Tensor, relative_l2};
use crate::weights::Format;

/// The adapter under test. A missing one fails every kernel test: it never skips.
pub fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| pollster::block_on(Gpu::request(GpuOptions::default())).unwrap())
}

/// The adapter under test, as a device.
pub fn device() -> &'static Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    DEVICE.get_or_init(|| gpu().into())
}

/// The adapter under test, believed to be of another class: every variant of a kernel runs on the adapter at hand. None
/// multiplies in f16.
pub fn posing_as(class: AdapterClass) -> Gpu {
    gpu().with_caps(Caps { class, arithmetic: Arithmetic::Exact, ..gpu().caps().clone() })
}

/// The adapter under test, believed to be hardware that multiplies everything in f16, and not on matrix units. The adapter
/// must have it: Mesa's software adapter does.
pub fn posing_with_f16() -> Gpu {
    assert!(gpu().caps().f16, "{} has no f16", gpu().caps());
    posing_as_fast(Caps { matrix_units: None, ..gpu().caps().clone() })
}

/// The adapter under test, believed to be hardware that multiplies everything on its matrix units. Where it has none, a
/// line says so and which test did not run. A software adapter's are used with `FOVEATE_MATRIX_UNITS=1`.
pub fn posing_with_units() -> Option<Gpu> {
    let caps = gpu().caps();
    if caps.matrix_units.is_none() {
        let test = std::thread::current().name().unwrap_or_default().to_owned();
        let line = format!("{test} did not run: no matrix units on {caps}\n");
        // Past the harness, which keeps for itself what passing tests print.
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return None;
    }
    Some(posing_as_fast(caps.clone()))
}

fn posing_as_fast(caps: Caps) -> Gpu {
    let name = "hardware".into();
    gpu().with_caps(Caps { name, class: AdapterClass::Hardware, arithmetic: Arithmetic::Fast, ..caps })
}

/// The processor with one thread, which keeps weights packed, and with two, which decodes them each time.
pub fn processors() -> &'static [Device; 2] {
    static PROCESSORS: OnceLock<[Device; 2]> = OnceLock::new();
    PROCESSORS.get_or_init(|| {
        let with = |threads, packed| {
            Processor::new(ProcessorOptions { threads: Some(threads), packed, ..Default::default() }).unwrap().into()
        };
        [with(1, 1 << 30), with(2, 0)]
    })
}

/// The bits of each element.
fn bits(data: &Data) -> Vec<u32> {
    match data {
        Data::F32(values) => values.iter().map(|value| value.to_bits()).collect(),
        Data::U32(values) => values.clone(),
    }
}

/// A graph under construction with random contents for its inputs.
#[derive(Debug)]
pub struct Case {
    /// Ops are added to it.
    pub graph: Graph,
    /// The contents of its stored values, by name; those not given start at zero.
    pub stored: HashMap<String, Tensor>,
    /// Seeded alike for every case.
    pub rng: StdRng,
}

impl Default for Case {
    fn default() -> Self {
        Self { graph: Graph::new(), stored: HashMap::new(), rng: StdRng::seed_from_u64(7) }
    }
}

impl Case {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
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
        for gpu in CLASSES.get_or_init(|| classes.map(posing_as)) {
            self.agrees_on(gpu, tolerance);
        }
    }

    /// [`Case::agrees`] on a given device, and on the processor with one thread and with two, which must give the same
    /// bytes. A GPU must give the same once more in slices, with kernels that are checked, and whose every index is
    /// compared with the length of what it indexes.
    pub fn agrees_on(&self, device: impl Into<Device>, tolerance: f64) {
        let expected = reference::run(&self.graph, &self.stored).unwrap();
        let device = device.into();
        let found = self.run(&device);
        self.holds(&found, &expected, tolerance, &device.caps().name);
        if let Ok(gpu) = device.gpu("slices") {
            self.same(&found, &self.run_in_slices(gpu), "in slices, with checks");
        }
        let [one, two] = processors().each_ref().map(|processor| self.run(processor));
        self.holds(&one, &expected, tolerance, "processor");
        self.same(&one, &two, "with another thread");
    }

    /// By bits: a NaN differs from itself.
    fn same(&self, one: &HashMap<ValueId, Data>, two: &HashMap<ValueId, Data>, how: &str) {
        for (id, data) in one {
            assert_eq!(bits(data), bits(&two[id]), "{}: other bytes {how}", self.graph.get(*id).name);
        }
    }

    /// Every value that an op writes agrees to `tolerance`.
    fn holds(&self, found: &HashMap<ValueId, Data>, expected: &HostValues, tolerance: f64, device: &str) {
        assert!(!found.is_empty(), "no op wrote anything");
        for (&id, data) in found {
            let name = format!("{} ({device})", self.graph.get(id).name);
            match data {
                Data::F32(values) => {
                    let reference = expected.f32(id);
                    let deviation = relative_l2(values, reference);
                    assert!(deviation <= tolerance, "{name}: relative L2 {deviation:.2e} > {tolerance:.0e}");
                    let mut moved = reference.to_vec();
                    let norm = moved.iter().map(|v| v * v).sum::<f32>().sqrt();
                    let middle = moved.len() / 2;
                    moved[middle] += 3.0 * tolerance as f32 * norm.max(1e-3);
                    assert!(relative_l2(values, &moved) > tolerance, "{name}: the comparison cannot fail");
                }
                Data::U32(values) => assert_eq!(values, expected.u32(id), "{name}"),
            }
        }
    }

    /// What a device computes for every value that an op writes. What each op binds is checked against its shader.
    pub fn run(&self, device: impl Into<Device>) -> HashMap<ValueId, Data> {
        let device = device.into();
        self.run_by(&device, |plan| plan.run(&device).unwrap())
    }

    /// The same, cut into slices of any size, as finely as the kernels can be divided, with a watch on every index.
    fn run_in_slices(&self, gpu: &Gpu) -> HashMap<ValueId, Data> {
        let gpu = gpu.watched();
        let mut rng = StdRng::seed_from_u64(7);
        let found = self.run_by(&(&gpu).into(), |plan| {
            let (mut at, mut encoder) = (Cursor::default(), gpu.encoder());
            let mut budget = || Duration::from_secs_f64(10f64.powf(rng.random_range(-6.0..-2.0)));
            while !gpu.encode_slice(&[plan.program()], &mut at, budget(), &mut encoder).unwrap() {}
            gpu.submit(encoder);
        });
        let beyond = pollster::block_on(gpu.index_beyond()).unwrap();
        assert!(beyond.is_none(), "an index is beyond the end: {}", beyond.unwrap_or_default());
        found
    }

    fn run_by(&self, device: &Device, run: impl FnOnce(&Plan)) -> HashMap<ValueId, Data> {
        for node in self.graph.nodes() {
            check_passes(&self.graph, node.op.as_ref(), device.caps()).unwrap_or_else(|reason| panic!("{reason}"));
        }
        pollster::block_on(async {
            let mut store = Store::new();
            for value in self.graph.values().iter().filter(|v| v.home == Home::Stored) {
                store.allocate(device, &value.name, &value.shape, value.element).await.unwrap();
                match (self.stored.get(&value.name), value.element) {
                    (None, _) => {}
                    (Some(tensor), Element::Packed(format)) => {
                        let mut words = Vec::new();
                        format.encode_rows(tensor.f32(), value.matrix().1, &mut words).unwrap();
                        store.write_rows(device, &value.name, 0, &words).unwrap();
                    }
                    (Some(tensor), _) => store.write(device, &value.name, tensor.bytes()).unwrap(),
                }
            }
            let plan = Plan::compile(device, &self.graph, &store, Memory::Separate).await.unwrap();
            run(&plan);

            let mut found = HashMap::new();
            for (id, access) in self.graph.nodes().iter().flat_map(|n| n.op.access()) {
                if access == Access::Read || found.contains_key(&id) {
                    continue;
                }
                let value = self.graph.get(id);
                let buffer = plan.transient(id).unwrap_or_else(|| store.buffer(&value.name).unwrap());
                let bytes = device.read(buffer, 4 * value.len() as u64).await.unwrap();
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
