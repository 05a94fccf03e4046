//! What an adapter can do, asked once and kept in one place: kernels read this instead of testing features.

use std::fmt;

/// Which habits an adapter rewards. Software adapters run a workgroup's threads on few CPU lanes and have no fast
/// workgroup memory, so reading rows straight from storage beats staging them; GPUs prefer the opposite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdapterClass {
    /// lavapipe, SwiftShader, WARP.
    Software,
    /// Everything with compute units of its own.
    Hardware,
}

/// The capabilities that decide which kernel variant runs and how tensors are split.
#[derive(Clone, Debug)]
pub struct Caps {
    /// The adapter's own name.
    pub name: String,
    /// Vulkan, Metal, Dx12 or BrowserWebGpu.
    pub backend: String,
    /// The driver and its version.
    pub driver: String,
    /// Software or hardware.
    pub class: AdapterClass,
    /// Largest storage binding, bytes. A weight beyond it is split by rows.
    pub max_binding: u64,
    /// Largest buffer, bytes.
    pub max_buffer: u64,
    /// Storage buffers in one dispatch; the kernels need 8.
    pub max_storage_buffers: u32,
    /// Workgroup memory, bytes; the kernels need 16 KiB.
    pub workgroup_memory: u32,
    /// Threads in a workgroup; the kernels need 256.
    pub workgroup_threads: u32,
    /// Workgroups along one axis of a dispatch.
    pub max_workgroups: u32,
    /// Alignment of a uniform binding's offset, bytes.
    pub uniform_alignment: u32,
    /// `shader-f16`.
    pub f16: bool,
    /// Subgroup operations.
    pub subgroups: bool,
    /// Timestamps at pass boundaries, for `--profile`.
    pub timestamps: bool,
    /// Rounds that all loops of one thread may take together. Mesa's software adapter ends them after 65,535, silently.
    pub max_rounds: u64,
}

impl Caps {
    pub(crate) fn of(info: &wgpu::AdapterInfo, features: wgpu::Features, limits: &wgpu::Limits) -> Self {
        Self {
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
            timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
            max_rounds: if info.name.starts_with("llvmpipe") { 65_535 } else { u64::MAX },
        }
    }

    /// WebGPU's guaranteed minimum: what plans and tests assume where no device is at hand.
    pub fn minimum() -> Self {
        Self {
            name: "WebGPU minimum".into(),
            backend: "none".into(),
            driver: String::new(),
            class: AdapterClass::Hardware,
            max_binding: 128 << 20,
            max_buffer: 256 << 20,
            max_storage_buffers: 8,
            workgroup_memory: 16 << 10,
            workgroup_threads: 256,
            max_workgroups: 65_535,
            uniform_alignment: 256,
            f16: false,
            subgroups: false,
            timestamps: false,
            max_rounds: u64::MAX,
        }
    }

    /// The bytes that one buffer bound whole may have.
    pub fn max_tensor_bytes(&self) -> u64 {
        self.max_binding.min(self.max_buffer)
    }

    /// Lays `count` workgroups out over x and y, so that more than 65,535 fit. Shaders recover the index as
    /// `wid.x + wid.y * num_workgroups.x` and return early beyond the count.
    pub fn grid(&self, count: u64) -> [u32; 3] {
        let max = u64::from(self.max_workgroups);
        let y = count.div_ceil(max).max(1);
        let x = count.div_ceil(y).max(1);
        [x as u32, y as u32, 1]
    }
}

impl fmt::Display for Caps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.name, self.backend, self.driver)
    }
}
