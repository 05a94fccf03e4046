//! Every shader in the languages of the backends: what wgpu would hand to a driver, by naga's writers. Nothing runs here,
//! so it is tested on every machine.
#![allow(clippy::unwrap_used, reason = "a failure here is what tests are for")]

use foveate::low_level::graph::Shader;
use foveate::low_level::kernels::SHADERS;
use naga::back::{PipelineConstants, hlsl, msl, pipeline_constants::process_overrides, spv};
use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};
use naga::{Module, ShaderStage};

/// Each entry point of a shader, with the values that `override` constants have by themselves.
fn entries(shader: &Shader) -> Vec<(String, Module, ModuleInfo)> {
    let module = naga::front::wgsl::parse_str(shader.source).unwrap();
    let info = Validator::new(ValidationFlags::all(), Capabilities::all()).validate(&module).unwrap();
    let points = module.entry_points.iter().map(|point| {
        let stage = Some((ShaderStage::Compute, point.name.as_str()));
        let (module, info) = process_overrides(&module, &info, stage, &PipelineConstants::new()).unwrap();
        (point.name.clone(), module.into_owned(), info.into_owned())
    });
    points.collect()
}

/// For Vulkan.
fn spirv((entry, module, info): &(String, Module, ModuleInfo)) -> Vec<u32> {
    let options = spv::Options { lang_version: (1, 3), ..spv::Options::default() };
    let pipeline = spv::PipelineOptions { shader_stage: ShaderStage::Compute, entry_point: entry.clone() };
    spv::write_vec(module, info, &options, Some(&pipeline)).unwrap()
}

/// For Metal.
fn metal((entry, module, info): &(String, Module, ModuleInfo)) -> String {
    let options = msl::Options { lang_version: (2, 4), fake_missing_bindings: true, ..msl::Options::default() };
    let entry_point = Some((ShaderStage::Compute, entry.clone()));
    let pipeline = msl::PipelineOptions { entry_point, ..msl::PipelineOptions::default() };
    msl::write_string(module, info, &options, &pipeline).unwrap().0
}

/// For Direct3D.
fn direct3d((_, module, info): &(String, Module, ModuleInfo)) -> String {
    let options = hlsl::Options {
        shader_model: hlsl::ShaderModel::V6_2,
        fake_missing_bindings: true,
        ..hlsl::Options::default()
    };
    let mut text = String::new();
    let pipeline = hlsl::PipelineOptions::default();
    hlsl::Writer::new(&mut text, &options, &pipeline).write(module, info, None).unwrap();
    text
}

fn is_on_matrix_units(shader: &Shader) -> bool {
    shader.name.starts_with("linear_matrix_")
}

#[test]
fn every_shader_is_written_for_every_backend() {
    for shader in SHADERS {
        for entry in &entries(shader) {
            assert!(spirv(entry).len() > 100, "{}", shader.name);
            assert!(metal(entry).contains("kernel void"), "{}", shader.name);
            // naga 30 has no cooperative matrices for Direct3D (it panics), and wgpu none there.
            if !is_on_matrix_units(shader) {
                assert!(direct3d(entry).contains("[numthreads("), "{}", shader.name);
            }
        }
    }
}

/// Words of SPIR-V that begin an instruction, and its code is the lower half.
fn instructions(words: &[u32]) -> Vec<u32> {
    let (mut at, mut codes) = (5, Vec::new());
    while at < words.len() {
        codes.push(words[at] & 0xffff);
        at += (words[at] >> 16) as usize;
    }
    codes
}

/// Four products in either shader: all of a block's 2×2 matrices, or a strip of its 4×4.
#[test]
fn products_on_matrix_units_are_instructions_of_their_own() {
    const MUL_ADD: u32 = 4459; // OpCooperativeMatrixMulAddKHR
    let named = |name: &str| SHADERS.iter().find(|shader| shader.name == name).unwrap();
    for name in ["linear_matrix_8", "linear_matrix_16"] {
        let words = spirv(&entries(named(name))[0]);
        assert_eq!(instructions(&words).into_iter().filter(|&code| code == MUL_ADD).count(), 4, "{name}");
    }
    // Metal has matrices of 8×8 alone.
    let text = metal(&entries(named("linear_matrix_8"))[0]);
    assert_eq!(text.matches("NagaCooperativeMultiplyAdd(x, ").count(), 4);
    for word in ["simdgroup_half8x8", "simdgroup_float8x8", "simdgroup_multiply_accumulate", "simdgroup_store"] {
        assert!(text.contains(word), "{word}");
    }
}
