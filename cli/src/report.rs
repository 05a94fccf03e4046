//! How results and errors are printed: text or JSON on stdout, errors as one line on stderr.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use foveate::low_level::text::{one_line, printable, steers};
use foveate::{Error, Result};
use serde_json::{Value, json};

use super::hints;

/// Writes a result to stdout. A reader that has seen enough (`| head`) is no error.
pub fn say(text: &str) -> Result<()> {
    // Names in it may come from a stranger's model.
    let safe: String =
        text.chars().map(|c| if steers(c) && c != '\n' { char::REPLACEMENT_CHARACTER } else { c }).collect();
    write(&safe)
}

fn write(text: &str) -> Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::io("stdout", error)),
        _ => Ok(()),
    }
}

/// Writes JSON that was made elsewhere.
pub fn say_text(json: &str) -> Result<()> {
    write(&controlled(json))
}

/// Writes a result to stdout as JSON.
pub fn say_json(value: &Value) -> Result<()> {
    write(&as_json(value))
}

/// JSON without characters that control a terminal. What is left of them after serialising is within strings.
fn as_json(value: &Value) -> String {
    controlled(&format!("{value:#}"))
}

fn controlled(json: &str) -> String {
    let mut text = String::new();
    for c in json.chars() {
        match steers(c) && c != '\n' {
            true => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => text.push(c),
        }
    }
    text
}

/// Writes a line to stderr. Where nobody listens, that changes nothing.
pub fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// Prints why a command failed, and what to type instead where that is known. Only the first failure is told: where the
/// user asked to stop, the work and who watches over it may come here both.
pub fn failure(error: &Error, json: bool) -> ExitCode {
    static TOLD: AtomicBool = AtomicBool::new(false);
    while TOLD.swap(true, Ordering::Relaxed) {
        std::thread::park(); // the other one ends the program
    }
    print(&error.chain(), hints::of_error(error), json);
    ExitCode::from(if error.is_usage() { 2 } else { 1 })
}

/// Prints why the arguments could not be read; or answers `--help` and `--version`, which come the same way.
pub fn unparsed(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match say(error.render().to_string().trim_end()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failure(&error, false),
        },
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            note(error.render().to_string().trim_end());
            ExitCode::from(2)
        }
        _ => {
            print(&[brief(&error.render().to_string())], None, std::env::args_os().any(|arg| arg == "--json"));
            ExitCode::from(2)
        }
    }
}

fn print(messages: &[String], hint: Option<&str>, json: bool) {
    let messages: Vec<String> = messages.iter().map(|message| printable(message)).collect();
    let printed = json && say_json(&json!({ "error": messages[0], "causes": messages[1..], "hint": hint })).is_ok();
    if !printed {
        let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
        note(&format!("error: {}{hint}", messages.join(": ")));
    }
}

/// clap's message without its usage and its pointer to `--help`.
fn brief(rendered: &str) -> String {
    let paragraphs = rendered.split("\n\n").map(one_line);
    let kept =
        paragraphs.filter(|p| !p.is_empty() && !p.starts_with("Usage:") && !p.starts_with("For more information"));
    let line = kept.collect::<Vec<_>>().join("; ");
    line.strip_prefix("error: ").unwrap_or(&line).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_is_brief() {
        let rendered = "error: unexpected argument '--sed' found\n\n  tip: a similar argument exists: '--seed'\n\n\
                        Usage: foveate generate\n\nFor more information, try '--help'.\n";
        assert_eq!(brief(rendered), "unexpected argument '--sed' found; tip: a similar argument exists: '--seed'");
    }

    #[test]
    fn json_does_not_steer_the_terminal() {
        let value = json!({ "a": "\u{9b}31m\u{1b}\n\u{7f}ä\u{202e}gnp.exe" });
        let text = as_json(&value);
        assert!(!text.contains(|c: char| steers(c) && c != '\n'), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
