//! Help texts that list what the registry holds, so that a policy or a scheduler is described once.

use foveate::compress::{Parameter, Policies};
use foveate::schedulers::Schedulers;

/// Letters in a line.
const WIDTH: usize = 100;

/// The help of `--scheduler`.
pub fn scheduler() -> String {
    let names = Schedulers::default().names().join(", ");
    format!("Another scheduler than the folder's, over the folder's config: one of {names}")
}

/// Every policy, and what `--set` knows of it.
pub fn policies() -> String {
    let policies = Policies::default();
    let mut lines = vec!["Policies of --compress, each with what --set KEY=VALUE knows and its default:".to_owned()];
    for kind in policies.iter() {
        lines.extend(entry(2, 8, kind.name(), kind.summary()));
        for Parameter { name, default, help, .. } in kind.parameters() {
            let name = if default.is_empty() { (*name).to_owned() } else { format!("{name}={default}") };
            lines.extend(entry(10, 21, &name, help));
        }
    }
    lines.join("\n")
}

/// A name, indented, and its text in a column of its own beside it.
fn entry(indent: usize, width: usize, name: &str, text: &str) -> Vec<String> {
    let start = indent + width;
    let mut lines = vec![format!("{:indent$}{name:<width$}", "")];
    if name.chars().count() >= width {
        lines.push(" ".repeat(start));
    }
    let mut at = start;
    for word in text.split_whitespace() {
        let long = word.chars().count();
        if at > start && at + 1 + long > WIDTH {
            lines.push(" ".repeat(start));
            at = start;
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(if at > start { " " } else { "" });
            line.push_str(word);
        }
        at += long + usize::from(at > start);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_and_parameter_is_listed() {
        let (text, all) = (policies(), Policies::default());
        for kind in all.iter() {
            assert!(text.lines().any(|line| line.trim_start().starts_with(kind.name())), "{}", kind.name());
            assert!(kind.parameters().iter().all(|parameter| text.contains(parameter.name)), "{}", kind.name());
        }
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert!(Schedulers::default().names().iter().all(|name| scheduler().contains(name)));
    }
}
