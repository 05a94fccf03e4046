//! Small parts against torch, diffusers and transformers: T5, norms, timestep embeddings, positions, activations.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use common::{Tensors, close, device, golden, json};
use foveate::low_level::device::{Memory, Plan, Store};
use foveate::low_level::graph::{Element, Graph, ValueId};
use foveate::low_level::kernels::{self, Activation, Norm, NormKind, TimestepEmbedding, Timesteps};
use foveate::low_level::loading::{Fields, Loader};
use foveate::low_level::tensor::{Tensor, relative_l2};
use foveate::low_level::weights::{Checkpoint, Source};
use foveate::models::parts::positions;
use foveate::models::t5::{Config, T5};
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
            let (device, source) = (device(), Source::Folder(folder.clone()));
            let config = Config::read(Fields::read(&source, "text_encoder/config.json").await.unwrap()).unwrap();
            let checkpoint = Checkpoint::open(&source, "text_encoder", "model").await.unwrap();
            let mut loader = Loader::new("text_encoder", checkpoint, None);
            let t5 = T5::load(config, &mut loader.root()).unwrap();
            let mut store = Store::new();
            loader.allocate(device, &mut store).await.unwrap();
            loader.upload(device, &store, |_, _| {}).await.unwrap();
            for (name, tensor) in t5.inputs(&rows("input_ids"), &rows("attention_mask")).await.unwrap() {
                store.insert(device, name, &tensor).await.unwrap();
            }
            let mut graph = Graph::new();
            let hidden = t5.forward(&mut graph, batch, length).unwrap();
            graph.store(hidden, "hidden");
            store.allocate_missing(device, &graph).await.unwrap();
            let plan = Plan::compile(device, &graph, &store, Memory::Shared).await.unwrap();
            plan.run(device).unwrap();
            store.read(device, "hidden").await.unwrap()
        });
        close(name, found.f32(), expected.get("last_hidden_state").f32(), 1e-5);
    }
}

#[test]
fn positions_timesteps_and_activations_equal_torch() {
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
                let found = positions(count("width"), count("base_size"), stretch, grid.into()).unwrap();
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
            "timestep" => {
                let timesteps = case["timesteps"].as_array().unwrap().iter().map(|t| t.as_f64().unwrap() as f32);
                let timesteps: Vec<f32> = timesteps.collect();
                let options = TimestepEmbedding {
                    dim: count("width"),
                    flip_sin_to_cos: true,
                    downscale_freq_shift: case["shift"].as_f64().unwrap() as f32,
                    ..Default::default()
                };
                let input = Tensor::new(&[timesteps.len()], timesteps).unwrap();
                let found = on_gpu(&[("timesteps", input)], |graph, ids| {
                    kernels::timestep_embedding(graph, Timesteps::Values(ids[0]), options).unwrap()
                });
                // torch takes the angles in f32: at t = 999 its own error is 6e-5.
                close("timesteps", found.f32(), expected, 1e-4);
            }
            other => panic!("{other}"),
        }
        seen += 1;
    }
    assert!(seen >= 10);
}

/// Norms alone, on rows whose variance is so small that the epsilon decides: in a whole picture a wrong one drowns.
#[test]
fn norms_equal_torch_and_tell_epsilons_apart() {
    let folder = golden("norm");
    let tensors = Tensors::read(&folder.join("norm.safetensors"));
    let cases = json(&folder.join("cases.json"));
    let (mut seen, mut told_apart) = (0, 0);
    for case in cases.as_array().unwrap() {
        let text = |name: &str| case[name].as_str().unwrap();
        let width = case["width"].as_u64().unwrap();
        let eps = case["epsilon"].as_f64().unwrap() as f32;
        let named = |name: &str| tensors.get(&format!("{width}/{name}")).clone();
        let inputs = [("x", tensors.get(text("input")).clone()), ("weight", named("weight")), ("bias", named("bias"))];
        let run = |eps: f32| {
            on_gpu(&inputs, |graph, ids| {
                let [x, weight, bias] = [ids[0], ids[1], ids[2]];
                let norm = match text("kind") {
                    "layer" => Norm { eps, ..Default::default() },
                    "layer_affine" => Norm { eps, weight: Some(weight), bias: Some(bias), ..Default::default() },
                    "rms_t5" => Norm { kind: NormKind::Rms, eps, weight: Some(weight), ..Default::default() },
                    other => panic!("{other}"),
                };
                kernels::norm(graph, x, norm).unwrap()
            })
        };
        let expected = tensors.get(text("output")).f32();
        // On rows far from zero torch itself is off by up to 2e-4.
        let tolerance = if text("input").ends_with("/0/input") { 2e-6 } else { 2e-4 };
        close(text("output"), run(eps).f32(), expected, tolerance);
        told_apart += usize::from(relative_l2(run(10.0 * eps).f32(), expected) > tolerance);
        seen += 1;
    }
    assert!(seen >= 12 && 2 * told_apart > seen, "{told_apart} of {seen} cases tell epsilons apart");
}

/// What `build` makes of these inputs.
fn on_gpu(inputs: &[(&str, Tensor)], build: impl Fn(&mut Graph, &[ValueId]) -> ValueId) -> Tensor {
    block_on(async {
        let (device, mut store, mut graph) = (device(), Store::new(), Graph::new());
        let mut ids = Vec::new();
        for (name, tensor) in inputs {
            store.insert(device, name, tensor).await.unwrap();
            ids.push(graph.stored(*name, &tensor.shape, Element::F32));
        }
        let out = build(&mut graph, &ids);
        graph.store(out, "out");
        store.allocate_missing(device, &graph).await.unwrap();
        let plan = Plan::compile(device, &graph, &store, Memory::Shared).await.unwrap();
        plan.run(device).unwrap();
        store.read(device, "out").await.unwrap()
    })
}
