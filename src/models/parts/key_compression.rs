//! KV token compression as PixArt-Σ trains it (arXiv 2403.04692): in some layers keys and values are pooled over
//! squares of the token grid, while queries stay as they are.

use serde_json::json;

use super::layers::LayerNorm;
use crate::compress::Sampling;
use crate::graph::{Graph, ValueId, Weight};
use crate::kernels::{Columns, PoolKind, Pooling, pool_tokens};
use crate::loading::{Fields, Scope};
use crate::{Grid, Result};

/// `"kv_compress_config"` in `transformer/config.json`, where it asks for anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyCompressionConfig {
    /// None: by a convolution, whose weights are in the checkpoint.
    pub sampling: Option<Sampling>,
    /// Tokens along the side of a square that becomes one key.
    pub stride: usize,
    /// The layers it applies to.
    pub layers: Vec<usize>,
}

impl KeyCompressionConfig {
    /// Reads the object, for a model of so many layers. As in the authors' code no layers, or a scale factor of 1, are
    /// no compression.
    pub fn read(mut fields: Fields, layers: usize) -> Result<Option<Self>> {
        let sampling: Option<String> = fields.optional("sampling")?;
        let stride = fields.count("scale_factor", 1)?;
        let compressed: Vec<usize> = fields.take("kv_compress_layer", Vec::new())?;
        let sampling = match sampling.as_deref() {
            Some("conv") => Some(None),
            // Nearest neighbour, in the authors' code: see [`PoolKind`].
            Some("uniform" | "ave") => Some(Some(Sampling::Uniform)),
            Some("average") => Some(Some(Sampling::Average)),
            None => None,
            Some(other) => {
                let why = "it is \"conv\", \"uniform\", \"ave\" or \"average\"";
                return Err(fields.refuse("sampling", &json!(other), why));
            }
        };
        if let Some(layer) = compressed.iter().find(|layer| **layer >= layers) {
            let why = format!("the model has layers 0 to {}", layers - 1);
            return Err(fields.refuse("kv_compress_layer", &json!(layer), &why));
        }
        match sampling {
            _ if stride == 1 || compressed.is_empty() => fields.finish().map(|()| None),
            None => {
                Err(fields.refuse("sampling", &json!(null), "there are layers to compress, but it is not said how"))
            }
            Some(sampling) => {
                fields.finish()?;
                Ok(Some(Self { sampling, stride, layers: compressed }))
            }
        }
    }
}

/// The compression of one layer's keys and values, which share it.
#[derive(Clone, Debug)]
pub struct KeyCompression {
    stride: usize,
    how: How,
}

#[derive(Clone, Debug)]
enum How {
    Sampling(Sampling),
    Convolution(Box<Convolution>),
}

/// Depthwise over the grid, then a norm of each token.
#[derive(Clone, Debug)]
struct Convolution {
    weight: Weight,
    bias: Weight,
    norm: LayerNorm,
}

impl KeyCompression {
    /// `sr` and `norm` of an attention of this width, where the config says that a convolution compresses.
    pub fn load(scope: &mut Scope<'_>, config: &KeyCompressionConfig, width: usize) -> Result<Self> {
        let stride = config.stride;
        let how = match config.sampling {
            Some(sampling) => How::Sampling(sampling),
            None => {
                let mut sr = scope.within("sr");
                How::Convolution(Box::new(Convolution {
                    // Small in size and large in effect: in f32 whatever `--dtype` says.
                    weight: sr.vector("weight", &[width, 1, stride, stride])?,
                    bias: sr.vector("bias", &[width])?,
                    norm: LayerNorm::load(scope, "norm", width, 1e-5, true)?,
                }))
            }
        };
        Ok(Self { stride, how })
    }

    /// Keys and values of `qkv [B, h·w, 3·C]`, each C columns of some `[B, ⌊h/R⌋·⌊w/R⌋, …]`.
    pub fn forward(&self, graph: &mut Graph, qkv: ValueId, grid: Grid) -> Result<[Columns; 2]> {
        let stride = self.stride;
        match &self.how {
            How::Sampling(sampling) => {
                let (width, kind) = (graph.shape(qkv)[2] / 3, sampling.kind());
                let keys = Columns { value: qkv, offset: width };
                let value = pool_tokens(graph, keys, 2 * width, grid, Pooling { stride, kind })?;
                Ok([0, width].map(|offset| Columns { value, offset }))
            }
            How::Convolution(convolution) => {
                let width = graph.shape(qkv)[2] / 3;
                let of = |part: usize| Columns { value: qkv, offset: part * width };
                let keys = convolution.forward(graph, of(1), width, grid, stride)?;
                Ok([keys, convolution.forward(graph, of(2), width, grid, stride)?])
            }
        }
    }
}

impl Convolution {
    fn forward(&self, graph: &mut Graph, tokens: Columns, width: usize, grid: Grid, stride: usize) -> Result<Columns> {
        let (weight, bias) = (self.weight.in_graph(graph), Some(self.bias.in_graph(graph)));
        let how = Pooling { stride, kind: PoolKind::Convolution { weight, bias } };
        let pooled = pool_tokens(graph, tokens, width, grid, how)?; // [B, ⌊h/R⌋·⌊w/R⌋, C]
        Ok(Columns { value: self.norm.forward(graph, pooled)?, offset: 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<Option<KeyCompressionConfig>> {
        KeyCompressionConfig::read(Fields::parse("config.json: kv_compress_config", json.as_bytes())?, 28)
    }

    #[test]
    fn reads_what_the_authors_write() {
        let published = r#"{"sampling": "conv", "scale_factor": 2, "kv_compress_layer": [14, 15, 27]}"#;
        let expected = KeyCompressionConfig { sampling: None, stride: 2, layers: vec![14, 15, 27] };
        assert_eq!(read(published).unwrap(), Some(expected));
        for (name, sampling) in
            [("uniform", Sampling::Uniform), ("ave", Sampling::Uniform), ("average", Sampling::Average)]
        {
            let json = format!(r#"{{"sampling": "{name}", "scale_factor": 4, "kv_compress_layer": [0]}}"#);
            let expected = KeyCompressionConfig { sampling: Some(sampling), stride: 4, layers: vec![0] };
            assert_eq!(read(&json).unwrap(), Some(expected), "{name}");
        }
        for nothing in [
            "{}",
            r#"{"sampling": null, "scale_factor": 1, "kv_compress_layer": []}"#,
            r#"{"sampling": "conv", "scale_factor": 2, "kv_compress_layer": []}"#,
            r#"{"sampling": "conv", "scale_factor": 2, "kv_compress_layer": null}"#,
            r#"{"sampling": "conv", "scale_factor": 1, "kv_compress_layer": [3]}"#,
        ] {
            assert_eq!(read(nothing).unwrap(), None, "{nothing}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (sampling, factor, layers, reason) in [
            (r#""uniform_every""#, "2", "[14]", "sampling = \"uniform_every\": it is \"conv\", \"uniform\""),
            ("null", "2", "[14]", "sampling = null: there are layers to compress"),
            (r#""conv""#, "0", "[14]", "scale_factor = 0: must be at least 1"),
            (r#""conv""#, "1.5", "[14]", "scale_factor = 1.5"),
            (r#""conv""#, "2", "[14, 28]", "kv_compress_layer = 28: the model has layers 0 to 27"),
            (r#""conv""#, "2", "[-1]", "kv_compress_layer = [-1]"),
            (r#""conv""#, "2", r#"[14], "qk_norm": true"#, "qk_norm = true: this engine does not know"),
            ("null", "1", r#"[], "twist": 3"#, "twist = 3: this engine does not know"),
        ] {
            let json =
                format!(r#"{{"sampling": {sampling}, "scale_factor": {factor}, "kv_compress_layer": {layers}}}"#);
            let error = read(&json).unwrap_err().to_string();
            assert!(error.starts_with("config.json: kv_compress_config: ") && error.contains(reason), "{error}");
        }
    }
}
