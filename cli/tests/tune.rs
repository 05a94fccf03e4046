//! `foveate tune` as a shell sees it: what was measured is kept, followed, named by the pictures, and can be left aside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../../tests/common/mod.rs"]
mod common;
mod shell;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use shell::{Shell, text};

const DRAW: [&str; 5] = ["generate", "a fox", "--steps", "1", "--json"];

/// Measures the default model; the file that is kept.
fn tuned(shell: &Shell) -> (Value, PathBuf) {
    let output = shell.run(&["tune", "--seconds", "6", "--batch", "1", "--share"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut files: Vec<_> = fs::read_dir(shell.path("tunings")).unwrap().map(|file| file.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    let path = files.remove(0);
    assert_eq!(serde_json::from_slice::<Value>(&fs::read(&path).unwrap()).unwrap(), told);
    (told, path)
}

fn drawn_with(shell: &Shell, more: &[&str]) -> Value {
    let output = shell.run(&[&DRAW[..], more].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice::<Value>(&output.stdout).unwrap()["tuning"].clone()
}

#[test]
fn what_was_measured_is_followed_until_it_is_turned_off() {
    let shell = Shell::new();
    assert!(drawn_with(&shell, &[]).is_null());
    let (mut told, path) = tuned(&shell);
    let measured = told["measured"].as_array().unwrap();
    let shares: f64 = measured.iter().map(|found| found["share"].as_f64().unwrap()).sum();
    assert!(!measured.is_empty() && shares <= 1.0 + 1e-9, "{told}");
    for found in measured {
        assert!(found["chosen_us"].as_f64() <= found["usual_us"].as_f64() && found["wrong"].is_null(), "{found}");
    }
    // On this adapter the usual variants may be the fastest: choose another one for the largest product.
    let case = measured[0]["case"].as_str().unwrap().to_owned();
    let plain = fs::read(shell.path("foveate.png")).unwrap();
    told["choices"]["linear"][&case] = "direct".into();
    fs::write(&path, told.to_string()).unwrap();
    let name = drawn_with(&shell, &[]);
    assert_eq!(name.as_str().map(str::len), Some(8));
    let picture = fs::read(shell.path("foveate.png")).unwrap();
    let says = |picture: &[u8]| picture.windows(8).any(|bytes| bytes == name.as_str().unwrap().as_bytes());
    assert!(says(&picture) && !says(&plain));
    assert!(drawn_with(&shell, &["--tune", "off"]).is_null());

    // Damaged: nothing is drawn by surprise, and it is said how to go on.
    fs::write(&path, "{").unwrap();
    let fails = &[&DRAW[..4], &["--adapter", "gpu"]].concat();
    shell.fails(fails, 1, "this is no tuning");
    assert!(drawn_with(&shell, &["--tune", "off"]).is_null());
}

#[test]
fn the_processor_has_nothing_to_choose() {
    let shell = Shell::new();
    shell.fails(&["tune", "--adapter", "cpu"], 1, "tuning");
    assert!(!shell.path("tunings").exists());
}
