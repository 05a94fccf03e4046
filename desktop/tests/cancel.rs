//! A step that takes long is left at once, on the processor as on a GPU.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{model, settings};
use foveate::Size;
use foveate_desktop::disk::Places;
use foveate_desktop::engine::{Command, Engine, Event, Stop, Task};
use serde_json::{Map, Value, json};

const PATIENCE: Duration = Duration::from_secs(120);

/// So many that a step has hundreds of ops, and none of them is a large part of it: an op is not left.
const LAYERS: usize = 32;

/// A stop that comes at the step's end is later than the bound in every try, however often it is tried.
const TRIES: u64 = 4;

#[test]
fn a_long_step_is_left_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let deep = folder.path().join("deep");
    deepened(Path::new(&model("pixart_alpha")), &deep);
    let places = Places::below(folder.path().into()).unwrap();
    let engine = Engine::start(None, places.folders(), Arc::new(|| {})).unwrap();
    let mut failed = Vec::new();
    for try_ in 0..TRIES {
        let (step, left) = cancelled(&engine, &deep, try_);
        if left < step / 4 {
            return;
        }
        // Something else may have taken the processor.
        failed.push(format!("a step takes {step:?}, and was left after {left:?}"));
        println!("try {try_}: {}", failed.last().unwrap());
    }
    panic!("{failed:#?}");
}

/// Draws, and stops early in the fourth step. Returns how long a step takes, and how long the engine took to stop.
fn cancelled(engine: &Engine, model: &Path, id: u64) -> (Duration, Duration) {
    let settings = settings(model.to_str().unwrap().into(), "a house", 6);
    let mut request = settings.form.request;
    request.size = Some(Size::square(88));
    let stop = Stop::default();
    let task = Task { id, choice: settings.choice, request, beginning: None };
    engine.send(Command::Draw(Box::new(task), stop.clone()));
    let taken = |of: usize| {
        wait(engine, |event| match event {
            Event::Step { task, index, seconds, .. } if (task, index) == (id, of) => {
                Some(Duration::from_secs_f64(seconds))
            }
            Event::Failed(_, trouble) => panic!("{}", trouble.line()),
            _ => None,
        })
    };
    // The first one also readies what the others have. The shorter of two is what a step takes at least.
    let step = taken(1).min(taken(2));
    std::thread::sleep(step / 10);
    let clock = Instant::now();
    stop.raise();
    wait(engine, |event| match event {
        Event::Stopped(stopped) if stopped == id => Some(()),
        Event::Step { index, .. } => panic!("step {index} was taken to its end"),
        _ => None,
    });
    (step, clock.elapsed())
}

fn wait<T>(engine: &Engine, found: impl Fn(Event) -> Option<T>) -> T {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        match engine.event().and_then(&found) {
            Some(found) => return found,
            None => std::thread::sleep(Duration::from_millis(1)),
        }
    }
    panic!("waited in vain");
}

/// A model at `to` that has the blocks of the one at `from` again and again, [`LAYERS`] in all.
fn deepened(from: &Path, to: &Path) {
    for folder in ["scheduler", "text_encoder", "tokenizer", "transformer", "vae"] {
        fs::create_dir_all(to.join(folder)).unwrap();
        for file in fs::read_dir(from.join(folder)).unwrap().map(Result::unwrap) {
            fs::copy(file.path(), to.join(folder).join(file.file_name())).unwrap();
        }
    }
    fs::copy(from.join("model_index.json"), to.join("model_index.json")).unwrap();
    let config = to.join("transformer/config.json");
    let mut fields: Map<String, Value> = serde_json::from_slice(&fs::read(&config).unwrap()).unwrap();
    let had = fields["num_layers"].as_u64().unwrap() as usize;
    fields["num_layers"] = json!(LAYERS);
    fs::write(config, serde_json::to_vec(&fields).unwrap()).unwrap();

    // Safetensors: the header's length, the header, and the numbers that it names.
    let weights = to.join("transformer/diffusion_pytorch_model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    let (length, rest) = bytes.split_first_chunk().unwrap();
    let (header, numbers) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let header: Map<String, Value> = serde_json::from_slice(header).unwrap();
    let (mut tensors, mut copies) = (Map::new(), Vec::new());
    for (name, tensor) in header.iter().filter(|(name, _)| *name != "__metadata__") {
        let offset = |end: usize| tensor["data_offsets"][end].as_u64().unwrap() as usize;
        let mut add = |name: String| {
            let start = copies.len();
            copies.extend_from_slice(&numbers[offset(0)..offset(1)]);
            let mut tensor = tensor.clone();
            tensor["data_offsets"] = json!([start, copies.len()]);
            tensors.insert(name, tensor);
        };
        match name.strip_prefix("transformer_blocks.").and_then(|name| name.split_once('.')) {
            None => add(name.clone()),
            Some((block, part)) => {
                let again = (block.parse().unwrap()..LAYERS).step_by(had);
                again.for_each(|block| add(format!("transformer_blocks.{block}.{part}")));
            }
        }
    }
    let header = serde_json::to_vec(&tensors).unwrap();
    let length = (header.len() as u64).to_le_bytes();
    fs::write(weights, [&length[..], &header, &copies].concat()).unwrap();
}
