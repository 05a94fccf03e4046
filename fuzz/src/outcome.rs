//! What came of an input. Errors must read as lines; and what was not said before shows the driver that an input went
//! another way.

use std::cell::RefCell;
use std::hash::{DefaultHasher, Hash, Hasher};

use foveate::Error;

/// The most characters of one line: the library cuts each text of a stranger to about a thousand.
const LONGEST: usize = 4096;

thread_local! {
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
}

/// An error came of the input.
///
/// # Panics
/// Where the error is not one that people can read.
pub fn failed(error: &Error) {
    for line in error.chain().iter().chain([&error.to_string()]) {
        check_line(line);
        reached(line);
    }
}

/// # Panics
/// Where the text is no line that a terminal can show.
pub fn check_line(line: &str) {
    let shown: String = line.chars().take(200).collect();
    assert!(!line.contains(steers), "a message is not one printable line: {shown:?}");
    assert!(line.chars().count() <= LONGEST, "a message has {} characters: {shown:?}", line.len());
}

/// The input led here.
pub fn reached(place: &str) {
    SAID.with_borrow_mut(|said| {
        said.push_str(place);
        said.push('\n');
    });
}

/// What was said since the last call, without what differs from input to input: numbers and quoted names.
pub fn take() -> u64 {
    let said = SAID.take();
    let mut hasher = DefaultHasher::new();
    let (mut quoted, mut last) = (false, ' ');
    for c in said.chars() {
        quoted ^= matches!(c, '"' | '`');
        if !quoted && c != last && !c.is_ascii_digit() {
            c.hash(&mut hasher);
        }
        last = c;
    }
    hasher.finish()
}

fn steers(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_no_news() {
        let of = |line: &str| {
            reached(line);
            take()
        };
        assert_eq!(of("\"a\" has 12 rows"), of("\"b\" has 7 rows"));
        assert_ne!(of("\"a\" has 12 rows"), of("\"a\" has 12 columns"));
    }

    #[test]
    fn messages_that_nobody_can_read_are_found() {
        failed(&Error::config("file", "a\nb"));
        for line in ["a\nb".to_owned(), "\u{1b}[2J".to_owned(), "x".repeat(LONGEST + 1)] {
            assert!(std::panic::catch_unwind(|| check_line(&line)).is_err());
        }
    }
}
