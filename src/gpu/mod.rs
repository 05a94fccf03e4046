//! The only floor that names wgpu: the device (own or borrowed), its buffers and pipelines, and the one file
//! ([`engine`]) that touches a command encoder.

mod buffer;
mod caps;
mod context;
mod engine;
mod fault;
mod profiler;
mod recording;
mod shader;
mod texture;

pub use buffer::Buffer;
pub use caps::{AdapterClass, Caps};
pub use context::{Gpu, GpuOptions, INSTALL_HINT, adapters};
pub use profiler::{Profiler, Span};
pub use recording::{Bindings, Command, Group, Recording};
pub use shader::{Pipeline, PipelineKey, Shader};
