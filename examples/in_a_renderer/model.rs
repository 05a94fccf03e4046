//! A PixArt model's folder; or the same, grown: with a wider and deeper transformer of random weights, which takes as
//! long as a trained one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use foveate::low_level::rng::Generator;
use foveate::{Error, Result, Source};
use safetensors::{Dtype, SafeTensors, View};
use serde_json::Value;

use crate::options::Options;

const CONFIG: &str = "transformer/config.json";
const WEIGHTS: &str = "transformer/diffusion_pytorch_model.safetensors";
const DECODER: &str = "vae/config.json";
/// As DiT has them.
const HEAD: usize = 64;

/// The model that the options ask for, and the pixels along each side of a token.
pub fn open(options: &Options) -> Result<(Source, usize)> {
    let mut files = BTreeMap::new();
    read(&options.model, "", &mut files)?;
    let (mut config, decoder) = (json(&files, CONFIG)?, json(&files, DECODER)?);
    let levels = decoder["block_out_channels"].as_array().map_or(1, Vec::len);
    let token = number(&config, "patch_size")? << (levels - 1);
    if options.width.is_none() && options.layers.is_none() {
        return Ok((Source::Folder(options.model.clone()), token));
    }
    let (heads, head) = (number(&config, "num_attention_heads")?, number(&config, "attention_head_dim")?);
    let blocks = number(&config, "num_layers")?;
    let (width, layers) = (options.width.unwrap_or(heads * head), options.layers.unwrap_or(blocks));
    let wide = if options.width.is_some() { HEAD } else { head };
    if !width.is_multiple_of(wide) {
        return Err(Error::Usage(format!("--width {width}: it is a multiple of {wide}")));
    }
    for (field, value) in [
        ("attention_head_dim", wide),
        ("num_attention_heads", width / wide),
        ("cross_attention_dim", width),
        ("num_layers", layers),
    ] {
        config[field] = value.into();
    }
    // Routers of a trained model: random ones route nothing well.
    config.as_object_mut().into_iter().for_each(|fields| _ = fields.remove("diffcr"));
    let weights = grown(file(&files, WEIGHTS)?, (heads * head, width), (blocks, layers))?;
    files.insert(CONFIG.into(), config.to_string().into_bytes());
    files.insert(WEIGHTS.into(), weights);
    Ok((Source::Memory(Arc::new(files)), token))
}

fn file<'a>(files: &'a BTreeMap<String, Vec<u8>>, name: &str) -> Result<&'a [u8]> {
    files.get(name).map(Vec::as_slice).ok_or_else(|| Error::file(name, "the model's folder does not have it"))
}

fn json(files: &BTreeMap<String, Vec<u8>>, name: &str) -> Result<Value> {
    serde_json::from_slice(file(files, name)?).map_err(|error| Error::config(name, error.to_string()))
}

fn number(config: &Value, field: &str) -> Result<usize> {
    let found = config[field].as_u64().and_then(|value| value.try_into().ok());
    found.ok_or_else(|| Error::config(CONFIG, format!("{field} is no number")))
}

/// The files of a folder and the folders in it, by their paths.
fn read(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) -> Result<()> {
    let failed = |error| Error::io(folder, error);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = format!("{prefix}{}", path.file_name().unwrap_or_default().to_string_lossy());
        match path.is_dir() {
            true => read(&path, &format!("{name}/"), files)?,
            false => _ = files.insert(name, fs::read(&path).map_err(|error| Error::io(&path, error))?),
        }
    }
    Ok(())
}

/// Random weights of the same names: every side that counts the width of the given transformer counts the new one's, and
/// its blocks come again and again. Matrices keep the variance of what they are given.
fn grown(file: &[u8], (given, width): (usize, usize), (blocks, layers): (usize, usize)) -> Result<Vec<u8>> {
    let broken = |error: safetensors::SafeTensorError| Error::file(WEIGHTS, error.to_string());
    let drawn = Generator::manual_seed(0).randn(262_139);
    let mut tensors = Vec::new();
    for (name, tensor) in SafeTensors::deserialize(file).map_err(broken)?.iter() {
        if name.ends_with("router.weight") {
            continue;
        }
        let side = |&side: &usize| if side.is_multiple_of(given) { side / given * width } else { side };
        let shape: Vec<usize> = tensor.shape().iter().map(side).collect();
        let mut add = |name: String| tensors.push((name, Random { drawn: &drawn, shape: shape.clone() }));
        let block = name.strip_prefix("transformer_blocks.").and_then(|rest| rest.split_once('.'));
        match block.map(|(block, rest)| (block.parse::<usize>(), rest)) {
            Some((Ok(block), rest)) => {
                (block..layers).step_by(blocks).for_each(|layer| add(format!("transformer_blocks.{layer}.{rest}")));
            }
            _ => add(name.to_owned()),
        }
    }
    safetensors::serialize(tensors, None).map_err(broken)
}

/// A tensor that is made when it is written.
struct Random<'a> {
    drawn: &'a [f32],
    shape: Vec<usize>,
}

impl View for Random<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let inputs: usize = self.shape.iter().skip(1).product();
        let scale = (inputs as f32).sqrt().recip();
        let numbers = self.drawn.iter().cycle().take(self.data_len() / 4);
        numbers.flat_map(|number| (number * scale).to_le_bytes()).collect::<Vec<u8>>().into()
    }

    fn data_len(&self) -> usize {
        4 * self.shape.iter().product::<usize>()
    }
}
