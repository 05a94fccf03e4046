//! Draws every prompt of a file into a folder, one per line. Pictures that are there already are left alone, so a run
//! that was stopped goes on where it was.
//!
//! `cargo run --release --example batch -- PROMPTS.txt FOLDER [MODEL]`

use std::fs;
use std::path::{Path, PathBuf};

use foveate::{Error, Gpu, LoadOptions, Pipeline, Request, Result, Source};

const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/pixart_alpha/model");

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [prompts, folder, model @ ..] = arguments.as_slice() else {
        return Err(Error::Usage("give a file of prompts and a folder".into()));
    };
    let model = model.first().map_or(TINY, String::as_str);
    let text = fs::read_to_string(prompts).map_err(|error| Error::io(prompts, error))?;
    fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
    let prompts: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    pollster::block_on(batch(&prompts, Path::new(folder), Source::parse(model)))
}

async fn batch(prompts: &[&str], folder: &Path, model: Source) -> Result<()> {
    let gpu = Gpu::request(Default::default()).await?;
    let pipeline = Pipeline::load(&gpu, model, LoadOptions::default(), |_| {}).await?;
    for (index, prompt) in prompts.iter().enumerate() {
        let (picture, unfinished) = paths(folder, index, prompts.len());
        if picture.exists() {
            println!("{} is there", picture.display());
            continue;
        }
        let pictures = pipeline.generate(&Request { seed: index as u64, ..Request::prompt(*prompt) }).await?;
        // Under another name until it is whole: a picture that is there is finished.
        pictures.save(0, &unfinished)?;
        fs::rename(&unfinished, &picture).map_err(|error| Error::io(&picture, error))?;
        println!("{}: {prompt}", picture.display());
    }
    Ok(())
}

/// Where a picture goes, and where it is written first.
fn paths(folder: &Path, index: usize, of: usize) -> (PathBuf, PathBuf) {
    let name = format!("{:0width$}", index + 1, width = of.to_string().len());
    (folder.join(format!("{name}.png")), folder.join(format!(".{name}.unfinished")))
}
