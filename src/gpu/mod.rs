//! The GPU, by wgpu: a device of its own or borrowed from a host, and all that only a GPU has: command encoders
//! (`engine.rs` is the one file that fills them), timestamps, textures, and the loss of the device.
//!
//! [`Gpu`] is a [`Device`](crate::Device) like others, by implementing [`Executor`](crate::device::Executor). Outside
//! this floor wgpu is named only where a host hands in its encoder or takes out a texture.

mod borrowed;
mod buffer;
mod caps;
mod compile;
mod context;
mod cost;
mod engine;
mod executor;
mod fault;
mod needs;
mod oneshot;
mod pace;
mod pipeline;
#[cfg(not(target_arch = "wasm32"))]
mod poller;
mod profiler;
mod recording;
mod slice;
mod stopwatch;
mod texture;
mod unchecked;
mod validate;
mod wait;
#[cfg(any(test, feature = "testing"))]
mod watch;

pub use context::{Gpu, GpuOptions, INSTALL_HINT, adapters};
pub use engine::{encode, encode_profiled};
pub use needs::{optional_features, required_features, required_limits};
pub use profiler::{Profiler, Span};
pub use recording::Recording;
pub use slice::Cursor;
