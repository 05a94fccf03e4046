//! Every option of every command.

use std::path::PathBuf;

use clap::{ArgGroup, Parser, Subcommand};
use foveate::Size;
use foveate::compress::{MaskedCompute, StepCache};
use foveate::low_level::weights::Format;
use foveate::photo::{Border, Fit};

use super::adapter::Choice;
use super::bench::Bench;
use super::help;
use super::tune::Tune;
use super::values::{class, count, finite, pair, ratio, seed, steps, strength};

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
    /// Show what a model folder holds and what it costs; needs no GPU
    Inspect(Inspect),
    /// Time steps of the transformer alone: dense against compressed
    Bench(Box<Bench>),
    /// Measure which variants of the kernels are fastest on this adapter, and keep that for later runs
    Tune(Box<Tune>),
    /// List the devices: GPU adapters with the capabilities that matter, and the processor
    Devices(Devices),
    /// Describe this machine for a bug report: version, system, every device and the one that is used
    Doctor(Devices),
}

/// `foveate generate`
#[derive(Debug, clap::Args)]
#[command(after_help = help::policies())]
#[command(group(ArgGroup::new("picture").args(["image", "image_latents"]).multiple(true)))]
#[command(group(ArgGroup::new("part").args(["mask", "outpaint"]).multiple(true)))]
#[command(group(ArgGroup::new("words").args(["prompt", "request", "like"]).multiple(true)))]
pub struct Generate {
    /// What to draw. With --prompt-ids or --prompt-embeds it is only noted in the picture
    pub prompt: Option<String>,
    /// The class to draw, for class-to-image models
    #[arg(long, value_name = "N", value_parser = class, allow_negative_numbers = true,
        conflicts_with_all = ["prompt", "prompt_ids", "prompt_embeds"])]
    pub class: Option<u32>,
    /// A request to start from, as JSON; every other option changes it
    #[arg(long, value_name = "FILE.json", conflicts_with = "like")]
    pub request: Option<PathBuf>,
    /// A picture drawn by foveate, to draw it and its batch again; every other option changes its request
    #[arg(long, value_name = "PICTURE.png")]
    pub like: Option<PathBuf>,
    /// A model folder in the diffusers layout [default: $FOVEATE_MODEL, or the bundled model]
    #[arg(long, value_name = "DIR|URL")]
    pub model: Option<String>,
    /// What to steer away from
    #[arg(long, value_name = "TEXT", requires = "words", conflicts_with = "class")]
    pub negative: Option<String>,
    /// Denoising steps [default: the pipeline's own]
    #[arg(long, value_name = "N", value_parser = steps, allow_negative_numbers = true)]
    pub steps: Option<usize>,
    /// Classifier-free guidance; 1 and below turn it off [default: the pipeline's own]
    #[arg(long, value_name = "F", value_parser = finite, allow_negative_numbers = true)]
    pub guidance: Option<f32>,
    /// Seed of the noise, as of torch's CPU generator [default: 0]
    #[arg(long, value_name = "N", value_parser = seed, allow_negative_numbers = true)]
    pub seed: Option<u64>,
    /// Width and height in pixels [default: what the model was trained at; with --image the picture's ratio]
    #[arg(long, value_name = "WxH")]
    pub size: Option<Size>,
    /// Pictures, drawn as one batch
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    pub count: Option<usize>,
    #[arg(long, value_name = "NAME", help = help::scheduler())]
    pub scheduler: Option<String>,
    /// Which tokens are computed: one of the policies below [default: what the checkpoint was trained for, else dense]
    #[arg(long, value_name = "NAME")]
    pub compress: Option<String>,
    /// Share of the tokens to save, such as 0.3 [default: as the checkpoint was trained; without training, as
    /// published]
    #[arg(long, value_name = "F", value_parser = ratio, allow_negative_numbers = true)]
    pub ratio: Option<f64>,
    /// A parameter of the policy; may be repeated with others
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    pub set: Vec<(String, String)>,
    /// Compute the inner blocks only in every N-th step; the steps between reuse what they added. N, or
    /// every=N,first=BLOCKS,last=BLOCKS, where every step computes so many blocks at either end
    #[arg(long, value_name = "N")]
    pub step_cache: Option<StepCache>,
    /// Compute only the tokens under the mask and around it; every N-th step computes all, and the rest of the picture is
    /// context as it was then. Decode only there, too. N, or every=N,around=TOKENS,decode=LATENTS, where decode=whole
    /// decodes all [default: off; without a value every=10,around=1,decode=1]
    #[arg(long, value_name = "N", requires = "part", num_args = 0..=1, default_missing_value = "10")]
    pub masked: Option<MaskedCompute>,
    /// How matrices are stored: f32, f16, bf16, int8 or int4 [default: as the files have them]
    #[arg(long, value_name = "DTYPE")]
    pub dtype: Option<Format>,
    /// A picture to begin with: PNG, JPEG or WebP
    #[arg(long, value_name = "IN")]
    pub image: Option<PathBuf>,
    /// White where the picture is drawn anew; every other pixel of it is kept. Of the picture's size
    #[arg(long, value_name = "MASK", requires = "picture")]
    pub mask: Option<PathBuf>,
    /// Draw more around the picture: so much at each side, in pixels or in percent of the picture's side, such as
    /// 64,0,25%,0. With --mask, what that marks is drawn too
    #[arg(long, value_name = "LEFT,TOP,RIGHT,BOTTOM", requires = "image", allow_hyphen_values = true)]
    pub outpaint: Option<Border>,
    /// How much of the noise the picture gets, above 0 and up to 1: the share of the steps that is taken [default: 0.8,
    /// with a mask 1]
    #[arg(long, value_name = "F", value_parser = strength, allow_negative_numbers = true)]
    pub strength: Option<f64>,
    /// How a picture of another ratio is fitted to the canvas: crop, or pad, which repeats its edges [default: crop].
    /// With --outpaint all is shown
    #[arg(long, value_name = "HOW", requires = "image", conflicts_with = "outpaint")]
    pub fit: Option<Fit>,
    /// Fade from what was drawn to the picture over so many pixels around the mask [default: 0]
    #[arg(long, value_name = "PIXELS", requires = "part", value_parser = clap::value_parser!(u32).range(..=1024))]
    pub feather: Option<u32>,
    /// Latents of the picture instead of its encoding: `image_latents [1, C, h, w]`, scaled for diffusion
    #[arg(long, value_name = "F.safetensors")]
    pub image_latents: Option<PathBuf>,
    /// Starting noise instead of the seed's: `latents [B, C, h, w]`, before any scaling
    #[arg(long, value_name = "F.safetensors")]
    pub init_latents: Option<PathBuf>,
    /// Token ids instead of a prompt: `input_ids` and `attention_mask`, and both with `negative_`
    #[arg(long, value_name = "F.safetensors")]
    pub prompt_ids: Option<PathBuf>,
    /// Text embeddings instead of a prompt: `prompt_embeds` and `prompt_attention_mask`, and both with `negative_`
    #[arg(long, value_name = "F.safetensors", conflicts_with = "prompt_ids")]
    pub prompt_embeds: Option<PathBuf>,
    /// Write the starting noise, each step's prediction and latents, the image, the scores and kept masks of routed
    /// layers, and where merged tokens went
    #[arg(long, value_name = "F.safetensors")]
    pub save_tensors: Option<PathBuf>,
    /// Write pictures of where the policy computed: the router's scores and the kept tokens of every step and layer (of
    /// the prompt's half, under guidance), and a sheet. Slower, as they are read back after every step. DIR is new,
    /// empty, or has maps of another run, which make way
    #[arg(long, value_name = "DIR")]
    pub maps: Option<PathBuf>,
    /// Write GPU times as a Chrome trace
    #[arg(long, value_name = "F.json")]
    pub profile: Option<PathBuf>,
    /// Print the result or the error as JSON on stdout
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub device: Choice,
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
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `foveate devices`, `foveate doctor`
#[derive(Debug, clap::Args)]
pub struct Devices {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl Generate {
    /// Whether text is given, in whichever form.
    pub fn has_text(&self) -> bool {
        self.prompt.is_some() || self.prompt_ids.is_some() || self.prompt_embeds.is_some()
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// The options of these words after `foveate generate`.
    pub fn parse(words: &[&str]) -> Result<Generate, clap::Error> {
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
        assert_eq!(parse(&["x", "--size", "512x384"]).unwrap().size, Some(Size::new(512, 384)));
        assert_eq!(parse(&["x", "--guidance", "-1.5"]).unwrap().guidance, Some(-1.5));
        assert_eq!(parse(&["x", "--seed", "-1"]).unwrap().seed, Some(u64::MAX));
        for bad in [
            ["--ratio", "1"],
            ["--ratio", "-0.1"],
            ["--size", "512"],
            ["--size", "ax8"],
            ["--guidance", "nan"],
            ["--dtype", "fp8"],
            ["--set", "ratio"],
            ["--count", "0"],
            ["--class", "3"],
        ] {
            assert!(parse(&["x", bad[0], bad[1]]).is_err(), "{bad:?}");
        }
    }
}
