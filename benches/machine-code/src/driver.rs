//! Mesa's driver for AMD GPUs, which compiles for a GPU that need not be there.

use std::ffi::{CStr, CString};

use ash::vk;
use foveate::low_level::graph::Dispatch;

use crate::Result;
use crate::spirv::Module;

/// A device of the GPU that `RADV_FORCE_FAMILY` names. It is never destroyed: one without hardware does not bear it.
pub struct Driver {
    instance: ash::Instance,
    device: ash::Device,
    _library: ash::Entry,
}

/// What the compiler says of a kernel, and its text.
pub struct Compiled {
    /// Vector registers of a thread.
    pub registers: u64,
    /// Of these, such as did not fit and are in memory.
    pub spilled: u64,
    /// Waves that fit on a SIMD unit at a time.
    pub waves: u64,
    /// Bytes of workgroup memory.
    pub workgroup_bytes: u64,
    /// The instructions.
    pub listing: String,
}

impl Driver {
    /// The one device of the one driver that `VK_DRIVER_FILES` names.
    pub fn load() -> Result<Self> {
        // SAFETY: the library is Vulkan's loader. Each call gets what the calls before it made, and structures that
        // live until it returns.
        unsafe {
            let library = ash::Entry::load()?;
            let app = vk::ApplicationInfo::default().api_version(vk::API_VERSION_1_2);
            let instance = library.create_instance(&vk::InstanceCreateInfo::default().application_info(&app), None)?;
            let physical = *instance.enumerate_physical_devices()?.first().ok_or("the driver shows no device")?;
            let queues = [vk::DeviceQueueCreateInfo::default().queue_priorities(&[1.0])];
            let extensions = [vk::KHR_PIPELINE_EXECUTABLE_PROPERTIES_NAME.as_ptr()];
            let mut executables =
                vk::PhysicalDevicePipelineExecutablePropertiesFeaturesKHR::default().pipeline_executable_info(true);
            let mut vulkan12 =
                vk::PhysicalDeviceVulkan12Features::default().shader_float16(true).vulkan_memory_model(true);
            let mut vulkan11 = vk::PhysicalDeviceVulkan11Features::default().storage_buffer16_bit_access(true);
            let wish = vk::DeviceCreateInfo::default().queue_create_infos(&queues).enabled_extension_names(&extensions);
            let wish = wish.push_next(&mut executables).push_next(&mut vulkan12).push_next(&mut vulkan11);
            let device = instance.create_device(physical, &wish, None)?;
            Ok(Self { instance, device, _library: library })
        }
    }

    /// Compiles a dispatch's kernel.
    pub fn compile(&self, dispatch: &Dispatch, module: &Module) -> Result<Compiled> {
        let bindings: Vec<_> = module
            .bindings
            .iter()
            .map(|&(number, uniform)| {
                let kind = match uniform {
                    true => vk::DescriptorType::UNIFORM_BUFFER,
                    false => vk::DescriptorType::STORAGE_BUFFER,
                };
                let binding = vk::DescriptorSetLayoutBinding::default().binding(number).descriptor_count(1);
                binding.descriptor_type(kind).stage_flags(vk::ShaderStageFlags::COMPUTE)
            })
            .collect();
        let entry = CString::new(dispatch.entry)?;
        // SAFETY: as in `load`; naga has validated the module.
        unsafe {
            let wish = vk::DescriptorSetLayoutCreateInfo::default().bindings(&bindings);
            let set = [self.device.create_descriptor_set_layout(&wish, None)?];
            let wish = vk::PipelineLayoutCreateInfo::default().set_layouts(&set);
            let layout = self.device.create_pipeline_layout(&wish, None)?;
            let wish = vk::ShaderModuleCreateInfo::default().code(&module.words);
            let shader = self.device.create_shader_module(&wish, None)?;
            let stage = vk::PipelineShaderStageCreateInfo::default().stage(vk::ShaderStageFlags::COMPUTE);
            let capture = vk::PipelineCreateFlags::CAPTURE_STATISTICS_KHR
                | vk::PipelineCreateFlags::CAPTURE_INTERNAL_REPRESENTATIONS_KHR;
            let wish = vk::ComputePipelineCreateInfo::default();
            let wish = wish.stage(stage.module(shader).name(&entry)).layout(layout).flags(capture);
            let made = self.device.create_compute_pipelines(vk::PipelineCache::null(), &[wish], None);
            let made = made.map_err(|(_, error)| error)?;
            self.describe(*made.first().ok_or("the driver made no pipeline")?)
        }
    }

    /// # Safety
    ///
    /// The pipeline is one of this device, made to be described.
    unsafe fn describe(&self, pipeline: vk::Pipeline) -> Result<Compiled> {
        let about = ash::khr::pipeline_executable_properties::Device::new(&self.instance, &self.device);
        let which = vk::PipelineExecutableInfoKHR::default().pipeline(pipeline);
        // SAFETY: the first call says how many parts there are, the second how long their texts, the third fills these.
        let (statistics, parts, texts) = unsafe {
            let statistics = about.get_pipeline_executable_statistics(&which)?;
            let read = about.fp().get_pipeline_executable_internal_representations_khr;
            let mut count = 0;
            read(self.device.handle(), &which, &mut count, std::ptr::null_mut()).result()?;
            let mut parts = vec![vk::PipelineExecutableInternalRepresentationKHR::default(); count as usize];
            read(self.device.handle(), &which, &mut count, parts.as_mut_ptr()).result()?;
            let mut texts: Vec<Vec<u8>> = parts.iter().map(|part| vec![0; part.data_size]).collect();
            for (part, text) in parts.iter_mut().zip(&mut texts) {
                part.p_data = text.as_mut_ptr().cast();
            }
            read(self.device.handle(), &which, &mut count, parts.as_mut_ptr()).result()?;
            (statistics, parts, texts)
        };
        let statistic = |name: &str| {
            let found = statistics.iter().find(|statistic| word(&statistic.name) == name);
            // SAFETY: the driver writes all of these as 64 bits without a sign.
            found.map(|statistic| unsafe { statistic.value.u64 }).ok_or(format!("the driver does not count {name}"))
        };
        let listing = parts.iter().zip(texts).find(|(part, _)| word(&part.name).contains("Assembly"));
        let listing = listing.map(|(_, text)| String::from_utf8_lossy(&text).trim_end_matches('\0').to_owned());
        Ok(Compiled {
            registers: statistic("VGPRs")?,
            spilled: statistic("Spilled VGPRs")?,
            waves: statistic("Subgroups per SIMD")?,
            workgroup_bytes: statistic("LDS size")?,
            listing: listing.ok_or("the driver gives no assembly")?,
        })
    }
}

/// A name as Vulkan writes it: bytes up to the first zero.
fn word(name: &[std::ffi::c_char]) -> String {
    let bytes: Vec<u8> = name.iter().map(|&c| c as u8).collect();
    CStr::from_bytes_until_nul(&bytes).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
