//! T5's tokenizer: text to the ids that transformers gives, from `tokenizer.json` or from `spiece.model`.
//!
//! Both files hold the same three things: pieces with scores, a character map, tokens found before anything else. The
//! pipeline around them is fixed by transformers' `T5Tokenizer`, whichever file they come from, so it is built here
//! once: characters mapped, words split at white space, `▁` before each, the likeliest pieces of each word.

use tokenizers::AddedToken;
use tokenizers::normalizers::Precompiled;
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::whitespace::WhitespaceSplit;

use crate::weights::Source;
use crate::{Error, Refusal, Result};

mod charsmap;
mod config;
mod files;

/// Turns text into ids of fixed length.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    pipeline: tokenizers::Tokenizer,
    /// The token that ends a text, and the one that fills what is left.
    end: u32,
    pad: u32,
}

/// A text as ids, all of one length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Tokens, the end token, padding.
    pub ids: Vec<u32>,
    /// 1 for tokens and the end, 0 for padding.
    pub mask: Vec<u32>,
    /// The end of the text, where it was too long and cut off.
    pub truncated: Option<String>,
}

impl Tokenizer {
    /// Loads the tokenizer of a model from `folder`, usually `"tokenizer"`.
    pub async fn load(source: &Source, folder: &str) -> Result<Self> {
        let config = config::read(source, folder).await?;
        let parts = files::read(source, folder, &config).await?;
        let wrong = |reason: String| Error::file(source.display(&parts.file), reason);

        let mut pipeline = tokenizers::Tokenizer::new(parts.pieces);
        if !parts.charsmap.is_empty() {
            charsmap::check(&parts.charsmap).map_err(|reason| wrong(format!("the character map {reason}")))?;
            let map = Precompiled::from(&parts.charsmap).map_err(|e| wrong(e.to_string()))?;
            let mapped = |token: &AddedToken| map.normalize_string(&token.content);
            check_added(&parts.added, mapped).map_err(wrong)?;
            pipeline.with_normalizer(Some(map)).map_err(|e| wrong(e.to_string()))?;
        } else {
            check_added(&parts.added, |token| token.content.clone()).map_err(wrong)?;
        }
        pipeline.with_pre_tokenizer(Some(Sequence::new(vec![
            PreTokenizerWrapper::WhitespaceSplit(WhitespaceSplit),
            Metaspace::new('▁', PrependScheme::Always, true).into(),
        ])));
        pipeline.add_tokens(parts.added.iter().map(|(_, token)| token.clone())).map_err(|e| wrong(e.to_string()))?;
        for (stated, token) in &parts.added {
            let (name, found) = (&token.content, pipeline.token_to_id(&token.content));
            if stated.is_some() && *stated != found {
                let ids = [*stated, found].map(|id| id.map_or("none".to_string(), |id| id.to_string()));
                return Err(wrong(format!("the token {name} should have the id {}, it has {}", ids[0], ids[1])));
            }
        }
        let id = |field, name: &str| {
            let id = pipeline.token_to_id(name);
            id.ok_or_else(|| wrong(format!("the {field} {name} is not in the vocabulary")))
        };
        let (end, pad) = (id("eos_token", &config.eos)?, id("pad_token", &config.pad)?);
        Ok(Self { pipeline, end, pad })
    }

    /// How many ids there are: the largest that a text can be given, and one.
    pub fn ids(&self) -> usize {
        self.pipeline.get_vocab_size(true)
    }

    /// `text` as `max_length` ids, as transformers does it with `padding="max_length", truncation=True`: the end token
    /// is always there, in the last place if need be.
    pub fn encode(&self, text: &str, max_length: usize) -> Result<Encoded> {
        let Some(room) = max_length.checked_sub(1) else {
            return Err(untokenisable("0 tokens have no room for the end token"));
        };
        let encoding = self.pipeline.encode(text, false).map_err(|error| untokenisable(error.to_string()))?;
        let cut = encoding.get_offsets().get(room).map(|&(start, _)| start);
        let truncated = cut.map(|start| text.get(start..).unwrap_or(text).trim().to_string());
        let mut ids = encoding.get_ids().to_vec();
        ids.truncate(room);
        ids.push(self.end);
        let mut mask = vec![1; ids.len()];
        ids.resize(max_length, self.pad);
        mask.resize(max_length, 0);
        Ok(Encoded { ids, mask, truncated })
    }
}

/// The most bytes of an added token, and the most of them. T5 has a hundred.
const LONGEST_ADDED: usize = 256;
const MOST_ADDED: usize = 1 << 14;

/// Refuses added tokens that the library would choke on when it finds them in a prompt: one that begins with white
/// space and takes all white space before it besides begins, where another token took that already, after its own end.
fn check_added(added: &[(Option<u32>, AddedToken)], mapped: impl Fn(&AddedToken) -> String) -> Result<(), String> {
    if added.len() > MOST_ADDED {
        return Err(format!("there are {} added tokens, more than {MOST_ADDED}", added.len()));
    }
    for (_, token) in added {
        let name = &token.content;
        if name.len() > LONGEST_ADDED {
            return Err(format!("an added token has {} bytes, more than {LONGEST_ADDED}", name.len()));
        }
        if token.lstrip && (name.starts_with(char::is_whitespace) || mapped(token).starts_with(char::is_whitespace)) {
            return Err(format!("the token {name:?} begins with the white space that its lstrip takes away"));
        }
    }
    Ok(())
}

fn untokenisable(reason: impl Into<String>) -> Error {
    Refusal::Untokenisable { reason: reason.into() }.into()
}
