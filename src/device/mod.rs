//! Where graphs run: the seam between a graph and what executes it.
//!
//! A [`Device`] is a handle on anything that implements [`Executor`]: it has memory, compiles graphs into
//! [`Program`]s, and runs them. Nothing above that seam asks which device it is: a [`Store`] keeps named tensors on any
//! of them, and a [`Plan`] lays out a graph's memory for any of them. There are three: [`Gpu`](crate::Gpu);
//! [`Processor`], which runs the same graphs on CPU threads; and [`Reference`], which runs every op by its CPU
//! reference and judges both. This floor imports neither wgpu nor `gpu`.

mod buffer;
mod executor;
mod handle;
mod id;
mod plan;
mod processor;
mod random;
mod reference;
mod store;
#[cfg(test)]
mod tests;

pub use buffer::{Backing, Buffer, Places};
pub use executor::{Copy, Executor, Program};
pub use handle::Device;
pub use id::DeviceId;
pub use plan::{Memory, Plan};
pub use processor::{Processor, ProcessorOptions};
pub use reference::Reference;
pub use store::Store;
