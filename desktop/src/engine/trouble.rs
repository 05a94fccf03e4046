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
    /// Of an error of a model or a device, and its causes.
    pub fn of(error: &Error) -> Self {
        Self::new(error, advice(error))
    }

    /// Of an error of any other file, of a picture or a program, and its causes.
    pub fn of_file(error: &Error) -> Self {
        Self::new(error, of_storage(error))
    }

    /// Of an error of a file that the app keeps for its next start, and tries to write again by itself.
    pub fn of_kept(error: &Error) -> Self {
        Self::new(error, of_storage(error).map(|_| "Make room on the disk; it is then kept by itself"))
    }

    /// Of an error of a finished picture's file, which the app holds and tries to write again by itself.
    pub fn of_unsaved(error: &Error) -> Self {
        Self::new(error, of_storage(error).map(|_| "Make room on the disk; the picture is then saved by itself"))
    }

    fn new(error: &Error, advice: Option<&str>) -> Self {
        Self { what: error.chain().join(": "), advice: advice.map(str::to_owned) }
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
        Error::DeviceLost(_) => "Try again: another device is opened",
        Error::OutOfMemory(_) | Error::MemoryLimit { .. } => {
            "Choose a smaller size, or store the model as int8 on the page Models"
        }
        Error::Limit { .. } => "Choose a smaller size, or the processor on the page Models",
        Error::NoAdapter(_) => "Choose the processor on the page Models",
        Error::Io { path, source } if source.kind() == std::io::ErrorKind::NotFound => {
            match path.ends_with("model_index.json") || path.extension().is_none() {
                true => "Choose a folder in the layout that diffusers saves: it has a model_index.json",
                false => "Copy the model's folder again, with all its files, or choose another on the page Models",
            }
        }
        Error::File { .. } | Error::Config { .. } | Error::Tensor { .. } => {
            "The model's files are damaged or of another kind; choose another model on the page Models"
        }
        Error::NotFinite { .. } => "Lower the guidance, or choose another scheduler",
        _ => return of_storage(error),
    })
}

fn of_storage(error: &Error) -> Option<&'static str> {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    let full = [StorageFull, QuotaExceeded, FileTooLarge];
    let full = matches!(error.root(), Error::Io { source, .. } if full.contains(&source.kind()));
    full.then_some("Make room on the disk, then retry")
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
        Refusal::NeedsImage { .. } => "Choose a picture to begin with",
        Refusal::NeedsMask => "Choose a picture to begin with, and paint a mask on it",
        Refusal::NothingMasked => "Paint a mask, or compute more than the mask",
        Refusal::NotMasked { .. } => "Choose the policy dense, or compute more than the mask",
        Refusal::NoLevels { .. } => "Choose another scheduler, or begin without a picture",
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
        let full = std::io::Error::from(std::io::ErrorKind::QuotaExceeded);
        let error = Err::<(), _>(Error::io("a.png", full)).context(|| "saving the picture").unwrap_err();
        let line = Trouble::of(&error).line();
        assert!(
            line.starts_with("saving the picture: a.png: ") && line.ends_with("Make room on the disk, then retry"),
            "{line}"
        );
        assert_eq!(Trouble::of_file(&error).line(), line);
        assert_eq!(Trouble::of(&Error::Usage("a count of 0".into())).line(), "a count of 0.");
    }

    #[test]
    fn a_missing_folder_is_another_than_a_missing_file() {
        let absent = |path: &str| {
            let error = Error::io(path, std::io::Error::from(std::io::ErrorKind::NotFound));
            Trouble::of(&error).advice.unwrap()
        };
        assert!(absent("m/model_index.json").contains("it has a model_index.json"));
        assert!(absent("m/vae/config.json").starts_with("Copy the model's folder again"));
    }

    #[test]
    fn a_picture_gets_no_advice_about_models() {
        let absent = std::io::Error::from(std::io::ErrorKind::NotFound);
        for error in [Error::io("a.png", absent), Error::file("a.png", "no PNG")] {
            let (of_model, of_file) = (Trouble::of(&error), Trouble::of_file(&error));
            assert_eq!(of_file.what, of_model.what);
            assert!(of_model.advice.is_some() && of_file.advice.is_none(), "{of_model:?} {of_file:?}");
        }
    }
}
