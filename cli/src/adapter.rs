//! The options that say which device a command works on.

use foveate::Arithmetic;
use foveate_studio::device;

use super::values::{bytes, count};

/// The device, as `generate` and `bench` ask for it.
#[derive(Debug, Default, clap::Args)]
pub struct Choice {
    /// Part of the adapter's name (see `foveate devices`); cpu: the processor; gpu: the fastest GPU, software ones too
    /// [default: the fastest GPU, or the processor where there is none; a profile needs a GPU]
    #[arg(long, value_name = "NAME")]
    adapter: Option<String>,
    /// Threads of the processor; the picture is the same with any number [default: as many as the system offers]
    #[arg(long, value_name = "N", value_parser = count, allow_negative_numbers = true)]
    threads: Option<usize>,
    /// The most memory to allocate on the device, such as 12GB or 900MiB: what needs more is refused before the system
    /// runs out of it [default: as much as there is]
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    max_memory: Option<u64>,
    /// Whether kernels take the variants that foveate tune measured on this adapter: auto, or off
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    tune: Tune,
    /// Multiply in f16 on a GPU that has it, whatever the weights are: faster, and less exact
    #[arg(long, conflicts_with = "exact")]
    fast: bool,
    /// Multiply in f32 on every GPU, also with weights of 16 bits or fewer
    #[arg(long)]
    exact: bool,
}

/// Whether measured tunings are followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
enum Tune {
    /// Where there is one.
    #[default]
    Auto,
    /// Not at all.
    Off,
}

impl Choice {
    /// The same, whatever was measured before.
    pub fn untuned(&self) -> device::Choice {
        device::Choice { untuned: true, ..self.choice() }
    }

    /// The same for the crate that opens it.
    pub fn choice(&self) -> device::Choice {
        device::Choice {
            adapter: self.adapter.clone(),
            threads: self.threads,
            max_memory: self.max_memory,
            untuned: self.tune == Tune::Off,
            arithmetic: match (self.fast, self.exact) {
                (true, _) => Arithmetic::Fast,
                (_, true) => Arithmetic::Exact,
                _ => Arithmetic::AsStored,
            },
        }
    }
}
