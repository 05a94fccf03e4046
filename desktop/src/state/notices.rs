//! What the user should know and can close: an error with what to do, a warning, a word that something is done.

use crate::engine::Trouble;

/// Notices that are shown at once; older ones make way.
const MOST: usize = 3;

/// How much a notice matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something failed.
    Error,
    /// Something is odd.
    Warning,
    /// Something is done.
    Word,
}

/// A line for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// How much it matters.
    pub kind: Kind,
    /// What it says.
    pub text: String,
}

/// The notices that are shown, the latest last.
#[derive(Debug, Default)]
pub struct Notices(Vec<Notice>);

impl Notices {
    /// What went wrong, and what to do.
    pub fn trouble(&mut self, trouble: &Trouble) {
        self.add(Kind::Error, trouble.line());
    }

    /// Something odd.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.add(Kind::Warning, text.into());
    }

    /// Something that is done.
    pub fn say(&mut self, text: impl Into<String>) {
        self.add(Kind::Word, text.into());
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Notice> {
        self.0.iter()
    }

    /// Takes one away.
    pub fn close(&mut self, at: usize) {
        if at < self.0.len() {
            self.0.remove(at);
        }
    }

    /// Takes words away, which are old once something new begins.
    pub fn forget_words(&mut self) {
        self.0.retain(|notice| notice.kind != Kind::Word);
    }

    fn add(&mut self, kind: Kind, text: String) {
        self.0.retain(|known| known.text != text);
        self.0.push(Notice { kind, text });
        if self.0.len() > MOST {
            self.0.remove(0);
        }
    }
}
