//! `foveate inspect`: what a model folder holds and what it costs, from its files alone.

mod facts;
mod flops;
mod precision;
mod text;

use foveate::Result;
use foveate::pipelines::ModelFolder;
use foveate::weights::Source;

use super::args::Inspect;
use super::report;

/// Reads the folder and tells.
pub async fn run(options: &Inspect) -> Result<()> {
    let folder = ModelFolder::open(Source::parse(&options.model)).await?;
    let facts = facts::gather(&folder).await?;
    match options.json {
        true => report::say_json(&facts.json()),
        false => report::say(&text::write(&facts)),
    }
}
