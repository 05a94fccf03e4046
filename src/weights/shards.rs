//! Which files a checkpoint is made of: one, or the shards that an index lists.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::header::{self, Unique};
use super::source::stays_inside;
use super::{Source, TensorInfo};
use crate::{Error, Result};

/// The most bytes of an index. The longest published ones have a tenth of it.
const LARGEST_INDEX: u64 = 8 << 20;

/// The tensors of the checkpoint `stem` in `folder` under whichever name `save_pretrained` gave it; with the fp16
/// variant last, so that it is taken only where it is alone.
pub async fn read(source: &Source, folder: &str, stem: &str) -> Result<Vec<(String, TensorInfo)>> {
    let path = |name: &str| if folder.is_empty() { name.to_string() } else { format!("{folder}/{name}") };
    for (single, index) in [
        (format!("{stem}.safetensors"), format!("{stem}.safetensors.index.json")),
        (format!("{stem}.fp16.safetensors"), format!("{stem}.safetensors.index.fp16.json")),
    ] {
        if source.exists(&path(&single)).await? {
            return header::read(source, &path(&single)).await;
        }
        if source.exists(&path(&index)).await? {
            return sharded(source, folder, &path(&index)).await;
        }
    }
    let mut reason = format!("there is neither {stem}.safetensors nor {stem}.safetensors.index.json");
    for pickled in ["diffusion_pytorch_model.bin", "pytorch_model.bin", "pytorch_model.bin.index.json"] {
        if source.exists(&path(pickled)).await? {
            reason +=
                &format!("; {pickled} is a pickle, which is not read: save it again with safe_serialization=True");
            break;
        }
    }
    Err(Error::file(source.display(folder), reason))
}

/// The tensors an index lists, each from the shard it is said to be in, in the order of shards.
async fn sharded(source: &Source, folder: &str, index: &str) -> Result<Vec<(String, TensorInfo)>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: Unique<String>,
    }
    let wrong = |reason: String| Error::file(source.display(index), reason);
    let Index { weight_map: Unique(listed) } = serde_json::from_slice(&source.read_up_to(index, LARGEST_INDEX).await?)
        .map_err(|e| wrong(format!("is no index of shards: {e}")))?;

    let mut shards: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (tensor, shard) in &listed {
        if !stays_inside(shard) {
            return Err(wrong(format!("tensor {tensor}: the shard {shard:?} leaves the model folder")));
        }
        shards.entry(shard).or_default().insert(tensor);
    }

    let mut tensors = Vec::with_capacity(listed.len());
    for (shard, names) in shards {
        let file = if folder.is_empty() { shard.to_string() } else { format!("{folder}/{shard}") };
        let first = names.first().copied().unwrap_or_default();
        if !source.exists(&file).await? {
            return Err(wrong(format!("the shard {shard}, which holds {first}, is missing")));
        }
        let mut held: HashMap<_, _> = header::read(source, &file).await?.into_iter().collect();
        let mut found = Vec::with_capacity(names.len());
        for name in names {
            let Some(info) = held.remove(name) else {
                return Err(wrong(format!("tensor {name} is said to be in {shard}, which does not hold it")));
            };
            found.push((name.to_string(), info));
        }
        if let Some(name) = held.keys().min() {
            log::warn!(
                "{}: holds {} tensors that the index does not list, {name} first",
                source.display(&file),
                held.len()
            );
        }
        found.sort_by_key(|(_, info)| info.offset);
        tensors.extend(found);
    }
    Ok(tensors)
}
