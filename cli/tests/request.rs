//! `--request` and `--like`: one request from a file or a picture, changed by options.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../../tests/common/mod.rs"]
mod common;
mod shell;

use std::fs;

use serde_json::{Value, json};
use shell::{Shell, about, inputs, model, origin, request, saying, text, words};

fn pixels(shell: &Shell, name: &str) -> Vec<u8> {
    image::open(shell.path(name)).unwrap().to_rgb8().into_raw()
}

#[test]
fn a_picture_is_drawn_again_and_options_change_it() {
    let (shell, asked) = (Shell::new(), request("pixart_alpha"));
    let how = ["--dtype", "f16", "--scheduler", "ddim", "--compress", "tome", "--set", "stride=2", "-o", "first.png"];
    shell.json(&[&words(&asked), &how[..]].concat());
    shell.json(&["generate", "--like", "first.png", "-o", "again.png"]);
    assert_eq!(fs::read(shell.path("again.png")).unwrap(), fs::read(shell.path("first.png")).unwrap());

    let said = origin(&shell.path("first.png"));
    assert_eq!((&said["dtype"], &said["scheduler"]), (&json!("f16"), &json!("DDIMScheduler")));
    assert_eq!((&said["index"], &said["count"], &said["model"]), (&json!(0), &json!(1), &json!("model")));
    assert!(said["given"].is_null() && said["request"]["traced"].is_null(), "{said}");
    assert_eq!(said["request"]["compression"], json!({ "policy": "tome", "set": { "stride": "2" } }));

    shell.json(&["generate", "a wolf", "--like", "first.png", "--seed", "8", "--dtype", "f32", "-o", "other.png"]);
    assert_ne!(pixels(&shell, "other.png"), pixels(&shell, "first.png"));
    let mut expected = said;
    (expected["request"]["prompt"], expected["request"]["seed"]) = (json!("a wolf"), json!(8));
    expected["dtype"] = json!("f32");
    assert_eq!(origin(&shell.path("other.png")), expected);
    assert!(about(&shell.path("other.png")).contains(&("prompt".into(), "a wolf".into())));
}

#[test]
fn a_file_says_the_same_as_options() {
    let (shell, asked) = (Shell::new(), request("pixart_alpha"));
    shell.json(&[words(&asked), vec!["-o", "options.png"]].concat());
    let request = &origin(&shell.path("options.png"))["request"];
    fs::write(shell.path("request.json"), request.to_string()).unwrap();
    shell.json(&["generate", "--request", "request.json", "-o", "file.png"]);
    assert_eq!(fs::read(shell.path("file.png")).unwrap(), fs::read(shell.path("options.png")).unwrap());
}

/// Pictures of a batch share a generator, so one of them comes again with the others.
#[test]
fn one_of_a_batch_brings_the_batch() {
    let (shell, dit) = (Shell::new(), model("dit_ddim"));
    shell.json(&["generate", "--class", "3", "--count", "2", "--steps", "1", "--model", &dit, "-o", "a.png"]);
    assert_eq!(origin(&shell.path("a-2.png"))["index"], json!(1));
    shell.json(&["generate", "--like", "a-2.png", "--model", &dit, "-o", "b.png"]);
    for picture in 1..=2 {
        let [first, again] = ["a", "b"].map(|stem| fs::read(shell.path(&format!("{stem}-{picture}.png"))).unwrap());
        assert_eq!(first, again, "{picture}");
    }
}

/// All that shapes a picture and is no default, in batches: each picture's text brings the whole batch again.
#[test]
fn what_a_picture_says_is_enough_to_draw_it_again() {
    let (shell, dit) = (Shell::new(), model("routed/dit_mlp"));
    let alpha = model("pixart_alpha");
    let words_of = |more: &[&'static str]| {
        [&["generate", "a red fox", "--adapter", "cpu", "--negative", "blurry", "--steps", "3", "--model", &alpha][..], more].concat()
    };
    let routed = ["generate", "--adapter", "cpu", "--class", "3", "--model", &dit, "--steps", "3", "--dtype", "int8"];
    let asked = [
        words_of(&["--dtype", "int4", "--scheduler", "euler", "--count", "3", "--guidance", "2.7", "--seed", "-5"]),
        words_of(&["--dtype", "bf16", "--scheduler", "ddpm", "--count", "2", "--step-cache", "every=2,first=0,last=0"]),
        words_of(&["--compress", "sdtm", "--set", "multiple=1", "--ratio", "0.4", "--count", "2", "--guidance", "1"]),
        [&routed[..], &["--compress", "mod", "--ratio", "0.37", "--count", "2", "--scheduler", "dpm"]].concat(),
    ];
    for (case, asked) in asked.iter().enumerate() {
        let [first, again] = ["first", "again"].map(|name| format!("{name}{case}"));
        let first_file = format!("{first}.png");
        let told = shell.json(&[&asked[..], &["-o", &first_file]].concat());
        let count = told["outputs"].as_array().unwrap().len();
        let named = asked.iter().position(|word| *word == "--model").map(|at| asked[at + 1]).unwrap();
        for picture in [1, count] {
            let like = format!("{first}-{picture}.png");
            shell.json(&[
                "generate",
                "--like",
                &like,
                "--adapter",
                "cpu",
                "--model",
                named,
                "-o",
                &format!("{again}.png"),
            ]);
            for each in 1..=count {
                let [a, b] = [&first, &again].map(|stem| fs::read(shell.path(&format!("{stem}-{each}.png"))).unwrap());
                assert_eq!(a, b, "{asked:?}: picture {each} by what picture {picture} says");
            }
        }
    }
}

#[test]
fn tensors_must_be_given_again() {
    let (shell, asked, file) = (Shell::new(), request("pixart_alpha"), inputs("pixart_alpha"));
    let given = ["--init-latents", &file, "--prompt-embeds", &file];
    shell.json(&[&words(&asked), &given[..], &["-o", "first.png"]].concat());
    assert_eq!(origin(&shell.path("first.png"))["given"], json!(["init_latents", "prompt_embeds"]));
    let like = ["generate", "--like", "first.png", "-o", "again.png"];
    shell.fails(&like, 2, "does not hold; give --init-latents and --prompt-embeds again");
    shell.fails(&[&like[..], &given[..2]].concat(), 2, "does not hold; give --prompt-embeds again");
    shell.json(&[&like[..], &given].concat());
    assert_eq!(pixels(&shell, "again.png"), pixels(&shell, "first.png"));
}

/// A picture's words are a stranger's: the model that it names is compared, and nothing that it names is opened.
#[test]
fn the_model_of_a_picture_is_only_compared() {
    let shell = Shell::new();
    let stranger = json!({
        "version": "0.1.0", "request": { "prompt": "x", "steps": 1 }, "model": "http://127.0.0.1:9/\u{1b}model",
        "scheduler": "DDIMScheduler", "index": 0, "count": 1,
    });
    fs::write(shell.path("strange.png"), saying(&stranger.to_string())).unwrap();
    let output = shell.run(&["generate", "--like", "strange.png"]);
    let stderr = text(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let warning = r#"warning: the picture was drawn with the model "http://127.0.0.1:9/\u{1b}model", and this one is"#;
    assert!(stderr.starts_with(warning) && stderr.lines().count() == 1, "{stderr}");

    let with = |key: &str, value: Value| {
        let mut said = stranger.clone();
        said[key] = value;
        said.to_string()
    };
    for (said, reason) in [
        (with("path", json!("/etc/passwd")), "unknown field `path`"),
        (with("request", json!({ "promt": "x" })), "unknown field `promt`"),
        (with("request", json!({ "prompt": "x", "scheduler": "\u{1b}[2J" })), "no scheduler \"\\u{1b}[2J"),
        (with("request", json!({ "prompt": "x", "compression": { "policy": "gzip" } })), "no policy \"gzip\""),
        (with("dtype", json!("fp8")), "f32, f16, bf16, int8 or int4"),
        (with("given", json!(["init_latents"])), "give --init-latents again"),
        ("{".into(), "EOF while parsing"),
    ] {
        fs::write(shell.path("strange.png"), saying(&said)).unwrap();
        shell.fails(&["generate", "--like", "strange.png"], 2, reason);
    }
}

#[test]
fn what_is_no_request_is_refused_in_one_line() {
    let shell = Shell::new();
    image::RgbImage::new(2, 2).save(shell.path("foreign.png")).unwrap();
    fs::write(shell.path("text.png"), "no picture").unwrap();
    let mut damaged = saying(r#"{"prompt": "x"}"#);
    let at = damaged.windows(6).position(|bytes| bytes == b"prompt").unwrap();
    damaged[at] ^= 1;
    fs::write(shell.path("damaged.png"), &damaged).unwrap();
    fs::write(shell.path("cut.png"), &damaged[..at]).unwrap();
    fs::write(shell.path("broken.json"), "{\"prompt\": \"x\",\n}").unwrap();
    for (arguments, code, reason) in [
        (&["--like", "foreign.png"][..], 2, "foreign.png: the picture does not say how foveate drew it"),
        (&["--like", "text.png"], 2, "text.png: it cannot be read as PNG"),
        (&["--like", "damaged.png"], 2, "damaged.png: it cannot be read as PNG"),
        (&["--like", "cut.png"], 2, "cut.png: it cannot be read as PNG"),
        (&["--like", "absent.png"], 1, "absent.png"),
        (&["--request", "absent.json"], 1, "absent.json"),
        (&["--request", "broken.json"], 2, "broken.json: trailing comma"),
        (&["--request", "broken.json", "--like", "text.png"], 2, "cannot be used with"),
    ] {
        shell.fails(&[&["generate"], arguments].concat(), code, reason);
    }
    fs::write(shell.path("class.json"), r#"{"class": 1}"#).unwrap();
    shell.fails(&["generate", "--request", "class.json"], 2, "takes no class; give a prompt, not --class");
    shell.json(&["generate", "x", "--request", "class.json", "--steps", "1", "-o", "named.png"]);
    assert_eq!(origin(&shell.path("named.png"))["request"]["class"], Value::Null);
}
