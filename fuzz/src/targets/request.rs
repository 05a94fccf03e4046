//! A request in JSON, asked of two loaded models.

use std::sync::{Arc, OnceLock};

use foveate::compress::Policies;
use foveate::{LoadOptions, Pipeline, Request, Result, Size, Source};
use pollster::block_on;

use super::processor;
use crate::goldens::models;
use crate::outcome;

pub fn run(data: &[u8]) {
    let request = match serde_json::from_slice::<Request>(data) {
        Ok(request) => request,
        Err(error) => return outcome::reached(&error.to_string()),
    };
    if let Err(error) = request.check().and_then(|()| Policies::default().check(&request.compression)) {
        outcome::failed(&error);
    }
    for pipeline in pipelines() {
        match draw(pipeline, &request) {
            Ok(()) => outcome::reached("drawn"),
            Err(error) => outcome::failed(&error),
        }
    }
}

/// Draws what is small, and asks for what is so large that it has to be refused. What lies between is honest work.
fn draw(pipeline: &Pipeline, request: &Request) -> Result<()> {
    let asked = request.size.unwrap_or(Size::square(20));
    let size = asked.width.saturating_mul(asked.height).saturating_mul(request.pictures());
    let (steps, tokens) = (request.steps.unwrap_or(2), request.max_length.unwrap_or(16));
    let request = Request { size: Some(asked), steps: Some(steps), max_length: Some(tokens), ..request.clone() };
    if size <= 2048 && request.pictures() <= 4 && steps <= 8 && tokens <= 64 && request.prompt.len() < 10_000 {
        return block_on(pipeline.generate(&request)).map(drop);
    }
    // Whatever the rest of the request is.
    let absurd = size > 1 << 29 || request.pictures() > 1 << 11 || tokens > 1 << 17 || steps > 1 << 17;
    if absurd && block_on(pipeline.prepare(&request)).map(drop).inspect_err(outcome::failed).is_ok() {
        panic!("an absurd request is prepared");
    }
    Ok(())
}

/// A model that draws classes and one that draws prompts, both with routers.
fn pipelines() -> &'static [Pipeline; 2] {
    static PIPELINES: OnceLock<[Pipeline; 2]> = OnceLock::new();
    PIPELINES.get_or_init(|| {
        ["routed/dit_mlp", "routed/pixart_alpha_block"].map(|name| {
            let source = Source::Memory(Arc::new(models()[name].clone()));
            match block_on(Pipeline::load(processor(), source, LoadOptions::default(), |_| {})) {
                Ok(pipeline) => pipeline,
                Err(error) => panic!("{name}: {error}"),
            }
        })
    })
}

pub fn seeds() -> Vec<Vec<u8>> {
    pipelines(); // no input's memory
    let compressions = [
        r#"{"policy":"sdtm","ratio":0.4,"set":{"multiple":"1","switch_step":1,"deviation":0.3}}"#,
        r#"{"policy":"tome","set":{"stride":"2x3","mlp":true,"attn":"true","deterministic":false}}"#,
        r#"{"policy":"kv","set":{"layers":"0-1","kind":"average","scale":2}}"#,
        r#"{"policy":"diffcr","ratio":0.3,"cache":"every=2,first=1,last=1"}"#,
        r#"{"policy":"mod","ratio":0.5}"#,
        r#"{"policy":"dense","cache":"3"}"#,
        r#"{"policy":"dense","masked":"every=3,around=1"}"#,
    ];
    let mut seeds = Vec::new();
    for compression in compressions {
        for what in [r#""prompt":"a red fox","negative":"rain""#, r#""class":3"#] {
            seeds.push(format!(
                r#"{{{what},"steps":3,"guidance":4.5,"seed":7,"size":[16,16],"count":1,"strength":0.6,"scheduler":"euler","max_length":12,"compression":{compression},"traced":true}}"#
            ));
        }
    }
    for scheduler in ["ddim", "ddpm", "dpm-solver++", "flow-match-euler", "DDIMScheduler"] {
        seeds.push(format!(r#"{{"class":1,"steps":4,"size":[20,20],"scheduler":"{scheduler}"}}"#));
    }
    seeds.into_iter().map(String::into_bytes).collect()
}
