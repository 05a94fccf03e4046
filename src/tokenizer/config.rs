//! What the JSON files beside a tokenizer say: its class, its named tokens, the tokens added to it.

use std::collections::{BTreeMap, HashSet};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokenizers::AddedToken;

use crate::weights::Source;
use crate::{Error, Result};

/// How many `<extra_id_…>` T5 has where nothing is said, and how many are believed.
const EXTRA_IDS: usize = 100;
const MOST_EXTRA_IDS: usize = 10_000;

/// The settings of a tokenizer folder.
#[derive(Debug)]
pub struct Config {
    /// The end token.
    pub eos: String,
    /// The padding token.
    pub pad: String,
    /// How many `<extra_id_…>` follow the pieces of `spiece.model`.
    pub extra_ids: usize,
    /// Tokens to be found in a text before it is split, with the ids stated for them. For `spiece.model`:
    /// `tokenizer.json` has its own.
    pub added: Vec<(Option<u32>, AddedToken)>,
}

/// `tokenizer_config.json` and, with the same names, the older `special_tokens_map.json`.
#[derive(Default, Deserialize)]
struct Document {
    tokenizer_class: Option<String>,
    eos_token: Option<Token>,
    pad_token: Option<Token>,
    unk_token: Option<Token>,
    extra_ids: Option<usize>,
    additional_special_tokens: Option<Vec<Token>>,
    added_tokens_decoder: Option<BTreeMap<u32, Token>>,
}

/// A token by its text alone, or with how it is to be found.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Token {
    Text(String),
    Full(Full),
}

/// A token with how it is to be found in a text.
#[derive(Clone, Deserialize)]
pub struct Full {
    content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    normalized: Option<bool>,
    special: Option<bool>,
}

impl Token {
    fn text(&self) -> &str {
        let (Self::Text(content) | Self::Full(Full { content, .. })) = self;
        content
    }

    /// The token as `special` unless it says otherwise; special ones are found in the text as it was written.
    fn added(&self, special: bool) -> AddedToken {
        match self {
            Self::Text(content) => AddedToken::from(content, special),
            Self::Full(full) => full.added(special),
        }
    }
}

impl Full {
    /// The token as `special` unless it says otherwise.
    pub fn added(&self, special: bool) -> AddedToken {
        let Self { content, single_word, lstrip, rstrip, normalized, special: own } = self;
        let token = AddedToken::from(content, own.unwrap_or(special));
        let normalized = normalized.unwrap_or(token.normalized);
        token.single_word(*single_word).lstrip(*lstrip).rstrip(*rstrip).normalized(normalized)
    }
}

/// Reads the settings of the tokenizer in `folder`; each file may be absent.
pub async fn read(source: &Source, folder: &str) -> Result<Config> {
    let file = format!("{folder}/tokenizer_config.json");
    let config: Document = json(source, &file).await?.unwrap_or_default();
    let class = config.tokenizer_class.as_deref().unwrap_or("T5Tokenizer");
    if !matches!(class, "T5Tokenizer" | "T5TokenizerFast") {
        let reason = format!("the tokenizer_class {class} is not implemented; T5Tokenizer is");
        return Err(Error::config(source.display(&file), reason));
    }

    // Where the newer file lists all added tokens, transformers does not look at the older files.
    let (older, ids): (Document, BTreeMap<String, u32>) = match config.added_tokens_decoder {
        Some(_) => Default::default(),
        None => (
            json(source, &format!("{folder}/special_tokens_map.json")).await?.unwrap_or_default(),
            json(source, &format!("{folder}/added_tokens.json")).await?.unwrap_or_default(),
        ),
    };
    let named = |older: Option<Token>, newer: Option<Token>, default: &str| {
        older.or(newer).unwrap_or_else(|| Token::Text(default.into()))
    };
    let pad = named(older.pad_token, config.pad_token, "<pad>");
    let eos = named(older.eos_token, config.eos_token, "</s>");
    let unk = named(older.unk_token, config.unk_token, "<unk>");
    let extra_ids = config.extra_ids.unwrap_or(EXTRA_IDS);
    if extra_ids > MOST_EXTRA_IDS {
        return Err(Error::config(
            source.display(&file),
            format!("{extra_ids} extra_ids are more than {MOST_EXTRA_IDS}"),
        ));
    }
    let extra = (0..extra_ids).map(|i| Token::Text(format!("<extra_id_{i}>")));
    let additional = older.additional_special_tokens.or(config.additional_special_tokens).unwrap_or_default();

    let mut added: Vec<(Option<u32>, AddedToken)> = (config.added_tokens_decoder.unwrap_or_default().into_iter())
        .map(|(id, token)| (Some(id), token.added(false)))
        .collect();
    let mut seen: HashSet<String> = added.iter().map(|(_, token)| token.content.clone()).collect();
    for token in [pad.clone(), eos.clone(), unk].into_iter().chain(additional).chain(extra) {
        if seen.insert(token.text().into()) {
            added.push((ids.get(token.text()).copied(), token.added(true)));
        }
    }
    let mut plain: Vec<_> = ids.into_iter().filter(|(name, _)| !seen.contains(name)).collect();
    plain.sort_by_key(|(_, id)| *id);
    added.extend(plain.into_iter().map(|(name, id)| (Some(id), AddedToken::from(name, false))));
    Ok(Config { eos: eos.text().into(), pad: pad.text().into(), extra_ids, added })
}

/// The JSON document `file`, where there is one.
async fn json<T: DeserializeOwned>(source: &Source, file: &str) -> Result<Option<T>> {
    if !source.exists(file).await? {
        return Ok(None);
    }
    let bytes = source.read_config(file).await?;
    serde_json::from_slice(&bytes).map(Some).map_err(|e| Error::config(source.display(file), e.to_string()))
}
