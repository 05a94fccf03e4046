//! What Foveate needs of a device: for hosts that make theirs, and by name where it is missing.

use crate::graph::Caps;
use crate::{Error, Result};

/// Features without which nothing runs. There are none beyond WebGPU's.
pub fn required_features() -> wgpu::Features {
    wgpu::Features::empty()
}

/// Features that are used where the device has them: `TIMESTAMP_QUERY` times slices exactly, whatever else a frame
/// does. A host asks for `required_features() | optional_features() & adapter.features()`.
///
/// `EXPERIMENTAL_COOPERATIVE_MATRIX` is not among them, since it takes a host's word (`unsafe
/// wgpu::ExperimentalFeatures::enabled()`). A host that gives it and asks for the feature as well has its matrix units
/// used.
pub fn optional_features() -> wgpu::Features {
    wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP | wgpu::Features::TIMESTAMP_QUERY
}

/// What matrix units need, if they are wanted there: not on software adapters, which gain nothing, and of which Mesa's may
/// name sizes without having the feature (wgpu then fails to open the device). Drivers are new to them, so the environment
/// may say otherwise: `FOVEATE_MATRIX_UNITS=0` is never, `1` is always.
pub(super) fn of_matrix_units(adapter: &wgpu::AdapterInfo) -> Option<wgpu::Features> {
    let wanted = match std::env::var("FOVEATE_MATRIX_UNITS").as_deref() {
        Ok("0") => false,
        Ok("1") => true,
        _ => adapter.device_type != wgpu::DeviceType::Cpu,
    };
    let needed =
        wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX | wgpu::Features::SHADER_F16 | wgpu::Features::SUBGROUP;
    wanted.then_some(needed)
}

/// WebGPU's default limits, which every device of a browser has. What the kernels need of them is checked by name when
/// a device is handed over; what a model or a picture needs is when it is loaded or asked for. Large ones need a larger
/// `max_storage_buffer_binding_size` and `max_buffer_size`: a host that can asks for its adapter's.
pub fn required_limits() -> wgpu::Limits {
    wgpu::Limits::default()
}

/// Fails where a device has less than the kernels need, by the limit's name.
pub(super) fn check(limits: &wgpu::Limits) -> Result<()> {
    let least = Caps::minimum();
    for (limit, available, needed) in [
        (
            "max_storage_buffers_per_shader_stage",
            limits.max_storage_buffers_per_shader_stage,
            least.max_storage_buffers,
        ),
        ("max_compute_workgroup_storage_size", limits.max_compute_workgroup_storage_size, least.workgroup_memory),
        (
            "max_compute_invocations_per_workgroup",
            limits.max_compute_invocations_per_workgroup,
            least.workgroup_threads,
        ),
        ("max_compute_workgroup_size_x", limits.max_compute_workgroup_size_x, least.workgroup_threads),
        ("max_dynamic_uniform_buffers_per_pipeline_layout", limits.max_dynamic_uniform_buffers_per_pipeline_layout, 1),
    ] {
        if available < needed {
            let what = "every kernel".into();
            return Err(Error::Limit { what, limit, needed: needed.into(), available: available.into() });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_is_within_the_defaults_and_less_is_named() {
        check(&required_limits()).unwrap();
        let error = check(&wgpu::Limits::downlevel_defaults()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the adapter is too small: every kernel needs max_storage_buffers_per_shader_stage = 8, it has 4"
        );
        let few = wgpu::Limits { max_compute_invocations_per_workgroup: 128, ..required_limits() };
        assert!(
            check(&few).unwrap_err().to_string().contains("max_compute_invocations_per_workgroup = 256, it has 128")
        );
    }
}
