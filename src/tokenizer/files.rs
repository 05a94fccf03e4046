//! The two files a T5 vocabulary comes in.

use base64::Engine;
use sentencepiece_model::{ModelType, SentencePieceModel};
use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::{NormalizerWrapper, Precompiled};
use tokenizers::{AddedToken, ModelWrapper};

use super::config::Config;
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

/// Reads `tokenizer.json` or, where there is none, `spiece.model`.
pub async fn read(source: &Source, folder: &str, config: &Config) -> Result<Parts> {
    for (name, parse) in [("tokenizer.json", from_json as fn(&[u8], &Config) -> _), ("spiece.model", from_spiece)] {
        let file = format!("{folder}/{name}");
        if source.exists(&file).await? {
            let (pieces, charsmap, added) = parse(&source.read(&file).await?, config)
                .map_err(|reason| Error::file(source.display(&file), reason))?;
            return Ok(Parts { file, pieces, charsmap, added });
        }
    }
    Err(Error::file(source.display(folder), "there is neither tokenizer.json nor spiece.model"))
}

/// Pieces, character map, added tokens; or why not.
type Parsed = Result<(Unigram, Vec<u8>, Vec<(Option<u32>, AddedToken)>), String>;

fn from_json(bytes: &[u8], _: &Config) -> Parsed {
    let whole = tokenizers::Tokenizer::from_bytes(bytes).map_err(|e| format!("is no tokenizer: {e}"))?;
    let ModelWrapper::Unigram(pieces) = whole.get_model() else {
        return Err("holds no Unigram model, as T5's is".into());
    };
    let charsmap = match whole.get_normalizer().and_then(precompiled) {
        Some(map) => charsmap(map)?,
        None => Vec::new(),
    };
    let mut added: Vec<_> = whole.get_added_tokens_decoder().into_iter().map(|(id, token)| (Some(id), token)).collect();
    added.sort_by_key(|(id, _)| *id);
    Ok((pieces.clone(), charsmap, added))
}

/// The character map among the normalisers: older files have others beside it, for what splitting does here.
fn precompiled(normalizer: &NormalizerWrapper) -> Option<&Precompiled> {
    match normalizer {
        NormalizerWrapper::Precompiled(map) => Some(map),
        NormalizerWrapper::Sequence(sequence) => sequence.as_ref().iter().find_map(precompiled),
        _ => None,
    }
}

/// The bytes of a character map, which shows them only as it writes them to JSON.
fn charsmap(map: &Precompiled) -> Result<Vec<u8>, String> {
    let json = serde_json::to_value(map).map_err(|e| e.to_string())?;
    let text = json["precompiled_charsmap"].as_str().unwrap_or_default();
    base64::prelude::BASE64_STANDARD.decode(text).map_err(|e| format!("the character map is not base64: {e}"))
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
    let pieces =
        Unigram::from(pieces.chain(extra).collect(), unknown, trainer.byte_fallback()).map_err(|e| e.to_string())?;
    Ok((pieces, normalizer.precompiled_charsmap().to_vec(), config.added.clone()))
}
