//! From a dispatch to SPIR-V, as wgpu makes it of an unchecked module.

use foveate::low_level::graph::Dispatch;
use naga::back::{PipelineConstants, pipeline_constants::process_overrides, spv};
use naga::proc::{BoundsCheckPolicies, BoundsCheckPolicy};
use naga::valid::{Capabilities, ValidationFlags, Validator};

use crate::Result;

/// One entry point with its constants: what a driver gets.
pub struct Module {
    /// SPIR-V.
    pub words: Vec<u32>,
    /// The numbers of its bindings, and whether they are uniforms.
    pub bindings: Vec<(u32, bool)>,
}

/// Compiles the entry point that a dispatch runs.
pub fn module(dispatch: &Dispatch) -> Result<Module> {
    let Dispatch { shader, entry, constants, .. } = dispatch;
    let parsed = naga::front::wgsl::parse_str(shader.source).map_err(|error| error.emit_to_string(shader.source))?;
    let constants: PipelineConstants = constants.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
    let info = validator.validate(&parsed)?;
    let stage = naga::ShaderStage::Compute;
    let (module, info) = process_overrides(&parsed, &info, Some((stage, entry)), &constants)?;
    let unchecked = BoundsCheckPolicy::Unchecked;
    let options = spv::Options {
        lang_version: (1, 3),
        bounds_check_policies: BoundsCheckPolicies {
            index: unchecked,
            buffer: unchecked,
            image_load: unchecked,
            binding_array: unchecked,
        },
        zero_initialize_workgroup_memory: spv::ZeroInitializeWorkgroupMemoryMode::None,
        force_loop_bounding: false,
        ..Default::default()
    };
    let pipeline = spv::PipelineOptions { shader_stage: stage, entry_point: (*entry).to_owned() };
    let words = spv::write_vec(&module, &info, &options, Some(&pipeline))?;
    let bindings = module
        .global_variables
        .iter()
        .filter_map(|(_, variable)| Some((variable.binding?.binding, variable.space == naga::AddressSpace::Uniform)));
    Ok(Module { words, bindings: bindings.collect() })
}
