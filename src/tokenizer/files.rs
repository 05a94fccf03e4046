//! The two files a T5 vocabulary comes in.

use base64::Engine;
use sentencepiece_model::{ModelType, SentencePieceModel};
use serde::Deserialize;
use tokenizers::AddedToken;
use tokenizers::models::unigram::Unigram;

use super::config::{Config, Full};
use crate::weights::Source;
use crate::{Error, Result};

/// What a vocabulary consists of, whichever file it comes from.
pub struct Parts {
    /// The file.
    pub file: String,
    /// Pieces with their scores, and how the likeliest are found.
    pub pieces: Unigram,
    /// Which characters become which before anything else; empty: none.
    pub charsmap: Vec<u8>,
    /// Tokens found in a text before it is split, with the ids stated for them.
    pub added: Vec<(Option<u32>, AddedToken)>,
}

/// The most bytes of either file. The largest published ones of this kind, for a hundred languages, have half of it.
const LARGEST: u64 = 32 << 20;

/// Reads `tokenizer.json` or, where there is none, `spiece.model`.
pub async fn read(source: &Source, folder: &str, config: &Config) -> Result<Parts> {
    for (name, parse) in [("tokenizer.json", from_json as fn(&[u8], &Config) -> _), ("spiece.model", from_spiece)] {
        let file = format!("{folder}/{name}");
        if source.exists(&file).await? {
            let wrong = |reason| Error::file(source.display(&file), reason);
            let (pieces, charsmap, added) = parse(&source.read_up_to(&file, LARGEST).await?, config).map_err(wrong)?;
            return Ok(Parts { file, pieces, charsmap, added });
        }
    }
    Err(Error::file(source.display(folder), "there is neither tokenizer.json nor spiece.model"))
}

/// Pieces, character map, added tokens; or why not.
type Parsed = Result<(Unigram, Vec<u8>, Vec<(Option<u32>, AddedToken)>), String>;

/// What is needed of `tokenizer.json`. The rest describes a pipeline that transformers' `T5Tokenizer` does not look at.
#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    added_tokens: Vec<Stated>,
    normalizer: Option<Normalizer>,
    model: Model,
}

/// A token with its id.
#[derive(Deserialize)]
struct Stated {
    id: u32,
    #[serde(flatten)]
    token: Full,
}

/// A normaliser: older files have others beside the character map, for what splitting does here.
#[derive(Deserialize)]
struct Normalizer {
    precompiled_charsmap: Option<String>,
    #[serde(default)]
    normalizers: Vec<Normalizer>,
}

/// The pieces.
#[derive(Deserialize)]
struct Model {
    vocab: Vec<(String, f64)>,
    unk_id: Option<usize>,
    #[serde(default)]
    byte_fallback: bool,
}

/// Which kind of model it is: the vocabulary of another kind has another form.
#[derive(Deserialize)]
struct Typed {
    model: Kind,
}

#[derive(Deserialize)]
struct Kind {
    #[serde(rename = "type")]
    name: Option<String>,
}

impl Normalizer {
    fn charsmap(&self) -> Option<&str> {
        self.precompiled_charsmap.as_deref().or_else(|| self.normalizers.iter().find_map(Self::charsmap))
    }
}

/// The `tokenizers` library would read the whole file, and panics on some of what may be in it.
fn from_json(bytes: &[u8], _: &Config) -> Parsed {
    let wrong = |e: serde_json::Error| format!("is no tokenizer: {e}");
    let Typed { model: Kind { name } } = serde_json::from_slice(bytes).map_err(wrong)?;
    if name.is_some_and(|name| name != "Unigram") {
        return Err("holds no Unigram model, as T5's is".into());
    }
    let Document { added_tokens, normalizer, model } = serde_json::from_slice(bytes).map_err(wrong)?;
    let charsmap = match normalizer.as_ref().and_then(Normalizer::charsmap) {
        Some(text) => base64::prelude::BASE64_STANDARD
            .decode(text)
            .map_err(|e| format!("the character map is not base64: {e}"))?,
        None => Vec::new(),
    };
    let mut added: Vec<_> = added_tokens.iter().map(|stated| (Some(stated.id), stated.token.added(false))).collect();
    added.sort_by_key(|(id, _)| *id);
    Ok((unigram(model.vocab, model.unk_id, model.byte_fallback)?, charsmap, added))
}

/// A sentencepiece model, with `<extra_id_…>` after its pieces, the last first, as T5 has them.
fn from_spiece(bytes: &[u8], config: &Config) -> Parsed {
    let model = SentencePieceModel::from_slice(bytes).map_err(|e| format!("is no sentencepiece model: {e}"))?;
    let (Some(trainer), Some(normalizer)) = (model.trainer(), model.normalizer()) else {
        return Err("has no trainer or normalizer specification: truncated".into());
    };
    if trainer.model_type() != ModelType::Unigram {
        return Err(format!("is a {} model, T5's is UNIGRAM", trainer.model_type().as_str_name()));
    }
    let pieces = model.pieces().iter().map(|piece| (piece.piece().to_string(), f64::from(piece.score())));
    let extra = (0..config.extra_ids).rev().map(|i| (format!("<extra_id_{i}>"), 0.0));
    let unknown = usize::try_from(trainer.unk_id()).ok();
    let pieces = unigram(pieces.chain(extra).collect(), unknown, trainer.byte_fallback())?;
    Ok((pieces, normalizer.precompiled_charsmap().to_vec(), config.added.clone()))
}

/// The most bytes of one piece, and of all. A piece becomes a chain of nodes as long as itself, which is dropped by
/// recursion and takes some hundred bytes for each of its own.
const LONGEST_PIECE: usize = 256;
const ALL_PIECES: usize = 4 << 20;

/// The model of these pieces, which are looked at first.
fn unigram(pieces: Vec<(String, f64)>, unknown: Option<usize>, byte_fallback: bool) -> Result<Unigram, String> {
    if let Some((piece, score)) = pieces.iter().find(|(piece, score)| piece.is_empty() || !score.is_finite()) {
        return Err(format!("the piece {piece:?} has the score {score}"));
    }
    if let Some((piece, _)) = pieces.iter().find(|(piece, _)| piece.len() > LONGEST_PIECE) {
        return Err(format!("a piece has {} bytes, more than {LONGEST_PIECE}", piece.len()));
    }
    let all: usize = pieces.iter().map(|(piece, _)| piece.len()).sum();
    if all > ALL_PIECES {
        return Err(format!("the pieces have {all} bytes in all, more than {ALL_PIECES}"));
    }
    Unigram::from(pieces, unknown, byte_fallback).map_err(|e| e.to_string())
}
