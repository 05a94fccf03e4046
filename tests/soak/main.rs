//! Many pictures in one process: sizes, policies, schedulers and models change, pipelines come and go, devices are lost
//! at random. Every picture is the one that a fresh process draws, and the memory does not grow.
//!
//! `cargo test --features foveate/testing --test soak -- [PICTURES]`. Short among the other tests; `./x soak` is long.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod chance;
#[path = "../common/mod.rs"]
mod common;
mod memory;
mod specimen;
mod studio;

use std::collections::HashMap;
use std::process::Command;
use std::time::Instant;

use chance::Chance;
use specimen::Specimen;
use studio::Studio;

/// The pictures of the short form.
const SHORT: usize = 60;
/// Tells the program that it is the fresh process, which draws one specimen and prints what came of it.
const FRESH: &str = "--fresh";
/// One of so many pictures on a GPU loses its device.
const LOSSES: u64 = 5;
/// After one of so many pictures some pipelines are dropped.
const DROPS: u64 = 8;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [flag, number] = &arguments[..]
        && flag == FRESH
    {
        println!("{}", Studio::default().draw(Specimen::of(number.parse().unwrap()), None));
        return;
    }
    // Other arguments are meant for the other tests, which are run by the same command.
    let pictures = match &arguments[..] {
        [number] => number.parse().unwrap_or(SHORT),
        _ => SHORT,
    };
    memory::the_check_can_fail();
    soak(pictures);
}

fn soak(pictures: usize) {
    // Few enough that every one comes again and again, between others.
    let specimens = (pictures / 6).clamp(8, 100) as u64;
    let (clock, mut chance) = (Instant::now(), Chance::new(0));
    let (mut studio, mut fresh, mut levels) = (Studio::default(), HashMap::new(), Vec::new());
    for picture in 0..pictures {
        let specimen = Specimen::of(chance.below(specimens));
        let loss = (specimen.on_gpu() && chance.one_in(LOSSES)).then(|| chance.below(specimen.steps() as u64 + 1));
        let drawn = studio.draw(specimen, loss.map(|step| step as usize));
        let expected = fresh.entry(specimen).or_insert_with(|| by_a_fresh_process(specimen));
        assert_eq!(&drawn, expected, "picture {picture}: {specimen:?}, its device lost before step {loss:?}");
        if chance.one_in(DROPS) {
            studio.forget(&mut chance);
        }
        levels.extend(memory::resident());
        if picture % 100 == 99 {
            println!("{} pictures, {} s, {:?} MiB", picture + 1, clock.elapsed().as_secs(), levels.last());
        }
    }
    // The comparison can fail: no two specimens are alike.
    let outcomes: std::collections::HashSet<_> = fresh.values().collect();
    assert_eq!(outcomes.len(), fresh.len(), "specimens that cannot be told apart");
    assert!(studio.lost > 0, "no device was lost");
    let told = memory::check(&levels).unwrap_or_else(|growth| panic!("{growth}"));
    let (specimens, lost, loads) = (fresh.len(), studio.lost, studio.loads);
    println!(
        "soak: {pictures} pictures of {specimens} kinds in {} s, as fresh processes draw them; {loads} pipelines \
         loaded, {lost} devices lost; {told}",
        clock.elapsed().as_secs()
    );
}

fn by_a_fresh_process(specimen: Specimen) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args([FRESH, &specimen.number().to_string()]).output().unwrap();
    assert!(output.status.success(), "{specimen:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
