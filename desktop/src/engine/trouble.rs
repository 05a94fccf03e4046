//! What went wrong, as the window says it: one sentence, and what to do about it.

use foveate::{Error, Refusal};

/// An error in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What went wrong, on one line.
    pub what: String,
    /// What to do, where that is known.
    pub advice: Option<String>,
}

impl Trouble {
    /// Of an error and its causes.
    pub fn of(error: &Error) -> Self {
        Self { what: error.chain().join(": "), advice: advice(error).map(str::to_owned) }
    }

    /// In one line.
    pub fn line(&self) -> String {
        match &self.advice {
            Some(advice) => format!("{}. {advice}", self.what),
            None => format!("{}.", self.what),
        }
    }
}

fn advice(error: &Error) -> Option<&'static str> {
    Some(match error.root() {
        Error::Refused(refusal) => return of_refusal(refusal),
        Error::DeviceLost(_) => "Retry it in the queue: another device is opened for it",
        Error::OutOfMemory(_) => "Choose a smaller size, or store the model as int8 on the page Models",
        Error::Limit { .. } => "Choose a smaller size, or the processor on the page Models",
        Error::NoAdapter(_) => "Choose the processor on the page Models",
        Error::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
            "Make room on the disk, then retry"
        }
        Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            "Choose a folder in the layout that diffusers saves: it has a model_index.json"
        }
        Error::File { .. } | Error::Config { .. } | Error::Tensor { .. } => {
            "The model's files are damaged or of another kind; choose another model on the page Models"
        }
        Error::NotFinite { .. } => "Lower the guidance, or choose another scheduler",
        _ => return None,
    })
}

fn of_refusal(refusal: &Refusal) -> Option<&'static str> {
    Some(match refusal {
        Refusal::NeedsClass => "Choose a class",
        Refusal::TakesNoPrompt => "Choose a class, and leave the prompt empty",
        Refusal::TakesNoClass => "Write a prompt",
        Refusal::NoTokenizer | Refusal::NoTextEncoder => "Choose a model folder that is complete",
        Refusal::NoNullClass { .. } => "Set the guidance to 1",
        Refusal::NoRatio { .. } => "Reset the policy's ratio",
        Refusal::TooLarge { .. } => "Choose a smaller size",
        Refusal::Untrained { .. } | Refusal::UnknownPolicy { .. } => "Choose another policy",
        Refusal::UnknownParameter { .. } => "Reset the policy's parameters",
        Refusal::UnknownScheduler { .. } => "Choose another scheduler",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use foveate::Context;

    use super::*;

    #[test]
    fn errors_say_what_to_do() {
        let full = std::io::Error::from(std::io::ErrorKind::StorageFull);
        let error = Err::<(), _>(Error::io("a.png", full)).context(|| "saving the picture").unwrap_err();
        let line = Trouble::of(&error).line();
        assert!(
            line.starts_with("saving the picture: a.png: ") && line.ends_with("Make room on the disk, then retry"),
            "{line}"
        );
        assert_eq!(Trouble::of(&Error::Usage("a count of 0".into())).line(), "a count of 0.");
    }
}
