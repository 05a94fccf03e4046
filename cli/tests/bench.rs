//! `foveate bench` as a shell sees it: figures that agree with each other, and errors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../../tests/common/mod.rs"]
mod common;
mod shell;

use serde_json::Value;
use shell::{Shell, model, text};

/// A transformer small enough to be measured in passing.
const SHAPE: &str = "width=64,layers=2,heads=4,tokens=64";

fn number(row: &Value, name: &str) -> f64 {
    row[name].as_f64().unwrap_or_else(|| panic!("{name}: {row}"))
}

#[test]
fn compressed_steps_are_held_against_dense_ones() {
    let shell = Shell::new();
    let told = shell.json(&["bench", "--shape", SHAPE, "--repeats", "2", "--batch", "1"]);
    let shape = serde_json::json!({
        "model": null, "kind": "pixart", "width": 64, "layers": 2, "heads": 4, "tokens": 64, "grid": [8, 8], "text": 120,
        "batch": 1, "dtype": "f32",
    });
    assert_eq!((&told["shape"], told["adapter"].is_string()), (&shape, true));
    let rows = told["policies"].as_array().unwrap();
    assert_eq!(rows.iter().map(|row| &row["policy"]).collect::<Vec<_>>(), ["dense", "diffcr", "mod"]);
    let dense = &rows[0];
    assert!(dense["ratio"].is_null() && number(dense, "speedup") == 1.0 && number(dense, "realised") == 1.0);
    for row in rows {
        let near = |a: f64, b: f64| assert!((a / b - 1.0).abs() < 1e-9, "{a} is not {b}: {row}");
        near(number(row, "speedup"), number(dense, "seconds") / number(row, "seconds"));
        near(number(row, "ideal_speedup"), number(dense, "flops") / number(row, "flops"));
        near(number(row, "realised"), number(row, "speedup") / number(row, "ideal_speedup"));
        let share = number(row, "overhead_share");
        assert!(if row == dense { share == 0.0 } else { 0.0 < share && share < 1.0 }, "{row}");
    }
    for row in &rows[1..] {
        // 0.7 · 64 = 44.8 tokens, of which there are 45.
        assert!(number(row, "flops") < number(dense, "flops") && number(row, "ratio") == 1.0 - 45.0 / 64.0, "{row}");
    }
}

/// What needs no training runs on any shape, each with its own parameters, and all of them under a step cache too.
#[test]
fn policies_without_training_are_measured_with_their_parameters() {
    let shell = Shell::new();
    let asked =
        ["--policies", "sdtm,tome,kv", "--set", "multiple=1", "--set", "mlp=true", "--step-cache", "every=2,last=0"];
    let told = shell.json(&[&["bench", "--shape", SHAPE, "--repeats", "1", "--batch", "1"], &asked[..]].concat());
    let rows = told["policies"].as_array().unwrap();
    let names = ["dense", "sdtm", "tome", "kv", "dense + cache", "sdtm + cache", "tome + cache", "kv + cache"];
    assert_eq!(rows.iter().map(|row| &row["policy"]).collect::<Vec<_>>(), names);
    let flops: Vec<f64> = rows.iter().map(|row| number(row, "flops")).collect();
    for policy in 1..4 {
        assert!(flops[policy] < flops[0], "{}", rows[policy]);
    }
    for policy in 0..4 {
        assert!(flops[policy + 4] < flops[policy], "{}", rows[policy + 4]);
    }
    assert_eq!((rows[2]["ratio"].as_f64(), rows[3]["ratio"].as_f64()), (Some(0.5), None));
}

/// The regions of a matrix are different graphs; what they cost is the mean over the steps that take each.
#[test]
fn variants_weigh_as_often_as_steps_take_them() {
    let shell = Shell::new();
    let routed = model("routed/dit_regions");
    let told = shell.json(&["bench", "--model", &routed, "--policies", "mod,diffcr", "--repeats", "1"]);
    let counted = &shell.json(&["inspect", &routed])["flops_per_step"];
    assert_eq!(told["shape"]["model"], "model");
    for (row, policy) in ["dense", "mod", "diffcr"].into_iter().enumerate() {
        let row = &told["policies"][row];
        let off = row["flops"].as_f64().unwrap() - counted[policy].as_f64().unwrap();
        assert!(row["policy"] == policy && off.abs() <= 1.0, "{row}, inspect counts {}", counted[policy]);
    }
    let text = text(&shell.run(&["bench", "--policies", "dense", "--repeats", "1"]).stdout);
    assert!(text.contains("model (pixart), width 24, 2 layers, 3 heads, 16 tokens (4 × 4) + 120 of text"), "{text}");
}

#[test]
fn what_cannot_be_measured_is_a_usage_error() {
    let (shell, dit) = (Shell::new(), model("dit_ddim"));
    let cases: &[(&[&str], &str)] = &[
        (&["bench", "--shape", "widht=64"], "no key \"widht\"; keys: width, layers, heads, tokens, text, kind"),
        (&["bench", "--shape", "width=64,layers=2,heads=5,tokens=64"], "64 is not divisible by heads 5"),
        (&["bench", "--shape", "width=60000,layers=99,heads=1000,tokens=64"], "GiB of random weights"),
        (&["bench", "--shape", SHAPE, "--model", &dit], "cannot be used with"),
        (&["bench", "--shape", SHAPE, "--policies", "sdtm", "--set", "stride=2"], "--set stride: none of the policies"),
        (&["bench", "--shape", SHAPE, "--ratio", "0.95"], "bins save 0.9 at most"),
        (&["bench", "--shape", SHAPE, "--policies", "dense", "--ratio", "0.3"], "--ratio"),
        (&["bench", "--repeats", "0"], "--repeats"),
        (&["bench", "--model", &dit, "--policies", "diffcr"], "this model cannot run diffcr"),
        (&["bench", "--model", &dit, "--ratio", "0.3"], "this model can only run dense"),
        (&["bench", "--model", &dit, "--size", "17x16"], "17x16 is not divisible"),
    ];
    for (arguments, reason) in cases {
        shell.fails(arguments, 2, reason);
    }
}

#[test]
fn a_roofline_holds_ops_against_the_peaks_of_the_adapter() {
    let shell = Shell::new();
    let told = shell.json(&["bench", "--roofline", "16", "--batch", "1", "--repeats", "1"]);
    let peaks = &told["peaks"];
    assert!(number(peaks, "f32") > 0.0 && number(peaks, "bytes") > 0.0, "{peaks}");
    let ops = told["ops"].as_array().unwrap();
    assert_eq!((ops.len(), &ops[0]["model"], &ops[1]["op"]), (4 * 7, &"S, 16 tokens".into(), &"qkv".into()));
    for op in ops {
        let by = if op["flops"] == 0 { "copy" } else { "fma" };
        // Small copies lie in a cache, which is faster than what peaks are measured in.
        assert!(number(op, "share") > 0.0 && (by == "fma" || op["by"] == by), "{op}");
    }
    let all = shell.run(&["bench", "--roofline", "--adapter", "cpu"]);
    assert!(text(&all.stderr).contains("a roofline needs a GPU"), "{}", text(&all.stderr));
    shell.fails(&["bench", "--roofline", "--policies", "tome"], 2, "cannot be used with");
}
