//! Runs the targets without libFuzzer: inputs are changed at random and kept where they lead to something that was not
//! seen before. Each target runs in a process of its own, so that an abort is a finding like any other.
#![allow(clippy::print_stderr, reason = "a program")]

mod clock;
mod commands;
mod guard;
mod hunt;
mod process;
mod shrink;
mod worker;

use std::alloc::System;
use std::process::ExitCode;

use cap::Cap;

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match commands::run(&words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(reason) => {
            eprintln!("{reason}");
            ExitCode::from(2)
        }
    }
}
