//! What the user should know and can close: an error with what to do, a warning, a word that something is done.

use std::time::{Duration, Instant};

use crate::engine::Trouble;

/// Notices that are shown at once; older ones make way.
const MOST: usize = 3;
/// How long a word is shown.
const WORD: Duration = Duration::from_secs(5);

/// How much a notice matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Something failed.
    Error,
    /// Something could not be kept on the disk, and is tried again.
    Unkept,
    /// A picture could not be saved, and is tried again.
    Unsaved,
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
    /// When it was said.
    since: Instant,
}

/// The notices that are shown, the latest last.
#[derive(Debug, Default)]
pub struct Notices(Vec<Notice>);

impl Notices {
    /// What went wrong, and what to do.
    pub fn trouble(&mut self, trouble: &Trouble) {
        self.add(Kind::Error, trouble.line());
    }

    /// What could not be kept, and why.
    pub fn unkept(&mut self, trouble: &Trouble) {
        self.add(Kind::Unkept, trouble.line());
    }

    /// All of that is kept now.
    pub fn kept(&mut self) {
        self.0.retain(|notice| notice.kind != Kind::Unkept);
    }

    /// A picture that could not be saved, and why.
    pub fn unsaved(&mut self, trouble: &Trouble) {
        self.add(Kind::Unsaved, trouble.line());
    }

    /// It is saved now, or given up.
    pub fn saved(&mut self) {
        self.0.retain(|notice| notice.kind != Kind::Unsaved);
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

    /// Takes words away that were shown long enough. Returns when to ask again.
    pub fn fade(&mut self) -> Option<Duration> {
        self.0.retain(|notice| notice.left() != Some(Duration::ZERO));
        self.0.iter().filter_map(Notice::left).min()
    }

    fn add(&mut self, kind: Kind, text: String) {
        // One word at a time.
        self.0.retain(|known| known.text != text && (kind != Kind::Word || known.kind != Kind::Word));
        self.0.push(Notice { kind, text, since: Instant::now() });
        if self.0.len() > MOST {
            self.0.remove(0);
        }
    }
}

impl Notice {
    /// How long it is still shown. None: until it is closed.
    fn left(&self) -> Option<Duration> {
        (self.kind == Kind::Word).then(|| WORD.saturating_sub(self.since.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_stay_and_words_go() {
        let mut notices = Notices::default();
        for n in 0..5 {
            notices.warn(format!("warning {n}"));
        }
        notices.say("one word");
        notices.say("another word");
        let texts: Vec<_> = notices.iter().map(|notice| notice.text.as_str()).collect();
        assert_eq!(texts, ["warning 3", "warning 4", "another word"]);
        assert!(notices.fade().is_some_and(|left| left <= WORD));
        notices.0[2].since = Instant::now().checked_sub(WORD).unwrap();
        assert!(notices.fade().is_none());
        assert_eq!(notices.iter().count(), 2);
    }
}
