//! The tensors that a caller may bring instead of a seed or a prompt.

use std::path::Path;

use foveate::low_level::weights::{Checkpoint, SourceType};
use foveate::{Context, Embeds, Error, Ids, Request, Result, Source, Tensor};

use super::args::Generate;

/// Puts the tensors that `options` name into the request.
pub async fn read(options: &Generate, request: &mut Request) -> Result<()> {
    if let Some(path) = &options.init_latents {
        request.init_latents = Some(latents(path, "latents").await.context(|| "reading --init-latents")?);
    }
    if let Some(path) = &options.image_latents {
        request.image_latents = Some(latents(path, "image_latents").await.context(|| "reading --image-latents")?);
    }
    if let Some(path) = &options.prompt_ids {
        request.prompt_ids = Some(ids(path).await.context(|| "reading --prompt-ids")?);
    }
    if let Some(path) = &options.prompt_embeds {
        request.prompt_embeds = Some(embeds(path).await.context(|| "reading --prompt-embeds")?);
    }
    Ok(())
}

async fn latents(path: &Path, name: &str) -> Result<Tensor> {
    numbers(&open(path).await?, name).await
}

async fn ids(path: &Path) -> Result<Ids> {
    let file = open(path).await?;
    let ids = row(&file, "input_ids").await?;
    let mask = row(&file, "attention_mask").await?;
    let negative = match file.get("negative_input_ids") {
        None => None,
        Some(_) => Some((row(&file, "negative_input_ids").await?, row(&file, "negative_attention_mask").await?)),
    };
    Ok(Ids { ids, mask, negative })
}

async fn embeds(path: &Path) -> Result<Embeds> {
    let file = open(path).await?;
    let embeds = numbers(&file, "prompt_embeds").await?;
    let mask = row(&file, "prompt_attention_mask").await?;
    let negative = match file.get("negative_prompt_embeds") {
        None => None,
        Some(_) => {
            let embeds = numbers(&file, "negative_prompt_embeds").await?;
            Some((embeds, row(&file, "negative_prompt_attention_mask").await?))
        }
    };
    Ok(Embeds { embeds, mask, negative })
}

async fn open(path: &Path) -> Result<Checkpoint> {
    let name = path.file_name().and_then(|name| name.to_str());
    let name = name.ok_or_else(|| Error::file(path.display().to_string(), "is no name of a file"))?;
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    Checkpoint::open_file(&Source::Folder(folder), name).await
}

async fn numbers(file: &Checkpoint, name: &str) -> Result<Tensor> {
    let values = file.read_f32(name).await?;
    Tensor::new(file.get(name).map_or(&[], |info| &info.shape), values)
}

/// The one row of `name [1, S]`: ids, or a mask, which some programs keep as numbers.
async fn row(file: &Checkpoint, name: &str) -> Result<Vec<u32>> {
    let info = file.get(name);
    if let Some(shape) = info.map(|info| &info.shape).filter(|shape| shape.len() != 2 || shape[0] != 1) {
        return Err(Error::tensor(name, format!("the shape should be [1, S], it is {shape:?}")));
    }
    let values = match info.map(|info| info.dtype) {
        Some(SourceType::F32 | SourceType::F16 | SourceType::BF16) => {
            file.read_f32(name).await?.into_iter().map(|value| value as i64).collect()
        }
        _ => file.read_i64(name).await?,
    };
    let fit = |value: i64| u32::try_from(value).map_err(|_| Error::tensor(name, format!("holds {value}")));
    values.into_iter().map(fit).collect()
}
