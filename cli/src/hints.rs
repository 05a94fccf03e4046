//! Which option to type, for what the library says about a request. The library itself knows no options.

use foveate::{Error, Refusal, Warning};

/// What to type instead, where a request cannot be met.
pub fn of_error(error: &Error) -> Option<&'static str> {
    let refusal = match error.root() {
        Error::Refused(refusal) => refusal,
        Error::MemoryLimit { .. } | Error::OutOfMemory(_) => return Some("give --dtype int8, or a smaller --size"),
        Error::NotFinite { .. } => return Some("give --exact, if the GPU multiplies in f16"),
        _ => return None,
    };
    Some(match refusal {
        Refusal::NeedsClass => "give --class N, not a prompt",
        Refusal::TakesNoPrompt => "give --class N alone",
        Refusal::TakesNoClass => "give a prompt, not --class",
        Refusal::NoTokenizer => "give --prompt-ids or --prompt-embeds",
        Refusal::NoTextEncoder => "give --prompt-embeds",
        Refusal::NoNullClass { .. } => "give --guidance 1",
        Refusal::NoRatio { .. } => "leave out --ratio",
        Refusal::UnknownParameter { .. } => "`foveate generate --help` lists what --set knows",
        Refusal::Untrained { .. } => "`foveate inspect` lists the policies that a model can run",
        Refusal::NeedsImage { .. } => "give --image",
        Refusal::NeedsMask => "give --image and --mask",
        Refusal::NothingMasked => "give --image and --mask, or leave out --masked",
        Refusal::NotMasked { .. } => "leave out --masked, or give --compress dense",
        // The others say enough.
        _ => return None,
    })
}

/// A warning, and what to type to avoid it.
pub fn warning(warning: &Warning) -> String {
    match warning {
        Warning::NothingMerges { multiple: Some(2..), .. } => format!("{warning}; give --set multiple=1"),
        warning => warning.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use foveate::Context;

    use super::*;

    #[test]
    fn hints_name_options() {
        let refused = Err::<(), _>(Error::Refused(Refusal::NoTextEncoder)).context(|| "preparing").unwrap_err();
        assert_eq!(of_error(&refused), Some("give --prompt-embeds"));
        assert_eq!(of_error(&Error::Cancelled), None);
        let told = |multiple| warning(&Warning::NothingMerges { tokens: 16, multiple });
        assert!(
            told(Some(16)).ends_with("16 windows or tokens of 16 to merge; give --set multiple=1"),
            "{}",
            told(Some(16))
        );
        assert!(told(Some(1)).ends_with("of 16 to merge"), "{}", told(Some(1)));
        let cut = Warning::PromptCut { most: 120, cut: "a fox".into() };
        assert_eq!(warning(&cut), cut.to_string());
    }
}
