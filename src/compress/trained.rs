//! What a checkpoint brings for policies: read from its files when the model is opened, and found again by type.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;

/// Values of any type, at most one of each. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub struct Trained(HashMap<TypeId, Arc<dyn Any + Send + Sync>>);

impl Trained {
    /// Keeps a value, in place of an earlier one of its type.
    pub fn insert<T: Any + Send + Sync>(&mut self, value: T) {
        self.0.insert(TypeId::of::<T>(), Arc::new(value));
    }

    /// The value of this type.
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.0.get(&TypeId::of::<T>()).and_then(|value| value.downcast_ref())
    }
}
