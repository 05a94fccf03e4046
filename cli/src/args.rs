//! Every option, and what can be said against a request before any work.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use foveate::compress::{Choice, StepCache};
use foveate::pipelines::Compress;
use foveate::weights::Format;
use foveate::{Error, Result};

use super::bench::Bench;
use super::values::{finite, pair, ratio, seed, size};

/// Diffusion transformers that compute where the detail is.
#[derive(Debug, Parser)]
#[command(name = "foveate", version, max_term_width = 110)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Draw pictures from a prompt or a class
    Generate(Box<Generate>),
    /// Tell what a model folder holds and what it costs; needs no GPU
    Inspect(Inspect),
    /// Time steps of the transformer alone: dense against compressed
    Bench(Box<Bench>),
    /// List the GPU adapters with the capabilities that matter
    Devices(Devices),
}

/// `foveate generate`
#[derive(Debug, clap::Args)]
pub struct Generate {
    /// What to draw. Beside --prompt-ids or --prompt-embeds it is only noted in the picture
    pub prompt: Option<String>,
    /// The class to draw, for class-to-image models
    #[arg(long, value_name = "N", conflicts_with_all = ["prompt", "prompt_ids", "prompt_embeds"])]
    pub class: Option<u32>,
    /// A model folder in the diffusers layout [default: $FOVEATE_MODEL, or the bundled model]
    #[arg(long, value_name = "DIR|URL")]
    pub model: Option<String>,
    /// What to steer away from
    #[arg(long, value_name = "TEXT", requires = "prompt")]
    pub negative: Option<String>,
    /// Denoising steps [default: the pipeline's own]
    #[arg(long, value_name = "N")]
    pub steps: Option<usize>,
    /// Classifier-free guidance; 1 and below turn it off [default: the pipeline's own]
    #[arg(long, value_name = "F", value_parser = finite, allow_negative_numbers = true)]
    pub guidance: Option<f32>,
    /// Seed of the noise, as of torch's CPU generator
    #[arg(long, value_name = "N", default_value = "0", value_parser = seed, allow_negative_numbers = true)]
    pub seed: u64,
    /// Width and height in pixels [default: what the model was trained at]
    #[arg(long, value_name = "WxH", value_parser = size)]
    pub size: Option<[usize; 2]>,
    /// Pictures, drawn as one batch
    #[arg(long, value_name = "N")]
    pub count: Option<usize>,
    /// Another scheduler than the folder's, over the folder's config
    #[arg(long, value_name = "NAME")]
    pub scheduler: Option<String>,
    /// dense, diffcr, mod, sdtm, tome or kv [default: diffcr where the checkpoint carries routers, else dense]
    #[arg(long, value_name = "POLICY")]
    pub compress: Option<Compress>,
    /// Share of the tokens to save, such as 0.3 [default: as the checkpoint was trained; without training, as published]
    #[arg(long, value_name = "F", value_parser = ratio, allow_negative_numbers = true)]
    pub ratio: Option<f64>,
    /// A parameter of the policy (README lists them); may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub set: Vec<(String, String)>,
    /// Compute the inner blocks only every so many steps, and add what they added before in the others: N, or
    /// every=N,first=BLOCKS,last=BLOCKS with the blocks at either end that every step computes
    #[arg(long, value_name = "N")]
    pub step_cache: Option<StepCache>,
    /// How matrices are stored: f32, f16, int8 or int4 [default: as the files have them]
    #[arg(long, value_name = "DTYPE")]
    pub dtype: Option<Format>,
    /// Starting noise instead of the seed's: `latents [B, C, h, w]`, before any scaling
    #[arg(long, value_name = "F.safetensors")]
    pub init_latents: Option<PathBuf>,
    /// Token ids instead of a prompt: `input_ids` and `attention_mask`, and both with `negative_`
    #[arg(long, value_name = "F.safetensors")]
    pub prompt_ids: Option<PathBuf>,
    /// Text embeddings instead of a prompt: `prompt_embeds` and `prompt_attention_mask`, and both with `negative_`
    #[arg(long, value_name = "F.safetensors", conflicts_with = "prompt_ids")]
    pub prompt_embeds: Option<PathBuf>,
    /// Write starting noise, every step's prediction and latents, the image, and where tokens were routed the scores and
    /// kept masks of every layer and step
    #[arg(long, value_name = "F.safetensors")]
    pub save_tensors: Option<PathBuf>,
    /// Write where the policy computed, as pictures: of every step and layer, the router's scores and the tokens it
    /// kept (of the prompt's half, where guidance has two), and a sheet. Reads them back after every step
    #[arg(long, value_name = "DIR")]
    pub maps: Option<PathBuf>,
    /// Write GPU times as a Chrome trace
    #[arg(long, value_name = "F.json")]
    pub profile: Option<PathBuf>,
    /// Tell result or error as JSON on stdout
    #[arg(long)]
    pub json: bool,
    /// Part of the adapter's name (see `foveate devices`)
    #[arg(long, value_name = "NAME")]
    pub adapter: Option<String>,
    /// The picture; several become OUT-1.png, OUT-2.png, …
    #[arg(short, long, value_name = "OUT.png", default_value = "foveate.png")]
    pub output: PathBuf,
}

/// `foveate inspect`
#[derive(Debug, clap::Args)]
pub struct Inspect {
    /// A model folder in the diffusers layout
    #[arg(value_name = "DIR|URL")]
    pub model: String,
    /// Tell it as JSON
    #[arg(long)]
    pub json: bool,
}

/// `foveate devices`
#[derive(Debug, clap::Args)]
pub struct Devices {
    /// Tell it as JSON
    #[arg(long)]
    pub json: bool,
}

impl Generate {
    /// Refuses what no model could make sense of.
    pub fn check(&self) -> Result<()> {
        let asks = self.prompt.is_some() || self.class.is_some();
        if !asks && self.prompt_ids.is_none() && self.prompt_embeds.is_none() {
            return usage("nothing to draw: give a prompt, --class N, --prompt-ids or --prompt-embeds");
        }
        match self.compress.filter(|_| self.maps.is_some()) {
            Some(Compress::Dense) => return usage("--maps: the policy dense computes every token"),
            Some(policy @ (Compress::Sdtm | Compress::Tome | Compress::Kv)) => {
                return usage(format!("--maps: the policy {policy} has no routers to map"));
            }
            None | Some(Compress::Auto | Compress::Diffcr | Compress::Mod) => {}
        }
        let choice = Choice {
            policy: self.compress.unwrap_or_default(),
            ratio: self.ratio,
            set: self.set.clone(),
            ..Choice::default()
        };
        choice.check()
    }
}

fn usage<T>(reason: impl Into<String>) -> Result<T> {
    Err(Error::Usage(reason.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Generate, clap::Error> {
        let args = Args::try_parse_from(["foveate", "generate"].iter().chain(words))?;
        match args.command {
            Command::Generate(options) => Ok(*options),
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn options_are_consistent() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn sizes_and_numbers_are_checked() {
        assert_eq!(parse(&["x", "--size", "512x384"]).unwrap().size, Some([512, 384]));
        assert_eq!(parse(&["x", "--guidance", "-1.5"]).unwrap().guidance, Some(-1.5));
        assert_eq!(parse(&["x", "--seed", "-1"]).unwrap().seed, u64::MAX);
        for bad in [
            ["--ratio", "1"],
            ["--ratio", "-0.1"],
            ["--size", "512"],
            ["--size", "ax8"],
            ["--guidance", "nan"],
            ["--dtype", "fp8"],
            ["--set", "ratio"],
        ] {
            assert!(parse(&["x", bad[0], bad[1]]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn requests_without_sense_are_refused() {
        for (words, reason) in [
            (&[][..], "nothing to draw"),
            (
                &["x", "--compress", "sdtm", "--set", "size=2"],
                "sdtm has no parameter \"size\": it knows ratio, deviation",
            ),
            (&["x", "--compress", "tome", "--set", "stride=1"], "every token would be a destination"),
            (&["x", "--compress", "mod", "--set", "ratio=0.5"], "mod has no parameter \"ratio\": it has none"),
            (&["x", "--compress", "dense", "--ratio", "0.5"], "--ratio"),
            (&["x", "--compress", "dense", "--maps", "maps"], "--maps"),
        ] {
            let error = parse(words).unwrap().check().unwrap_err();
            assert!(error.is_usage() && error.to_string().contains(reason), "{words:?}: {error}");
        }
        assert!(parse(&["x", "--class", "3"]).is_err());
        assert!(parse(&["--class", "3"]).unwrap().check().is_ok());
    }
}
