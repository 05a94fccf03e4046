//! What names in folders and requests mean: families of models, policies, schedulers. A host can add its own of each.

use crate::compress::Policies;
use crate::models::Families;
use crate::schedulers::Schedulers;
use crate::weights::Format;

/// Everything that is found by name.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    /// Models, by the pipeline class of their folder.
    pub families: Families,
    /// Compression policies, by the name in a request.
    pub policies: Policies,
    /// Schedulers, by the class in a folder or the name in a request.
    pub schedulers: Schedulers,
}

/// How to load a model.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// How to store matrices. None: as the files have them, which loses nothing.
    pub dtype: Option<Format>,
    /// What names mean.
    pub registry: Registry,
}

/// How far loading is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// "transformer", "vae", "text_encoder".
    pub component: &'a str,
    /// Bytes on the device.
    pub done: u64,
    /// Bytes of this component.
    pub total: u64,
}

/// How far compiling is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compiling {
    /// Ops that are compiled.
    pub done: usize,
    /// Ops of all steps. Many share a kernel, so that the first ones take most of the time.
    pub total: usize,
}
