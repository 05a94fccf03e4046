//! Reads an adapter's capabilities.

use crate::graph::{AdapterClass, Arithmetic, Caps, MemoryPlace};

/// What an adapter offers, as kernels ask for it.
pub(super) fn caps_of(info: &wgpu::AdapterInfo, features: wgpu::Features, limits: &wgpu::Limits) -> Caps {
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
        f16: features.contains(wgpu::Features::SHADER_F16),
        subgroups: features.contains(wgpu::Features::SUBGROUP),
        // What is written for them lacks the `enable` that a browser asks for.
        subgroup_lanes: (features.contains(wgpu::Features::SUBGROUP)
            && info.backend != wgpu::Backend::BrowserWebGpu
            && info.subgroup_min_size == info.subgroup_max_size)
            .then_some(info.subgroup_max_size),
        busy_threads: busy_threads(info.device_type),
        timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
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

/// Estimates: two warps of 32 for each of four schedulers of 64 (discrete) or 16 (integrated) cores. What hides its kind
/// lies between.
fn busy_threads(kind: wgpu::DeviceType) -> u32 {
    match kind {
        wgpu::DeviceType::DiscreteGpu | wgpu::DeviceType::VirtualGpu => 16_384,
        wgpu::DeviceType::IntegratedGpu | wgpu::DeviceType::Cpu => 4096,
        wgpu::DeviceType::Other => 8192,
    }
}
