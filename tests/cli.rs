//! The built program, as a shell sees it: exit codes, lines, files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{Tensors, close, golden, json, max_error};
use serde_json::Value;
use tempfile::{TempDir, tempdir};

/// A transformer small enough to be measured in passing.
const SHAPE: &str = "width=64,layers=2,heads=4,tokens=64";

/// An empty folder to run in.
struct Shell(TempDir);

impl Shell {
    fn new() -> Self {
        Self(tempdir().unwrap())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foveate"));
        command.args(arguments).current_dir(self.0.path()).env("FOVEATE_MODEL", golden("pixart_alpha/model"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The result of a run that must succeed, as JSON.
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stdout));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// A run that must fail with `code` and one line on stderr that contains `reason`.
    fn fails(&self, arguments: &[&str], code: i32, reason: &str) {
        let output = self.run(arguments);
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(reason), "{arguments:?}: {stderr}");
        assert_eq!((stderr.lines().count(), stdout.as_str()), (1, ""), "{arguments:?}: {stderr}");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn files(&self) -> Vec<String> {
        let names = fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn model(name: &str) -> String {
    golden(name).join("model").to_str().unwrap().to_owned()
}

fn inputs(name: &str) -> String {
    golden(name).join("inputs.safetensors").to_str().unwrap().to_owned()
}

/// The arguments of a golden's request.
fn request(name: &str) -> Vec<String> {
    let json = json(&golden(name).join("request.json"));
    let mut arguments = vec!["generate".to_owned(), "--model".into(), model(name)];
    arguments.extend(json["prompt"].as_str().map(str::to_owned));
    for key in ["class", "negative", "steps", "guidance", "seed"] {
        let value = json[key].as_str().map(str::to_owned).or(json[key].as_number().map(|n| n.to_string()));
        arguments.extend(value.into_iter().flat_map(|value| [format!("--{key}"), value]));
    }
    arguments.extend(["--size".into(), format!("{}x{}", json["size"][0], json["size"][1])]);
    arguments
}

fn words(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// The text chunks of a PNG.
fn about(file: &Path) -> Vec<(String, String)> {
    let reader = png::Decoder::new(std::io::BufReader::new(fs::File::open(file).unwrap())).read_info().unwrap();
    let info = reader.info();
    let plain = info.uncompressed_latin1_text.iter().map(|chunk| (chunk.keyword.clone(), chunk.text.clone()));
    let wide = info.utf8_text.iter().map(|chunk| (chunk.keyword.clone(), chunk.get_text().unwrap()));
    plain.chain(wide).collect()
}

#[test]
fn wrong_requests_are_usage_errors() {
    let shell = Shell::new();
    let (dit, ids) = (model("dit_ddim"), inputs("pixart_alpha"));
    let cases: &[(&[&str], &str)] = &[
        (&["draw"], "unrecognized subcommand 'draw'"),
        (&["generate"], "nothing to draw"),
        (&["generate", "x", "--sed", "1"], "'--seed'"),
        (&["generate", "x", "--seed", "0.5"], "--seed"),
        (&["generate", "x", "--size", "16"], "WIDTHxHEIGHT"),
        (&["generate", "x", "--size", "17x16"], "17x16 is not divisible"),
        (&["generate", "x", "--steps", "0"], "at least one step"),
        (&["generate", "x", "--count", "0"], "count"),
        (&["generate", "x", "--dtype", "fp8"], "f32, f16, bf16, int8 or int4"),
        (&["generate", "x", "--scheduler", "magic"], "no scheduler magic"),
        (&["generate", "x", "--adapter", "no such thing"], "no adapter is named"),
        (&["generate", "x", "--compress", "tome"], "tome is not in this version"),
        (&["generate", "x", "--compress", "gzip"], "dense, diffcr, mod, sdtm, tome"),
        (&["generate", "x", "--set", "ratio=0.5"], "dense has no parameters"),
        (&["generate", "x", "--ratio", "0.5"], "--ratio"),
        (&["generate", "x", "--class", "1"], "--class"),
        (&["generate", "x", "-o", "x.jpg"], ".png"),
        (&["generate", "x", "-o", "x.png", "--profile", "x.png"], "two outputs go to"),
        (&["generate", "--class", "1"], "this model draws prompts"),
        (&["generate", "x", "--model", &dit], "this model draws classes"),
        (&["generate", "--class", "5000", "--model", &dit], "no class 5000"),
        (&["generate", "--prompt-ids", &ids, "--prompt-embeds", &ids], "cannot be used with"),
        (&["inspect"], "<DIR|URL>"),
        (&["bench", "--shape", "widht=64"], "no key \"widht\"; keys: width, layers, heads, tokens, text, kind"),
        (&["bench", "--shape", "width=64,layers=2,heads=5,tokens=64"], "64 is not divisible by heads 5"),
        (&["bench", "--shape", "width=60000,layers=99,heads=1000,tokens=64"], "GiB of random weights"),
        (&["bench", "--shape", SHAPE, "--model", &dit], "cannot be used with"),
        (&["bench", "--shape", SHAPE, "--policies", "dense,sdtm"], "sdtm is not in this version"),
        (&["bench", "--shape", SHAPE, "--ratio", "0.95"], "bins save 0.90 at most"),
        (&["bench", "--shape", SHAPE, "--policies", "dense", "--ratio", "0.3"], "--ratio"),
        (&["bench", "--repeats", "0"], "--repeats"),
        (&["bench", "--model", &dit, "--policies", "diffcr"], "this model cannot run diffcr"),
        (&["bench", "--model", &dit, "--ratio", "0.3"], "this model can only run dense"),
        (&["bench", "--model", &dit, "--size", "17x16"], "17x16 is not divisible"),
    ];
    for (arguments, reason) in cases {
        shell.fails(arguments, 2, reason);
    }
    assert!(shell.files().is_empty());
}

#[test]
fn what_cannot_be_read_is_named() {
    let shell = Shell::new();
    fs::write(shell.path("cut.safetensors"), [200, 0, 0, 0, 0, 0, 0, 0, b'{']).unwrap();
    fs::create_dir(shell.path("odd")).unwrap();
    fs::write(shell.path("odd/model_index.json"), r#"{"_class_name": "WarpPipeline"}"#).unwrap();
    let ids = inputs("dit_ddim");
    for (arguments, reason) in [
        (&["generate", "x", "--model", "absent"][..], "absent/model_index.json"),
        (&["generate", "x", "--model", "odd"], "WarpPipeline"),
        (&["inspect", "absent"], "absent/model_index.json"),
        (&["inspect", "odd"], "WarpPipeline"),
        (&["generate", "x", "--init-latents", "absent.safetensors"], "absent.safetensors"),
        (&["generate", "x", "--init-latents", "cut.safetensors"], "cut.safetensors"),
        (&["generate", "--prompt-ids", &ids], "tensor input_ids"),
    ] {
        shell.fails(arguments, 1, reason);
    }
}

#[test]
fn errors_are_json_where_asked() {
    let shell = Shell::new();
    for (arguments, code, reason) in [
        (&["generate", "x", "--json", "--sed", "1"][..], 2, "--seed"),
        (&["generate", "x", "--json", "--model", "absent"], 1, "opening the model"),
    ] {
        let output = shell.run(arguments);
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(code), ""));
        assert!(told["error"].as_str().unwrap().contains(reason) && told["causes"].is_array(), "{told}");
    }
}

#[test]
fn a_failure_leaves_files_as_they_were() {
    let shell = Shell::new();
    fs::write(shell.path("old.png"), "old").unwrap();
    let other_size = ["--size", "32x32", "--init-latents", &inputs("pixart_alpha")];
    shell.fails(&[&["generate", "x", "-o", "old.png"], &other_size[..]].concat(), 2, "latents given");
    shell.fails(&["generate", "x", "-o", "absent/x.png"], 1, "there is no such folder");
    shell.fails(&["generate", "x", "-o", "old.png", "--profile", "absent/x.json"], 1, "there is no such folder");
    assert_eq!(
        (shell.files(), fs::read(shell.path("old.png")).unwrap()),
        (vec!["old.png".to_owned()], b"old".to_vec())
    );
    fs::create_dir(shell.path("folder.png")).unwrap();
    shell.fails(&["generate", "x", "-o", "folder.png"], 1, "no regular file");
}

#[test]
fn a_picture_knows_its_request_and_comes_again() {
    let shell = Shell::new();
    let request = request("pixart_alpha");
    for name in ["first.png", "second.png"] {
        let told = shell.json(&[words(&request), vec!["-o", name]].concat());
        assert_eq!((&told["outputs"][0], &told["steps"]), (&name.into(), &4.into()));
        assert!(told["flops_per_step"].as_u64().unwrap() > 0 && told["seconds"]["steps"].as_f64().unwrap() > 0.0);
    }
    assert_eq!(fs::read(shell.path("first.png")).unwrap(), fs::read(shell.path("second.png")).unwrap());
    assert_eq!(shell.files(), ["first.png", "second.png"]);
    let about = about(&shell.path("first.png"));
    let pairs: Vec<_> = about.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    for pair in [
        ("prompt", "  A red Fox in the snow, by the sea at night "),
        ("negative", "low quality, blurry"),
        ("seed", "7"),
        ("steps", "4"),
        ("guidance", "4.5"),
        ("scheduler", "DPMSolverMultistepScheduler"),
        ("size", "16x16"),
        ("model", "model"),
        ("compress", "dense"),
    ] {
        assert!(pairs.contains(&pair), "{pair:?} is not in {pairs:?}");
    }
}

/// Every way to say the same: seed and prompt, or tensors in their place.
#[test]
fn saved_tensors_are_those_of_diffusers() {
    for (name, given) in [
        ("dit_ddim", &[][..]),
        ("dit_ddim", &["--init-latents"]),
        ("pixart_alpha", &["--init-latents", "--prompt-ids"]),
        ("pixart_alpha", &["--prompt-embeds"]),
    ] {
        let (shell, request, file) = (Shell::new(), request(name), inputs(name));
        let given = given.iter().flat_map(|option| [*option, &file]);
        let arguments: Vec<_> =
            words(&request).into_iter().chain(given).chain(["--save-tensors", "all.safetensors"]).collect();
        shell.json(&arguments);
        let found = Tensors::read(&shell.path("all.safetensors"));
        let expected = Tensors::read(&golden(name).join("expected.safetensors"));
        for (tensor, values) in &found.0 {
            let (values, wanted) = (values.f32(), expected.get(tensor));
            assert_eq!(found.get(tensor).shape, wanted.shape, "{name}: {tensor}");
            match tensor.as_str() {
                "image" => assert!(max_error(values, wanted.f32()) <= 2e-3, "{name}: image"),
                _ => close(&format!("{name}: {tensor}"), values, wanted.f32(), 1e-4),
            }
        }
        assert_eq!(found.0.len(), 2 + 2 * 4, "{name}");
    }
}

#[test]
fn what_is_cut_off_is_said() {
    let shell = Shell::new();
    let output = shell.run(&["generate", &"a red fox ".repeat(100), "--steps", "1"]);
    let stderr = text(&output.stderr);
    assert!(output.status.success() && stderr.starts_with("warning: the prompt is longer than 120 tokens"), "{stderr}");
    assert_eq!(stderr.lines().count(), 1);
    assert!(shell.run(&["generate", "", "--steps", "1"]).status.success());
}

#[test]
fn several_pictures_are_one_batch() {
    let shell = Shell::new();
    let (dit, options) =
        (model("dit_ddim"), ["--steps", "1", "--save-tensors", "all.safetensors", "--profile", "times.json"]);
    let told = shell.json(&[&["generate", "--class", "3", "--count", "2", "--model", &dit], &options[..]].concat());
    assert_eq!(told["outputs"], serde_json::json!(["foveate-1.png", "foveate-2.png"]));
    assert_eq!(shell.files(), ["all.safetensors", "foveate-1.png", "foveate-2.png", "times.json"]);
    assert_eq!(Tensors::read(&shell.path("all.safetensors")).get("image").shape[..2], [2, 3]);
    let trace = json(&shell.path("times.json"));
    let events = trace["traceEvents"].as_array().unwrap();
    assert!(events.iter().any(|e| e["name"] == "step 0") && events.iter().any(|e| e["name"] == "block 0 attention"));
}

#[test]
fn models_are_inspected_without_a_gpu() {
    let shell = Shell::new();
    let told = shell.json(&["inspect", &model("pixart_alpha")]);
    let transformer = &told["components"][0];
    assert_eq!(transformer["class"], "PixArtTransformer2DModel");
    let bytes = |dtype: &str| transformer["bytes"][dtype].as_u64().unwrap();
    assert!(bytes("f32") > bytes("f16") && bytes("f32") > bytes("int8") && bytes("int8") > bytes("int4"));
    assert!(told["flops_per_step"]["dense"].as_u64().unwrap() > 0);
    assert!(told["errors"].as_array().unwrap().iter().all(|e| e["worst"].as_f64() >= e["mean"].as_f64()));
    let text = text(&shell.run(&["inspect", &model("dit_ddim")]).stdout);
    assert!(text.contains("DiTTransformer2DModel") && text.contains("int4"), "{text}");
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
    let number = |row: usize, name: &str| rows[row][name].as_f64().unwrap_or_else(|| panic!("{name}: {}", rows[row]));
    assert!(rows[0]["ratio"].is_null() && number(0, "speedup") == 1.0 && number(0, "realised") == 1.0);
    for row in 0..rows.len() {
        let near = |a: f64, b: f64| assert!((a / b - 1.0).abs() < 1e-9, "{a} is not {b}: {}", rows[row]);
        near(number(row, "speedup"), number(0, "seconds") / number(row, "seconds"));
        near(number(row, "ideal_speedup"), number(0, "flops") / number(row, "flops"));
        near(number(row, "realised"), number(row, "speedup") / number(row, "ideal_speedup"));
        let share = rows[row]["overhead_share"].as_f64();
        assert!(
            share.is_none_or(|share| if row == 0 { share == 0.0 } else { share > 0.0 && share < 1.0 }),
            "{share:?}"
        );
    }
    for row in [1, 2] {
        // 0.7 · 64 = 44.8 tokens, of which there are 45.
        assert!(
            number(row, "flops") < number(0, "flops") && number(row, "ratio") == 1.0 - 45.0 / 64.0,
            "{}",
            rows[row]
        );
    }
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
fn adapters_are_listed() {
    let told = Shell::new().json(&["devices"]);
    assert!(told["adapters"][0]["max_storage_buffers"].as_u64().unwrap() >= 8);
}

/// The signal is sent as soon as the program listens for it, which is long before it is done.
#[cfg(target_os = "linux")]
#[test]
fn an_interrupt_leaves_nothing_behind() {
    let shell = Shell::new();
    let child = shell.command(&["generate", "--class", "1", "--steps", "1000", "--model", &model("dit_ddim")]);
    let child = { child }.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let listens = || {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim().to_owned();
        u64::from_str_radix(&caught, 16).unwrap() & 2 != 0
    };
    while !listens() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(1), "error: cancelled\n"));
    assert!(shell.files().is_empty());
}
