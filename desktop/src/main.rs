//! The window of Foveate.

// On Windows a program with a window needs no console.
#![cfg_attr(not(debug_assertions), windows_subsystem = "windows")]

mod arguments;
mod loss;
mod startup;
mod window;

use std::process::ExitCode;

use arguments::Arguments;
use startup::Startup;

fn main() -> ExitCode {
    let startup = Startup::now();
    let arguments = match Arguments::of_program() {
        Ok(Some(arguments)) => arguments,
        Ok(None) => return ExitCode::SUCCESS,
        Err(wrong) => return window::complain(&wrong, 2),
    };
    if let Err(failed) = foveate_studio::output::limits_are_errors() {
        return window::complain(&failed.to_string(), 1);
    }
    match loss::survive(arguments.after_loss, |watched| window::open(arguments, startup, watched)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => window::complain(&failed, 1),
    }
}
