//! What a model is built from: a folder, its configs field by field, its tensors name by name.

mod fields;
mod folder;
mod loader;

pub use fields::Fields;
pub use folder::ModelFolder;
pub use loader::{Answer, Loader, Scope, Table};
