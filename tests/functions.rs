//! Small parts against torch and transformers: T5 alone, positions, activations.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::{Tensors, close, golden, gpu, json};
use foveate::config::Fields;
use foveate::graph::{Graph, Memory, Plan, Store};
use foveate::kernels::Activation;
use foveate::models::Loader;
use foveate::models::patch_embed::positions;
use foveate::models::t5::{Config, T5};
use foveate::weights::{Checkpoint, Source};
use pollster::block_on;

#[test]
fn t5_equals_transformers() {
    for name in ["gated", "relu", "buckets"] {
        let folder = golden("t5").join(name);
        let inputs = Tensors::read(&folder.join("inputs.safetensors"));
        let expected = Tensors::read(&folder.join("expected.safetensors"));
        let ids = inputs.get("input_ids");
        let (batch, length) = (ids.shape[0], ids.shape[1]);
        let rows = |name: &str| inputs.get(name).u32().chunks(length).map(<[u32]>::to_vec).collect::<Vec<_>>();
        let found = block_on(async {
            let (gpu, source) = (gpu(), Source::Folder(folder.clone()));
            let config = Config::read(Fields::read(&source, "text_encoder/config.json").await.unwrap()).unwrap();
            let checkpoint = Checkpoint::open(&source, "text_encoder", "model").await.unwrap();
            let mut loader = Loader::new("text_encoder", checkpoint, None);
            let t5 = T5::load(config, &mut loader.root()).unwrap();
            let mut store = Store::new();
            loader.allocate(gpu, &mut store).await.unwrap();
            loader.upload(gpu, &store, |_, _| {}).await.unwrap();
            for (name, tensor) in t5.inputs(&rows("input_ids"), &rows("attention_mask")).await.unwrap() {
                store.insert(gpu, name, &tensor).await.unwrap();
            }
            let mut graph = Graph::new();
            let hidden = t5.forward(&mut graph, batch, length).unwrap();
            graph.keep(hidden, "hidden");
            store.allocate_missing(gpu, &graph).await.unwrap();
            let plan = Plan::compile(gpu, &graph, &store, Memory::Shared).await.unwrap();
            let mut encoder = gpu.encoder();
            plan.recording.encode(&mut encoder);
            gpu.submit(encoder);
            store.read(gpu, "hidden").await.unwrap()
        });
        close(name, found.f32(), expected.get("last_hidden_state").f32(), 1e-5);
    }
}

#[test]
fn positions_and_activations_equal_torch() {
    let folder = golden("functions");
    let tensors = Tensors::read(&folder.join("functions.safetensors"));
    let cases = json(&folder.join("cases.json"));
    let mut seen = 0;
    for case in cases.as_array().unwrap() {
        let expected = tensors.get(case["output"].as_str().unwrap()).f32();
        let count = |name: &str| case[name].as_u64().unwrap() as usize;
        match case["kind"].as_str().unwrap() {
            "position" => {
                let grid = [count("rows"), count("columns")];
                let stretch = case["interpolation_scale"].as_f64().unwrap();
                let found = positions(count("width"), count("base_size"), stretch, grid).unwrap();
                close("positions", found.f32(), expected, 1e-6);
            }
            "activation" => {
                let activation = match case["name"].as_str().unwrap() {
                    "gelu" => Activation::GeluErf,
                    "gelu-approximate" | "gelu_new" => Activation::GeluTanh,
                    "silu" => Activation::Silu,
                    "relu" => Activation::Relu,
                    other => panic!("{other}"),
                };
                let input = tensors.get(case["input"].as_str().unwrap()).f32();
                let found: Vec<f32> = input.iter().map(|&x| activation.apply(x)).collect();
                close(case["name"].as_str().unwrap(), &found, expected, 1e-6);
            }
            // The kernel's own test compares with the same formula in f64.
            "timestep" => {}
            other => panic!("{other}"),
        }
        seen += 1;
    }
    assert!(seen >= 10);
}
