//! Compiled pipelines, each kept under all that it was compiled from; those that are missing are compiled side by side.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock};

use super::Gpu;
use super::unchecked;
#[cfg(any(test, feature = "testing"))]
use super::watch::Watch;
use crate::graph::{Access, Bind, Dispatch, Shader};
use crate::shared::lock;
use crate::{Error, Result};

/// A compute pipeline with the layout its shader implies.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub raw: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

/// A dispatch for which there shall be a pipeline.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub dispatch: &'a Dispatch,
    pub binds: &'a [Bind],
    /// Whether its kernel runs without checks.
    pub unchecked: bool,
}

impl Wanted<'_> {
    fn module(&self) -> ModuleKey {
        ModuleKey { source: self.dispatch.shader.source, unchecked: self.unchecked }
    }
}

/// What a module is made of. The text and not the name, so that shaders of the same name never meet. One with checks and
/// one without are two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct ModuleKey {
    source: &'static str,
    unchecked: bool,
}

/// What a pipeline is compiled from: a module, its entry point and the values of its `override` constants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct PipelineKey {
    module: ModuleKey,
    entry: &'static str,
    /// Bits of the f64 values, which makes the key hashable.
    constants: Vec<(&'static str, u64)>,
}

impl From<&Wanted<'_>> for PipelineKey {
    fn from(wanted: &Wanted<'_>) -> Self {
        let Dispatch { entry, constants, .. } = wanted.dispatch;
        let constants = constants.iter().map(|&(name, value)| (name, value.to_bits())).collect();
        Self { module: wanted.module(), entry, constants }
    }
}

/// The pipelines of a device, and the modules that they are made of: a text is parsed once.
#[derive(Debug, Default)]
pub(super) struct Pipelines {
    kept: Mutex<HashMap<PipelineKey, Arc<Pipeline>>>,
    modules: Mutex<HashMap<ModuleKey, Arc<OnceLock<wgpu::ShaderModule>>>>,
    /// What kernels report that are watched by a test.
    #[cfg(any(test, feature = "testing"))]
    pub watch: Option<Watch>,
    /// The same pipelines, watched.
    #[cfg(any(test, feature = "testing"))]
    watched: OnceLock<Arc<Self>>,
}

impl Pipelines {
    fn get(&self, key: &PipelineKey) -> Option<Arc<Pipeline>> {
        lock(&self.kept).get(key).cloned()
    }

    /// The place of a text's module, where who comes second waits for the first.
    fn module(&self, key: ModuleKey) -> Arc<OnceLock<wgpu::ShaderModule>> {
        lock(&self.modules).entry(key).or_default().clone()
    }

    /// The pipelines of the same device that report to a watch.
    #[cfg(any(test, feature = "testing"))]
    pub(super) fn watched(&self, watch: impl FnOnce() -> Watch) -> Arc<Self> {
        self.watched.get_or_init(|| Arc::new(Self { watch: Some(watch()), ..Self::default() })).clone()
    }

    /// Forgets the module of a text that may not be valid.
    fn forget(&self, key: ModuleKey) {
        lock(&self.modules).remove(&key);
    }
}

impl Gpu {
    /// The pipelines of dispatches, in their order. What is missing is compiled, each once.
    pub(super) async fn pipelines_of(&self, wanted: &[Wanted<'_>]) -> Result<Vec<Arc<Pipeline>>> {
        let keys: Vec<PipelineKey> = wanted.iter().map(PipelineKey::from).collect();
        let known: Vec<_> = keys.iter().map(|key| self.pipelines().get(key)).collect();
        let mut asked = HashSet::new();
        let missing: Vec<usize> =
            (0..keys.len()).filter(|&index| known[index].is_none() && asked.insert(&keys[index])).collect();
        let compiled = self
            .side_by_side(
                missing.len(),
                |number| self.compile_pipeline(&wanted[missing[number]]),
                |number| {
                    let wanted = &wanted[missing[number]];
                    let Dispatch { shader, entry, .. } = wanted.dispatch;
                    // Its error is in its text, or in how a pipeline was to be made of it: both are found anew.
                    self.pipelines().forget(wanted.module());
                    format!("compiling {}.wgsl ({entry})", shader.name)
                },
            )
            .await?;
        if !missing.is_empty() {
            log::debug!("{} pipelines compiled, {} shaders parsed so far", missing.len(), self.modules());
        }
        let new: HashMap<&PipelineKey, Arc<Pipeline>> =
            missing.iter().map(|&index| &keys[index]).zip(compiled.into_iter().map(Arc::new)).collect();
        lock(&self.pipelines().kept).extend(new.iter().map(|(&key, pipeline)| (key.clone(), pipeline.clone())));
        let all = known.into_iter().zip(&keys).map(|(known, key)| known.or_else(|| new.get(key).cloned()));
        // None is left out: what comes behind it would run another's.
        all.collect::<Option<_>>().ok_or_else(|| Error::Gpu("a pipeline was not compiled".into()))
    }

    /// How many shaders were parsed.
    fn modules(&self) -> usize {
        lock(&self.pipelines().modules).len()
    }

    fn compile_pipeline(&self, wanted: &Wanted<'_>) -> Pipeline {
        let Dispatch { shader, entry, constants, .. } = wanted.dispatch;
        let module = self.pipelines().module(wanted.module());
        let module = module.get_or_init(|| self.parse(shader, wanted.unchecked));
        let entries = self.layout_entries(wanted.binds);
        let layout = self
            .device()
            .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(shader.name), entries: &entries });
        let layouts = self.device().create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(shader.name),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let raw = self.device().create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(shader.name),
            layout: Some(&layouts),
            module,
            entry_point: Some(entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants,
                // Every kernel writes its workgroup memory before reading it, as `Shader` demands.
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        Pipeline { raw, layout }
    }

    fn parse(&self, shader: &Shader, unchecked: bool) -> wgpu::ShaderModule {
        #[cfg(any(test, feature = "testing"))]
        if let Some(watch) = &self.pipelines().watch {
            return watch.parse(self.device(), shader);
        }
        let descriptor = wgpu::ShaderModuleDescriptor {
            label: Some(shader.name),
            source: wgpu::ShaderSource::Wgsl(shader.source.into()),
        };
        match unchecked {
            true => unchecked::module(self.device(), descriptor),
            false => self.device().create_shader_module(descriptor),
        }
    }

    /// The uniform, whose place is chosen when it is encoded, and the storage buffers as they are declared.
    fn layout_entries(&self, binds: &[Bind]) -> Vec<wgpu::BindGroupLayoutEntry> {
        let entry = |(binding, ty, has_dynamic_offset)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset, min_binding_size: None },
            count: None,
        };
        let uniform = (0, wgpu::BufferBindingType::Uniform, true);
        let storage = |read_only| wgpu::BufferBindingType::Storage { read_only };
        let values = (1..).zip(binds).map(|(binding, bind)| (binding, storage(bind.access == Access::Read), false));
        let entries = [uniform].into_iter().chain(values);
        #[cfg(any(test, feature = "testing"))]
        let entries = entries.chain(self.pipelines().watch.as_ref().map(|_| (Watch::BINDING, storage(false), false)));
        entries.map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use pollster::block_on;

    use super::*;
    use crate::device::Places;
    use crate::graph::reference::HostValues;
    use crate::graph::{Caps, Element, Graph, Node, Op, Pass, ValueId};
    use crate::kernels::{Activation, Norm, activation, norm};
    use crate::testing::{Case, gpu};

    static DOUBLE: Shader = Shader::new(
        "double",
        "@group(0) @binding(0) var<uniform> params: vec4u;
         @group(0) @binding(1) var<storage, read_write> x: array<f32>;
         override FACTOR: f32 = 2.0;
         @compute @workgroup_size(1) fn main() { x[params.x] *= FACTOR; }
         @compute @workgroup_size(1) fn again() { x[params.x] += FACTOR; }",
    );
    static NO_WGSL: Shader = Shader::new("no_wgsl", "fn main( {");

    fn dispatches() -> Vec<Dispatch> {
        let of =
            |entry, factor: f32| Dispatch::new(&DOUBLE, vec![0; 16], [1, 1, 1]).entry(entry).constant("FACTOR", factor);
        vec![of("main", 2.0), of("again", 2.0), of("main", 2.0), of("main", 3.0), of("again", 2.0)]
    }

    /// A device that has compiled nothing yet.
    fn fresh() -> Gpu {
        gpu().with_caps(Caps { ..gpu().caps().clone() })
    }

    fn checked<'a>(dispatches: &'a [Dispatch], pass: &'a Pass) -> Vec<Wanted<'a>> {
        let wanted = |dispatch| Wanted { dispatch, binds: pass.binds(), unchecked: false };
        dispatches.iter().map(wanted).collect()
    }

    #[test]
    fn a_text_is_parsed_once_and_a_pipeline_compiled_once() {
        let gpu = fresh();
        let (dispatches, pass) = (dispatches(), Pass::new().update(ValueId(0)));
        let wanted = checked(&dispatches, &pass);
        let pipelines = block_on(gpu.pipelines_of(&wanted)).unwrap();
        assert_eq!((gpu.modules(), lock(&gpu.pipelines().kept).len()), (1, 3));
        let same = |one: usize, two: usize| Arc::ptr_eq(&pipelines[one], &pipelines[two]);
        assert!(same(0, 2) && same(1, 4) && !same(0, 1) && !same(0, 3));
        let again = block_on(gpu.pipelines_of(&wanted)).unwrap();
        assert!(pipelines.iter().zip(&again).all(|(one, two)| Arc::ptr_eq(one, two)));
    }

    #[test]
    fn one_text_with_checks_and_without_makes_two_modules() {
        let gpu = fresh();
        let (dispatches, pass) = (dispatches(), Pass::new().update(ValueId(0)));
        let mut wanted = checked(&dispatches[..2], &pass);
        wanted[1] = Wanted { unchecked: true, ..wanted[0] };
        let pipelines = block_on(gpu.pipelines_of(&wanted)).unwrap();
        assert_eq!((gpu.modules(), lock(&gpu.pipelines().kept).len()), (2, 2));
        assert!(!Arc::ptr_eq(&pipelines[0], &pipelines[1]));
    }

    /// With how many modules without checks a fresh device runs a graph.
    fn modules_without_checks(gpu: &Gpu, case: &Case) -> usize {
        case.run(gpu);
        lock(&gpu.pipelines().modules).keys().filter(|key| key.unchecked).count()
    }

    #[test]
    fn audited_ops_alone_leave_out_checks_and_only_where_nobody_asks_for_them() {
        let mut case = Case::new();
        let x = case.input("x", &[3, 8]);
        let y = norm(&mut case.graph, x, Norm::default()).unwrap();
        activation(&mut case.graph, y, Activation::Silu).unwrap();
        let asked = std::env::var_os("FOVEATE_CHECKED").is_some_and(|value| value == "1");
        assert_eq!(modules_without_checks(&fresh(), &case), usize::from(!asked));
        let gpu = fresh();
        gpu.set_checked(true);
        assert_eq!(modules_without_checks(&gpu, &case), 0);

        // Another crate's op records the same kernel, and stays checked.
        #[derive(Debug)]
        struct Borrowing(Node);
        impl Op for Borrowing {
            fn name(&self) -> &'static str {
                "borrowing"
            }
            fn passes(&self) -> Vec<Pass> {
                self.0.op.passes()
            }
            fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
                self.0.op.record(graph, caps)
            }
            fn reference(&self, _: &Graph, _: &mut HostValues) {}
        }
        let node = case.graph.nodes()[0].clone();
        let mut other = Case::new();
        for value in case.graph.values() {
            other.input(&value.name, &value.shape);
        }
        other.graph.push(Borrowing(node));
        assert_eq!(modules_without_checks(&fresh(), &other), 0);
    }

    #[test]
    fn a_buffer_that_is_too_small_is_refused() {
        let gpu = fresh();
        let mut graph = Graph::new();
        let x = graph.stored("x", &[3, 8], Element::F32);
        norm(&mut graph, x, Norm::default()).unwrap();
        let refused = |bytes: [u64; 2]| {
            let parts = bytes.map(|bytes| vec![block_on(gpu.allocate(bytes, "part")).unwrap()]);
            block_on(gpu.record(&graph, &Places::new(parts.into()))).err().map(|error| error.to_string())
        };
        assert_eq!(refused([96, 96]), None);
        assert_eq!(refused([80, 96]).unwrap(), "tensor x: has 96 bytes, its buffer 80");
        assert_eq!(refused([96, 64]).unwrap(), "tensor norm: has 96 bytes, its buffer 64");
    }

    #[test]
    fn the_one_that_does_not_compile_is_named() {
        let gpu = fresh();
        let pass = Pass::new().update(ValueId(0));
        for (bad, reason) in [
            (Dispatch::new(&NO_WGSL, vec![0; 16], [1, 1, 1]), "compiling no_wgsl.wgsl (main): "),
            (dispatches().remove(0).entry("absent"), "compiling double.wgsl (absent): "),
        ] {
            let mut dispatches = dispatches();
            dispatches.insert(2, bad);
            let wanted = checked(&dispatches, &pass);
            for _ in 0..2 {
                let error = block_on(gpu.pipelines_of(&wanted)).unwrap_err().to_string();
                assert!(error.contains(reason), "{error}");
            }
        }
        let good = dispatches();
        let wanted = checked(&good, &pass);
        assert_eq!(block_on(gpu.pipelines_of(&wanted)).unwrap().len(), 5);
    }
}
