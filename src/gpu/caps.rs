//! Reads an adapter's capabilities.

use wgpu::{CooperativeMatrixProperties, CooperativeScalarType, Features};

use super::needs;
use crate::graph::{AdapterClass, Arithmetic, Caps, MatrixUnits, MemoryPlace};

/// What an adapter offers, as kernels ask for it; with the features and limits of a device of it.
pub(super) fn caps_of(adapter: &wgpu::Adapter, features: Features, limits: &wgpu::Limits) -> Caps {
    let info = adapter.get_info();
    Caps {
        name: info.name.clone(),
        backend: format!("{:?}", info.backend),
        driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        class: match info.device_type {
            wgpu::DeviceType::Cpu => AdapterClass::Software,
            // Browsers hide the device type; SwiftShader still gives its name.
            _ if info.name.to_lowercase().contains("swiftshader") => AdapterClass::Software,
            _ => AdapterClass::Hardware,
        },
        // WGSL indexes with u32 and drivers disagree beyond 2 GiB.
        max_binding: limits.max_storage_buffer_binding_size.min(i32::MAX as u64) & !255,
        max_buffer: limits.max_buffer_size,
        max_storage_buffers: limits.max_storage_buffers_per_shader_stage,
        workgroup_memory: limits.max_compute_workgroup_storage_size,
        workgroup_threads: limits.max_compute_invocations_per_workgroup,
        max_workgroups: limits.max_compute_workgroups_per_dimension,
        uniform_alignment: limits.min_uniform_buffer_offset_alignment,
        f16: features.contains(Features::SHADER_F16),
        subgroups: features.contains(Features::SUBGROUP),
        // What is written for them lacks the `enable` that a browser asks for.
        subgroup_lanes: (features.contains(Features::SUBGROUP)
            && info.backend != wgpu::Backend::BrowserWebGpu
            && info.subgroup_min_size == info.subgroup_max_size)
            .then_some(info.subgroup_max_size),
        matrix_units: needs::of_matrix_units(&info)
            .filter(|needed| features.contains(*needed))
            .and_then(|_| matrix_units(&adapter.cooperative_matrix_properties())),
        busy_threads: busy_threads(info.device_type),
        timestamps: features.contains(Features::TIMESTAMP_QUERY),
        max_rounds: if info.name.starts_with("llvmpipe") { 65_535 } else { u64::MAX },
        memory: match info.device_type {
            wgpu::DeviceType::Cpu | wgpu::DeviceType::IntegratedGpu => MemoryPlace::System,
            wgpu::DeviceType::DiscreteGpu => MemoryPlace::Own { bus: info.device_pci_bus_id.clone() },
            wgpu::DeviceType::VirtualGpu | wgpu::DeviceType::Other => MemoryPlace::Unknown,
        },
        arithmetic: Arithmetic::default(),
        choices: Default::default(),
    }
}

/// The largest matrices that kernels are written for. (Intel's are 8×16, which WGSL has no name for.)
fn matrix_units(offered: &[CooperativeMatrixProperties]) -> Option<MatrixUnits> {
    let has = |side| {
        let wanted = CooperativeMatrixProperties {
            m_size: side,
            n_size: side,
            k_size: side,
            ab_type: CooperativeScalarType::F16,
            cr_type: CooperativeScalarType::F32,
            saturating_accumulation: false,
        };
        offered.contains(&wanted)
    };
    match (has(16), has(8)) {
        (true, _) => Some(MatrixUnits::Sixteen),
        (_, true) => Some(MatrixUnits::Eight),
        _ => None,
    }
}

/// Estimates: two warps of 32 for each of four schedulers of 64 (discrete) or 16 (integrated) cores. What hides its kind
/// lies between.
fn busy_threads(kind: wgpu::DeviceType) -> u32 {
    match kind {
        wgpu::DeviceType::DiscreteGpu | wgpu::DeviceType::VirtualGpu => 16_384,
        wgpu::DeviceType::IntegratedGpu | wgpu::DeviceType::Cpu => 4096,
        wgpu::DeviceType::Other => 8192,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrix_units_are_square_and_sum_in_f32() {
        let of = |[m_size, n_size, k_size]: [u32; 3], cr_type| CooperativeMatrixProperties {
            m_size,
            n_size,
            k_size,
            ab_type: CooperativeScalarType::F16,
            cr_type,
            saturating_accumulation: false,
        };
        let (f16, f32) = (CooperativeScalarType::F16, CooperativeScalarType::F32);
        let [eight, sixteen] = [[8; 3], [16; 3]].map(|sizes| of(sizes, f32));
        assert_eq!(matrix_units(&[]), None);
        assert_eq!(matrix_units(&[of([8; 3], f16), of([8, 16, 16], f32), of([16, 16, 8], f32)]), None);
        assert_eq!(matrix_units(&[of([16; 3], f16), eight]), Some(MatrixUnits::Eight));
        assert_eq!(matrix_units(&[eight, sixteen]), Some(MatrixUnits::Sixteen));
    }
}
