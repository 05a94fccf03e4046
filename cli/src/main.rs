//! The `foveate` command. Each of its commands has a file or a folder of its own.

mod adapter;
mod args;
mod bench;
mod cancel;
mod devices;
mod drawing;
mod generate;
mod help;
mod hints;
mod inputs;
mod inspect;
mod maps;
mod model;
mod output;
mod photo;
mod progress;
mod quiet;
mod record;
mod report;
mod request;
mod table;
mod tensors;
mod trace;
mod tune;
mod values;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

/// Exit code 0: done, 1: failed, 2: the request was wrong.
fn main() -> ExitCode {
    let args = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return report::unparsed(&error),
    };
    if !matches!(args.command, Command::Inspect(_)) {
        quiet::restart();
    }
    if let Err(error) = foveate_studio::output::limits_are_errors() {
        return report::failure(&error, false);
    }
    let (json, done) = match &args.command {
        Command::Generate(options) => (options.json, pollster::block_on(generate::run(options))),
        Command::Inspect(options) => (options.json, pollster::block_on(inspect::run(options))),
        Command::Bench(options) => (options.json, pollster::block_on(bench::run(options))),
        Command::Tune(options) => (options.share, pollster::block_on(tune::run(options))),
        Command::Devices(options) => (options.json, pollster::block_on(devices::run(options))),
        Command::Doctor(options) => (options.json, pollster::block_on(devices::doctor(options))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report::failure(&error, json),
    }
}
