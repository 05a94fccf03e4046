//! The history: the pictures that were drawn, the newest first, and the search in it.

use std::path::Path;

use crate::disk::Entry;

/// Pictures with how they were drawn.
#[derive(Debug, Default)]
pub struct History {
    entries: Vec<Entry>,
    /// What is sought.
    pub sought: String,
    /// Whether all of the disk was read.
    pub read: bool,
}

impl History {
    /// Adds older pictures, as the disk is read.
    pub fn extend(&mut self, found: Vec<Entry>) {
        for entry in found {
            // What was drawn meanwhile is known already.
            if self.get(&entry.path).is_none() {
                self.entries.push(entry);
            }
        }
    }

    /// Adds the picture that was just drawn.
    pub fn add(&mut self, entry: Entry) {
        self.remove(&entry.path.clone());
        self.entries.insert(0, entry);
    }

    /// Forgets a picture.
    pub fn remove(&mut self, path: &Path) {
        self.entries.retain(|entry| entry.path != path);
    }

    /// The picture at this path.
    pub fn get(&self, path: &Path) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.path == path)
    }

    /// The pictures that match what is sought.
    pub fn found(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| entry.matches(&self.sought))
    }

    /// Whether there are none at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The picture after the one at `path` among those found, or before it.
    pub fn beside(&self, path: &Path, newer: bool) -> Option<&Entry> {
        let found: Vec<&Entry> = self.found().collect();
        let at = found.iter().position(|entry| entry.path == path)?;
        let other = if newer { at.checked_sub(1)? } else { at + 1 };
        found.get(other).copied()
    }
}
