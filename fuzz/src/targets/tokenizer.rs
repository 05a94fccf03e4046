//! The files of a tokenizer, and a prompt.

use foveate::low_level::tokenizer::Tokenizer;
use pollster::block_on;

use super::folder;
use crate::archive::Archive;
use crate::goldens::tokenizers;
use crate::outcome;

const PROMPTS: [&str; 4] = [
    "  A red Fox in the snow, by the sea at night ",
    "e\u{301}\u{1}\u{200d}ﬁ ｆｏｘ\u{3000}½ \u{feff}🏠🏽 <extra_id_0></s> <pad>  x",
    "\u{fffd}\u{10ffff} ▁▁ a\u{300}\u{301}\u{302}",
    "",
];

pub fn run(data: &[u8]) {
    let archive = Archive::parse(data);
    block_on(async {
        match Tokenizer::load(&folder::source(&archive, tokenizers()), "tokenizer").await {
            Err(error) => outcome::failed(&error),
            Ok(tokenizer) => {
                let prompt = String::from_utf8_lossy(archive.get("prompt").unwrap_or_default());
                for text in PROMPTS.iter().copied().chain([&prompt[..]]) {
                    encode(&tokenizer, text);
                }
            }
        }
    });
}

fn encode(tokenizer: &Tokenizer, text: &str) {
    for length in [0, 1, 17, 300] {
        match tokenizer.encode(text, length) {
            Err(error) => outcome::failed(&error),
            Ok(encoded) => {
                assert_eq!((encoded.ids.len(), encoded.mask.len()), (length, length));
                assert!(encoded.ids.iter().all(|&id| (id as usize) < tokenizer.ids()), "an id beyond the vocabulary");
                outcome::reached(if encoded.truncated.is_some() { "cut" } else { "whole" });
            }
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for (name, files) in tokenizers() {
        for (file, bytes) in files {
            // A large vocabulary is searched for long before anything in it matters.
            if bytes.len() < 300_000 || file.ends_with(".model") {
                let archive = Archive::default().with("base", name.as_str()).with("prompt", "a red fox");
                seeds.push(archive.with(file, &bytes[..]).bytes());
            }
        }
    }
    seeds
}
