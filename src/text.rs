//! Text of strangers as people may read it: names and values from files, addresses and requests.

/// The most characters that are shown of one text, and of these the ones from its end.
const MOST: usize = 1000;
const END: usize = 200;

/// The text on one line, without characters that control a terminal or turn the direction of writing. A long text loses
/// its middle.
pub fn printable(text: &str) -> String {
    let shown = |part: &str| part.chars().map(|c| if steers(c) { char::REPLACEMENT_CHARACTER } else { c }).collect();
    // Only as much as is shown is looked at.
    let start = text.char_indices().nth(MOST - END).map_or(text.len(), |(at, _)| at);
    let end = text.char_indices().rev().nth(END - 1).map_or(0, |(at, _)| at);
    if start >= end {
        return shown(text);
    }
    let (first, last): (String, String) = (shown(&text[..start]), shown(&text[end..]));
    format!("{first}… {} bytes …{last}", end - start)
}

/// A text of several lines as one, its words a space apart.
pub fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a terminal does something else than to show it: moves, colours, or turns the direction of writing.
pub fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{61c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_do_not_steer_the_terminal() {
        assert_eq!(printable("no scheduler \u{1b}[2Jä\n"), "no scheduler \u{fffd}[2Jä\u{fffd}");
        assert_eq!(printable("\u{9b}31m\u{202e}gnp.exe"), "\u{fffd}31m\u{fffd}gnp.exe");
    }

    #[test]
    fn long_texts_lose_their_middle() {
        assert_eq!(printable(&"ä".repeat(MOST)), "ä".repeat(MOST));
        let long = format!("first{}last", "x".repeat(50_000_000));
        let shown = printable(&long);
        assert!(shown.starts_with("firstxx") && shown.ends_with("xxlast") && shown.contains("… 49999009 bytes …"));
        assert!(shown.chars().count() < MOST + 30, "{}", shown.chars().count());
    }
}
