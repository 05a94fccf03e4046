//! How results and errors are told: text or JSON on stdout, errors as one line on stderr.

use std::io::{self, Write};
use std::process::ExitCode;

use foveate::{Error, Result};
use serde_json::{Value, json};

/// Writes a result to stdout. A reader that has seen enough (`| head`) is no error.
pub fn say(text: &str) -> Result<()> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::io("stdout", error)),
        _ => Ok(()),
    }
}

/// Writes a result to stdout as JSON.
pub fn say_json(value: &Value) -> Result<()> {
    say(&format!("{value:#}"))
}

/// Tells why a command failed.
pub fn failure(error: &Error, json: bool) -> ExitCode {
    tell(&error.chain(), json);
    ExitCode::from(if error.is_usage() { 2 } else { 1 })
}

/// Tells why the arguments could not be read; or answers `--help` and `--version`, which come the same way.
pub fn unparsed(error: &clap::Error) -> ExitCode {
    use clap::error::ErrorKind;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match say(error.render().to_string().trim_end()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => failure(&error, false),
        },
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            eprint!("{}", error.render());
            ExitCode::from(2)
        }
        _ => {
            tell(&[one_line(&error.render().to_string())], std::env::args_os().any(|arg| arg == "--json"));
            ExitCode::from(2)
        }
    }
}

fn tell(messages: &[String], json: bool) {
    let told = json && say_json(&json!({ "error": messages[0], "causes": messages[1..] })).is_ok();
    if !told {
        eprintln!("error: {}", messages.join(": "));
    }
}

/// clap's message without its usage and its pointer to `--help`.
fn one_line(rendered: &str) -> String {
    let paragraphs = rendered.split("\n\n").map(|p| p.split_whitespace().collect::<Vec<_>>().join(" "));
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
        assert_eq!(one_line(rendered), "unexpected argument '--sed' found; tip: a similar argument exists: '--seed'");
    }
}
