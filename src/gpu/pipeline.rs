//! Compiled pipelines, each kept under all that it was compiled from; those that are missing are compiled side by side.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock};

use super::Gpu;
use crate::graph::{Access, Bind, Dispatch, Shader};
use crate::shared::lock;
use crate::{Error, Result};

/// A compute pipeline with the layout its shader implies.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub raw: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

/// What a pipeline is compiled from: a shader's text, its entry point and the values of its `override` constants. The
/// text and not the name, so that shaders of the same name never meet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct PipelineKey {
    source: &'static str,
    entry: &'static str,
    /// Bits of the f64 values, which makes the key hashable.
    constants: Vec<(&'static str, u64)>,
}

impl From<&Dispatch> for PipelineKey {
    fn from(Dispatch { shader, entry, constants, .. }: &Dispatch) -> Self {
        let constants = constants.iter().map(|&(name, value)| (name, value.to_bits())).collect();
        Self { source: shader.source, entry, constants }
    }
}

/// The pipelines of a device, and the modules that they are made of: a text is parsed once.
#[derive(Debug, Default)]
pub(super) struct Pipelines {
    kept: Mutex<HashMap<PipelineKey, Arc<Pipeline>>>,
    modules: Mutex<HashMap<&'static str, Arc<OnceLock<wgpu::ShaderModule>>>>,
}

impl Pipelines {
    fn get(&self, key: &PipelineKey) -> Option<Arc<Pipeline>> {
        lock(&self.kept).get(key).cloned()
    }

    /// The place of a text's module, where who comes second waits for the first.
    fn module(&self, source: &'static str) -> Arc<OnceLock<wgpu::ShaderModule>> {
        lock(&self.modules).entry(source).or_default().clone()
    }

    /// Forgets the module of a text that may not be valid.
    fn forget(&self, source: &'static str) {
        lock(&self.modules).remove(source);
    }
}

impl Gpu {
    /// The pipelines of dispatches with such bindings, in their order. What is missing is compiled, each once.
    pub(super) async fn pipelines_of(&self, wanted: &[(&Dispatch, &[Bind])]) -> Result<Vec<Arc<Pipeline>>> {
        let keys: Vec<PipelineKey> = wanted.iter().map(|&(dispatch, _)| dispatch.into()).collect();
        let known: Vec<_> = keys.iter().map(|key| self.pipelines().get(key)).collect();
        let mut asked = HashSet::new();
        let missing: Vec<usize> =
            (0..keys.len()).filter(|&index| known[index].is_none() && asked.insert(&keys[index])).collect();
        let compiled = self
            .side_by_side(
                missing.len(),
                |number| self.compile_pipeline(wanted[missing[number]]),
                |number| {
                    let Dispatch { shader, entry, .. } = wanted[missing[number]].0;
                    // Its error is in its text, or in how a pipeline was to be made of it: both are found anew.
                    self.pipelines().forget(shader.source);
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

    fn compile_pipeline(&self, (dispatch, binds): (&Dispatch, &[Bind])) -> Pipeline {
        let Dispatch { shader, entry, constants, .. } = dispatch;
        let module = self.pipelines().module(shader.source);
        let module = module.get_or_init(|| self.parse(shader));
        let entries = layout_entries(binds);
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

    fn parse(&self, shader: &Shader) -> wgpu::ShaderModule {
        self.device().create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(shader.name),
            source: wgpu::ShaderSource::Wgsl(shader.source.into()),
        })
    }
}

/// The uniform, whose place is chosen when it is encoded, and the storage buffers as they are declared.
fn layout_entries(binds: &[Bind]) -> Vec<wgpu::BindGroupLayoutEntry> {
    let entry = |(binding, ty, has_dynamic_offset)| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset, min_binding_size: None },
        count: None,
    };
    let uniform = (0, wgpu::BufferBindingType::Uniform, true);
    let storage = (1..).zip(binds).map(|(binding, bind)| {
        (binding, wgpu::BufferBindingType::Storage { read_only: bind.access == Access::Read }, false)
    });
    [uniform].into_iter().chain(storage).map(entry).collect()
}

#[cfg(test)]
mod tests {
    use pollster::block_on;

    use super::*;
    use crate::graph::{Caps, Pass, ValueId};
    use crate::testing::gpu;

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

    #[test]
    fn a_text_is_parsed_once_and_a_pipeline_compiled_once() {
        let gpu = fresh();
        let (dispatches, pass) = (dispatches(), Pass::new().update(ValueId(0)));
        let wanted: Vec<_> = dispatches.iter().map(|dispatch| (dispatch, pass.binds())).collect();
        let pipelines = block_on(gpu.pipelines_of(&wanted)).unwrap();
        assert_eq!((gpu.modules(), lock(&gpu.pipelines().kept).len()), (1, 3));
        let same = |one: usize, two: usize| Arc::ptr_eq(&pipelines[one], &pipelines[two]);
        assert!(same(0, 2) && same(1, 4) && !same(0, 1) && !same(0, 3));
        let again = block_on(gpu.pipelines_of(&wanted)).unwrap();
        assert!(pipelines.iter().zip(&again).all(|(one, two)| Arc::ptr_eq(one, two)));
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
            let wanted: Vec<_> = dispatches.iter().map(|dispatch| (dispatch, pass.binds())).collect();
            for _ in 0..2 {
                let error = block_on(gpu.pipelines_of(&wanted)).unwrap_err().to_string();
                assert!(error.contains(reason), "{error}");
            }
        }
        let good = dispatches();
        let wanted: Vec<_> = good.iter().map(|dispatch| (dispatch, pass.binds())).collect();
        assert_eq!(block_on(gpu.pipelines_of(&wanted)).unwrap().len(), 5);
    }
}
