//! The built program, as a shell sees it: exit codes, lines, files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../../tests/common/mod.rs"]
mod common;
mod shell;

use std::fs;

use common::{Tensors, close, golden, json, max_error};
use serde_json::Value;
use shell::{Shell, about, inputs, model, request, text, weights_of, words};

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
        (&["generate", "x", "--size", "65536x65536"], "a size of 65536x65536 is too large: at most 268435456 pixels"),
        (&["generate", "x", "--count", "1000000"], "it is a whole number from 1 to 1024"),
        (&["generate", "x", "--guidance", "inf"], "it is no finite number"),
        (&["generate", "x", "--steps", "0"], "at least one step"),
        (&["generate", "x", "--steps", "-1"], "invalid value '-1' for '--steps <N>': it is a whole number from 1 up"),
        (&["generate", "--class", "-1"], "invalid value '-1' for '--class <N>': a class is a whole number from 0 up"),
        (&["generate", "x", "--count", "-1"], "it is a whole number from 1 to 1024"),
        (&["generate", "x", "-o", "folder/"], "is no name of a file"),
        (&["generate", "x", "--count", "0"], "count"),
        (&["generate", "x", "--dtype", "fp8"], "f32, f16, bf16, int8 or int4"),
        (&["generate", "x", "--max-memory", "12 parsecs"], "it is a number of bytes such as 12GB"),
        (&["generate", "x", "--fast", "--exact"], "cannot be used with"),
        (&["generate", "x", "--scheduler", "magic"], "no scheduler \"magic\""),
        (&["generate", "x", "--adapter", "no such thing"], "no adapter is named"),
        (
            &["generate", "x", "--compress", "tome", "--set", "size=3"],
            "tome has no parameter \"size\": its parameters are ratio, stride",
        ),
        (&["generate", "x", "--compress", "sdtm", "--ratio", "0.3", "--set", "ratio=0.5"], "ratio is set twice"),
        (
            &["generate", "x", "--compress", "kv", "--ratio", "0.3"],
            "kv pools keys by its stride, it has no ratio; leave out --ratio",
        ),
        (&["generate", "x", "--set", "stride=2", "--set", "stride=3"], "stride is set twice"),
        (&["generate", "x", "--compress", "kv", "--set", "layers=14-27"], "the model has layers 0-1"),
        (&["generate", "x", "--step-cache", "1"], "nothing is reused"),
        (&["generate", "x", "--step-cache", "every=2,first=9"], "leaves none of this model's"),
        (&["generate", "x", "--compress", "sdtm", "--maps", "maps"], "the policy sdtm has no routers to map"),
        (&["generate", "x", "--compress", "gzip"], "dense, diffcr, mod, sdtm, tome, kv"),
        (&["generate", "x", "--set", "ratio=0.5"], "the policy dense has no parameter \"ratio\": it has none"),
        (
            &["generate", "x", "--compress", "dense", "--ratio", "0.5"],
            "dense computes every token, it has no ratio; leave out --ratio",
        ),
        (&["generate", "x", "--ratio", "1.5"], "at least 0 and below 1"),
        (&["generate", "--class", "1", "--model", &dit, "--compress", "diffcr"], "has no \"diffcr\" with kept ratios"),
        (&["generate", "--class", "1", "--model", &dit, "--ratio", "0.5"], "it has no ratio"),
        (&["generate", "x", "--class", "1"], "--class"),
        (&["generate", "x", "-o", "x.jpg"], ".png"),
        (&["generate", "x", "-o", "x.png", "--profile", "x.png"], "two outputs go to"),
        (&["generate", "x", "-o", "x.png", "--maps", "x.png"], "two outputs go to"),
        (&["generate", "x", "--maps", "maps"], "no routers, so it runs dense and every layer computes every token"),
        (&["generate", "--class", "1"], "this model draws prompts and takes no class; give a prompt, not --class"),
        (&["generate", "x", "--model", &dit], "this model draws classes, and the request names none; give --class N"),
        (&["generate", "--class", "5000", "--model", &dit], "no class 5000"),
        (&["generate", "--prompt-ids", &ids, "--prompt-embeds", &ids], "cannot be used with"),
        (&["inspect"], "<DIR|URL>"),
    ];
    for (arguments, reason) in cases {
        shell.fails(arguments, 2, reason);
    }
    assert!(shell.files().is_empty());
}

#[test]
fn what_no_picture_comes_of_writes_none() {
    let shell = Shell::new();
    for adapter in ["cpu", "gpu"] {
        for guidance in ["1e38", "1e30", "1e20"] {
            let asked = ["generate", "x", "--steps", "2", "--guidance", guidance, "--adapter", adapter];
            shell.fails(&asked, 1, &format!("a guidance of {guidance} is likely too large"));
        }
    }
    shell.fails(&["generate", "x", "--steps", "2", "--size", "16384x16384"], 1, "the adapter is too small");
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

/// Everything here would be told at the end of a long run, or of something else.
#[cfg(target_os = "linux")]
#[test]
fn what_is_wrong_around_it_is_named() {
    use std::os::unix::ffi::OsStrExt;
    let shell = Shell::new();
    let long = "n".repeat(300) + ".png";
    shell.fails(&["generate", "x", "-o", &long], 1, "File name too long");
    shell.fails(&["generate", "x", "--maps", &long], 1, "File name too long");
    shell.fails(&["generate", "x", "--maps", "/"], 1, "/: holds other things and no maps");

    let mut odd = shell.command(&["generate", "x"]);
    odd.env("FOVEATE_MODEL", std::ffi::OsStr::from_bytes(b"/\xff"));
    let output = odd.output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(2), "error: FOVEATE_MODEL is not UTF-8\n"));

    let full = || fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    for (arguments, code) in [(&["generate", "x", "--sed", "1"][..], 2), (&["inspect", "absent"], 1), (&[], 2)] {
        assert_eq!(shell.command(arguments).stderr(full()).status().unwrap().code(), Some(code), "{arguments:?}");
    }
    assert!(shell.files().is_empty());
}

/// A model of a stranger says what it likes, and a terminal shows it and does nothing.
#[test]
fn files_do_not_steer_the_terminal() {
    let shell = Shell::new();
    let files = |class: &str, more: &str| {
        fs::create_dir_all(shell.path("odd/transformer")).unwrap();
        let index = serde_json::json!({ "_class_name": class }).to_string();
        fs::write(shell.path("odd/model_index.json"), index).unwrap();
        fs::write(shell.path("odd/transformer/config.json"), more).unwrap();
    };
    let name = "\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}";
    files(name, "{}");
    for arguments in [&["inspect", "odd"][..], &["inspect", "odd", "--json"], &["generate", "x", "--scheduler", name]] {
        let output = shell.run(arguments);
        let told = text(&output.stdout) + &text(&output.stderr);
        assert!(!told.contains(|c: char| (c.is_control() && c != '\n') || c == '\u{202e}'), "{told:?}");
        assert!(!output.status.success() && told.contains("owned"), "{told}");
    }
    files(&"x".repeat(100_000), "{}");
    let told = text(&shell.run(&["inspect", "odd"]).stderr);
    assert!(told.len() < 4000, "{}", told.len());
    fs::write(shell.path("odd/model_index.json"), vec![b'['; 2 << 20]).unwrap();
    shell.fails(&["inspect", "odd"], 1, "model_index.json: is 2097152 bytes long, more than the 1048576");
    let prompt = "p".repeat(120_000);
    let told = text(&shell.run(&["generate", "x", "--sed", "1", &prompt]).stderr);
    assert!(told.len() < 4000, "{}", told.len());
}

/// A copy of a golden's model folder.
fn copy(name: &str, to: &std::path::Path) {
    let from = golden(name).join("model");
    for part in ["", "scheduler", "text_encoder", "tokenizer", "transformer", "vae"] {
        fs::create_dir_all(to.join(part)).unwrap();
        let files = fs::read_dir(from.join(part)).unwrap().map(|entry| entry.unwrap().path());
        for file in files.filter(|path| path.is_file()) {
            fs::copy(&file, to.join(part).join(file.file_name().unwrap())).unwrap();
        }
    }
}

#[test]
fn tokens_that_do_not_fit_the_text_encoder_are_named() {
    use safetensors::tensor::{Dtype, TensorView};
    let shell = Shell::new();
    let ids: Vec<u8> = [3i32, 400].into_iter().flat_map(i32::to_le_bytes).collect();
    let view = |bytes| TensorView::new(Dtype::I32, vec![1, 2], bytes).unwrap();
    let names = ["input_ids", "attention_mask", "negative_input_ids", "negative_attention_mask"];
    let tensors = names.map(|name| (name, view(&ids)));
    fs::write(shell.path("ids.safetensors"), safetensors::serialize(tensors, None).unwrap()).unwrap();
    let given = ["generate", "--prompt-ids", "ids.safetensors"];
    let told = "there is no token 400: the text encoder knows 0 … 308";
    shell.fails(&given, 2, told);

    // Before any weight is read: of these nothing is left but the names.
    copy("pixart_alpha", &shell.path("hollow"));
    let weights = shell.path("hollow/transformer/diffusion_pytorch_model.safetensors");
    let bytes = fs::read(&weights).unwrap();
    let header = weights_of(&bytes);
    fs::write(&weights, [&bytes[..header], &vec![0xff; bytes.len() - header][..]].concat()).unwrap();
    shell.fails(&[&given[..], &["--model", "hollow"]].concat(), 2, told);
    shell.fails(&["generate", "x", "--model", "hollow"], 1, "NaN");

    // A scheme that was misspelt makes no folder of an address, which would be shown whole.
    let output = shell.run(&["generate", "x", "--model", "htp://user:secret@host/m"]);
    let stderr = text(&output.stderr);
    assert!(
        stderr.contains("htp://host/m/model_index.json: begins with neither") && !stderr.contains("secret"),
        "{stderr}"
    );

    // The tokenizer's own config may be missing: what it would say is the default.
    copy("pixart_alpha", &shell.path("model"));
    fs::remove_file(shell.path("model/tokenizer/tokenizer_config.json")).unwrap();
    shell.json(&["generate", "a fox", "--steps", "1", "--model", "model", "-o", "bare.png"]);
    shell.json(&["generate", "a fox", "--steps", "1", "--model", &model("pixart_alpha"), "-o", "whole.png"]);
    let pixels = |name: &str| image::open(shell.path(name)).unwrap().to_rgb8().into_raw();
    assert_eq!(pixels("bare.png"), pixels("whole.png"));

    fs::write(shell.path("model/tokenizer/tokenizer_config.json"), r#"{"extra_ids": 200}"#).unwrap();
    fs::remove_file(shell.path("model/tokenizer/special_tokens_map.json")).unwrap();
    let large = ["generate", "a fox", "--model", "model"];
    shell.fails(&large, 1, "tokenizer: has 400 tokens, and the text encoder knows 309");
}

#[test]
fn errors_are_json_where_asked() {
    let shell = Shell::new();
    for (arguments, code, reason, hint) in [
        (&["generate", "x", "--json", "--sed", "1"][..], 2, "--seed", None),
        (&["generate", "x", "--json", "--model", "absent"], 1, "opening the model", None),
        (&["generate", "--class", "1", "--json"], 2, "takes no class", Some("give a prompt, not --class")),
    ] {
        let output = shell.run(arguments);
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(code), ""));
        assert!(told["error"].as_str().unwrap().contains(reason) && told["causes"].is_array(), "{told}");
        assert_eq!(told["hint"].as_str(), hint);
    }
}

#[test]
fn a_failure_leaves_files_as_they_were() {
    let shell = Shell::new();
    fs::write(shell.path("old.png"), "old").unwrap();
    let other_size = ["--size", "32x32", "--init-latents", &inputs("pixart_alpha")];
    shell.fails(
        &[&["generate", "x", "-o", "old.png"], &other_size[..]].concat(),
        2,
        "init_latents [1, 4, 8, 8]: expected",
    );
    shell.fails(&["generate", "x", "-o", "absent/x.png"], 1, "there is no such folder");
    shell.fails(&["generate", "x", "-o", "old.png", "--profile", "absent/x.json"], 1, "there is no such folder");
    assert_eq!(
        (shell.files(), fs::read(shell.path("old.png")).unwrap()),
        (vec!["old.png".to_owned()], b"old".to_vec())
    );
    shell.fails(&["generate", "x", "--maps", "old.png"], 1, "is there and is no folder");
    shell.fails(&["generate", "x", "--maps", "absent/maps"], 1, "there is no such folder");
    fs::create_dir(shell.path("folder.png")).unwrap();
    shell.fails(&["generate", "x", "-o", "folder.png/sheet.png", "--maps", "folder.png"], 2, "two outputs go to");
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
    let merges = shell.run(&["generate", "x", "--steps", "2", "--compress", "sdtm"]);
    let stderr = text(&merges.stderr);
    assert!(merges.status.success() && stderr.ends_with("of 16 to merge; give --set multiple=1\n"), "{stderr}");
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
fn routed_models_tell_their_ratios_and_what_they_save() {
    let shell = Shell::new();
    let folder = golden("routed/dit_regions/model").display().to_string();
    let told = shell.json(&["inspect", &folder]);
    let flops = |policy: &str| told["flops_per_step"][policy].as_u64().unwrap();
    assert!(flops("diffcr") < flops("dense") && flops("mod") < flops("dense"));
    assert_eq!(told["diffcr"]["kept_ratio"].as_array().unwrap().len(), 4);
    let text = text(&shell.run(&["inspect", &folder]).stdout);
    assert!(text.contains("region 3 (cleanest)") && text.contains("(diffcr, "), "{text}");
}

/// What a routed run saves beside the tensors of any run: scores and masks of every layer and step.
#[test]
fn routing_is_saved_with_the_tensors() {
    let shell = Shell::new();
    let folder = golden("routed/dit_regions");
    let asked = json(&folder.join("request.json"));
    let text = |name: &str| asked[name].to_string();
    let [width, height] = [0, 1].map(|i| asked["size"][i].to_string());
    let told = shell.json(&[
        "generate",
        "--model",
        &folder.join("model").display().to_string(),
        "--class",
        &text("class"),
        "--steps",
        &text("steps"),
        "--guidance",
        &text("guidance"),
        "--seed",
        &text("seed"),
        "--size",
        &format!("{width}x{height}"),
        "--compress",
        "diffcr",
        "--save-tensors",
        "all.safetensors",
    ]);
    assert!(told["flops_per_step"].as_u64().unwrap() > 0);
    let found = Tensors::read(&shell.path("all.safetensors"));
    let expected = Tensors::read(&folder.join("expected.safetensors"));
    let routed: Vec<_> = found.0.keys().filter(|name| name.starts_with("router.")).collect();
    assert_eq!(routed.len(), expected.0.keys().filter(|name| name.starts_with("router.")).count());
    for name in routed {
        let (found, expected) = (found.get(name), expected.get(name));
        assert_eq!(found.shape, expected.shape, "{name}");
        let tolerance = if name.starts_with("router.kept.") { 0.0 } else { 2e-5 };
        assert!(max_error(found.f32(), expected.f32()) <= tolerance, "{name}");
    }
}

#[test]
fn the_help_lists_policies_and_schedulers() {
    let help = text(&Shell::new().run(&["generate", "--help"]).stdout);
    let words = ["dense   every token", "multiple=16", "one of ddim, ddpm", "--like <PICTURE.png>"];
    assert!(words.iter().all(|word| help.contains(word)), "{help}");
}

/// The processor draws what a GPU draws, says that it did, and draws the same bytes again.
#[test]
fn the_processor_draws_too() {
    let shell = Shell::new();
    let asked = request("dit_ddim");
    let draw = |adapter: &str, name: &str| {
        let told = shell.json(&[&words(&asked)[..], &["--adapter", adapter, "-o", name]].concat());
        let pixels = image::open(shell.path(name)).unwrap().to_rgb8();
        (told["adapter"].as_str().unwrap().to_owned(), pixels)
    };
    let ((by, drawn), (_, again), (other, expected)) =
        (draw("cpu", "cpu.png"), draw("cpu", "again.png"), draw("gpu", "gpu.png"));
    assert!(by.starts_with("processor (CPU") && !other.starts_with("processor"), "{by}, {other}");
    assert_eq!(drawn, again);
    let off = drawn.iter().zip(expected.iter()).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(off <= Some(1), "the pictures differ by {off:?} of 255");
    shell.fails(&["generate", "x", "--adapter", "cpu", "--profile", "p.json"], 1, "a profile needs a GPU");
}

/// As many as asked for, each drawing the same bytes; a GPU has none to choose.
#[test]
fn the_processor_has_as_many_threads_as_asked_for() {
    let shell = Shell::new();
    let asked = request("dit_ddim");
    let draw = |threads: &str| {
        let on = ["--adapter", "cpu", "--threads", threads, "-o", "drawn.png"];
        let told = shell.json(&[&words(&asked)[..], &on].concat());
        (told["adapter"].as_str().unwrap().to_owned(), image::open(shell.path("drawn.png")).unwrap().to_rgb8())
    };
    let ((one, drawn), (three, again)) = (draw("1"), draw("3"));
    assert!(one.contains("1 thread,") && three.contains("3 threads,"), "{one}; {three}");
    assert_eq!(drawn, again);
    for command in [&["generate", "x"][..], &["bench"]] {
        let gpu = [command, &["--adapter", "gpu", "--threads", "2"]].concat();
        shell.fails(&gpu, 2, "threads: only the processor has them, the adapter \"cpu\"");
        shell.fails(&[command, &["--adapter", "cpu", "--threads", "0"]].concat(), 2, "from 1 to 1024");
    }
}

#[test]
fn adapters_are_listed() {
    let told = Shell::new().json(&["devices"]);
    assert!(told["adapters"][0]["max_storage_buffers"].as_u64().unwrap() >= 8);
    assert_eq!(told["adapters"].as_array().unwrap().last().unwrap()["name"], "processor");
    let report = Shell::new().json(&["doctor"]);
    assert_eq!(report["adapters"], told["adapters"]);
    assert!(report["chosen"].as_str().unwrap().contains('('), "{report}");
}

/// Whatever the device: what needs more is refused with what to do, and enough is enough.
#[test]
fn memory_is_bounded() {
    let shell = Shell::new();
    for adapter in ["cpu", "gpu"] {
        let bounded = |most| ["generate", "x", "--steps", "1", "--adapter", adapter, "--max-memory", most];
        shell.fails(&bounded("10kB"), 1, "of the 10000 allowed are in use; give --dtype int8, or a smaller --size");
        assert!(shell.run(&bounded("1GiB")).status.success(), "{adapter}");
    }
    let devices = text(&shell.run(&["devices"]).stdout);
    assert!(devices.contains("the system's"), "{devices}");
}
