//! A model folder in memory: configs as diffusers writes them, weights and routers of random numbers. It is loaded as
//! any other, so that what is timed is what generates.

use std::collections::BTreeMap;
use std::sync::Arc;

use foveate::compress::KeptRatios;
use foveate::{Result, Source};
use serde_json::{Value, json};

use super::random_weights;
use super::shape::{CHANNELS, Kind, PATCH, Shape};

/// Timesteps of its training, had there been one.
const TRAIN_TIMESTEPS: usize = 1000;

/// The folder, with routers that save the share `ratio` of the tokens. Fails where the weights are too large to be
/// held.
pub fn folder(shape: &Shape, ratio: f64) -> Result<Source> {
    let pipeline = match shape.kind {
        Kind::Dit => "DiTPipeline",
        Kind::PixArt => "PixArtAlphaPipeline",
    };
    let index = json!({ "_class_name": pipeline });
    let scheduler = json!({ "_class_name": "DDIMScheduler", "num_train_timesteps": TRAIN_TIMESTEPS });
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for (name, config) in [
        ("model_index.json", index),
        ("scheduler/scheduler_config.json", scheduler),
        ("transformer/config.json", transformer(shape, ratio)),
    ] {
        files.insert(name.into(), config.to_string().into_bytes());
    }
    files.insert("transformer/diffusion_pytorch_model.safetensors".into(), random_weights::file(shape)?);
    Ok(Source::Memory(Arc::new(files)))
}

fn transformer(shape: &Shape, ratio: f64) -> Value {
    let &Shape { kind, width, layers, heads, grid, .. } = shape;
    let bins = bins();
    let kept = kept(layers, 1.0 - ratio, &bins);
    let mut config = json!({
        "num_attention_heads": heads,
        "attention_head_dim": width / heads,
        "num_layers": layers,
        "in_channels": CHANNELS[0],
        "out_channels": CHANNELS[1],
        "patch_size": PATCH,
        "sample_size": PATCH * grid.rows.max(grid.columns),
        "diffcr": { "bins": bins, "kept_ratio": kept.rows(), "train_timesteps": TRAIN_TIMESTEPS },
    });
    config["_class_name"] = match kind {
        Kind::Dit => "DiTTransformer2DModel".into(),
        Kind::PixArt => "PixArtTransformer2DModel".into(),
    };
    match kind {
        Kind::Dit => config["num_embeds_ada_norm"] = 1.into(),
        Kind::PixArt => {
            // Text comes as wide as the model: what projects it does not belong to a step.
            config["cross_attention_dim"] = width.into();
            config["use_additional_conditions"] = false.into();
        }
    }
    config
}

/// Every tenth.
fn bins() -> Vec<f64> {
    (1..=10).map(|tenths| f64::from(tenths) / 10.0).collect()
}

/// One region in which the first and last layers keep more than those between, as trained routers do, with a mean as
/// near to `mean` as the bins allow.
fn kept(layers: usize, mean: f64, bins: &[f64]) -> KeptRatios {
    let place = |layer: usize| (layer as f64 + 0.5) / layers as f64;
    let row = (0..layers).map(|layer| 1.0 - 0.4 * (std::f64::consts::PI * place(layer)).sin());
    KeptRatios::new(vec![row.collect()], TRAIN_TIMESTEPS).rescaled(mean, bins)
}

#[cfg(test)]
mod tests {
    use foveate::Model;
    use foveate::compress::{Compression, StepAt};
    use foveate::low_level::device::{Device, Plan};
    use foveate::low_level::pipeline::{PREDICTION, StepSize, TransformerSteps};
    use foveate::{Gpu, LoadOptions, Size};

    use super::*;

    #[test]
    fn the_matrix_saves_what_it_should_and_most_in_the_middle() {
        let bins = bins();
        assert_eq!(kept(4, 0.7, &bins).rows(), [[0.8, 0.6, 0.6, 0.8]]);
        for layers in [1, 2, 3, 4, 8, 28] {
            for ratio in [0.0, 0.1, 0.3, 0.5, 0.75, 0.9] {
                let kept = kept(layers, 1.0 - ratio, &bins);
                assert!((kept.mean() - (1.0 - ratio)).abs() <= 0.1 + 1e-9, "{layers}, {ratio}: {}", kept.mean());
                let row = &kept.rows()[0];
                assert!(row.iter().all(|ratio| bins.contains(ratio) && row[layers / 2] <= *ratio), "{row:?}");
            }
        }
    }

    /// Not a number would be as fast or slow as any other, or not: nobody knows.
    #[test]
    fn what_random_weights_predict_is_finite() {
        pollster::block_on(async {
            let device = Device::from(Gpu::request(Default::default()).await.unwrap());
            for kind in ["pixart", "dit"] {
                let shape: Shape = format!("width=32,layers=12,heads=2,tokens=16,kind={kind}").parse().unwrap();
                let model = Model::open(folder(&shape, 0.3).unwrap(), LoadOptions::default()).await.unwrap();
                let transformer = TransformerSteps::open(&model).await.unwrap();
                let mut store = transformer.load(&device, |_| {}).await.unwrap();
                let size = StepSize { batch: 2, latents: Size::square(8), text: 5 };
                transformer.insert_inputs(&device, &mut store, size).await.unwrap();
                let policies = &model.registry().policies;
                let policy = policies.policy(&Compression::default(), &transformer.trained, 0, false).unwrap();
                let step = policy.step(StepAt { index: 0, of: 1, timestep: 500.0, tokens: 16 });
                let given = transformer.given(size).await.unwrap();
                let graphs = [transformer.step(size, &given, &step).unwrap()];
                store.allocate_missing(&device, &graphs[0]).await.unwrap();
                let plans = Plan::compile_pooled(&device, &graphs, &store).await.unwrap();
                plans[0].run(&device).unwrap();
                let prediction = store.read(&device, PREDICTION).await.unwrap();
                let square = prediction.f32().iter().map(|value| value * value).sum::<f32>() / 1024.0;
                assert_eq!((prediction.shape.as_slice(), policy.name()), (&[2, 8, 8, 8][..], "diffcr"));
                assert!((1e-2..1e2).contains(&square), "{kind}: mean square {square}");
            }
        });
    }
}
