//! `foveate inspect`: what a model folder holds and what it costs, from its files alone.

mod facts;
mod flops;
mod precision;
mod text;

use foveate::Model;
use foveate::{LoadOptions, Result, Source};

use super::args::Inspect;
use super::report;

/// Reads the folder and reports.
pub async fn run(options: &Inspect) -> Result<()> {
    let model = Model::open(Source::parse(&options.model), LoadOptions::default()).await?;
    let facts = facts::gather(&model).await?;
    match options.json {
        true => report::say_json(&facts.json()),
        false => report::say(&text::write(&facts)),
    }
}
