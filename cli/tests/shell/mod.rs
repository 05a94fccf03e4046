//! Running the built program as a shell does, in a folder of its own.
#![allow(dead_code, reason = "each test binary uses its part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::{TempDir, tempdir};

use crate::common::{golden, json};

/// An empty folder to run in.
pub struct Shell(TempDir);

impl Shell {
    pub fn new() -> Self {
        Self(tempdir().unwrap())
    }

    /// The program with these arguments. What needs a device gets the fastest GPU, unless it names another: without a
    /// name the program would choose, and a machine without a GPU would test another device.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_foveate"));
        let draws = matches!(arguments.first(), Some(&("generate" | "bench")));
        let named = arguments.iter().any(|argument| argument.starts_with("--adapter"));
        let adapter: &[&str] = if draws && !named { &["--adapter", "gpu"] } else { &[] };
        command
            .args(arguments)
            .args(adapter)
            .current_dir(self.0.path())
            .env("FOVEATE_MODEL", golden("pixart_alpha/model"))
            // What was measured on this machine changes the last bits of a picture.
            .env("FOVEATE_TUNING", self.path("tunings"));
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The result of a run that must succeed, as JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stdout));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// A run that must fail with `code` and one line on stderr that contains `reason`.
    pub fn fails(&self, arguments: &[&str], code: i32, reason: &str) {
        let output = self.run(arguments);
        let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {stderr}");
        assert!(stderr.starts_with("error: ") && stderr.contains(reason), "{arguments:?}: {stderr}");
        assert_eq!((stderr.lines().count(), stdout.as_str()), (1, ""), "{arguments:?}: {stderr}");
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn files(&self) -> Vec<String> {
        let names = fs::read_dir(self.0.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub fn model(name: &str) -> String {
    golden(name).join("model").to_str().unwrap().to_owned()
}

pub fn inputs(name: &str) -> String {
    golden(name).join("inputs.safetensors").to_str().unwrap().to_owned()
}

/// The arguments of a golden's request.
pub fn request(name: &str) -> Vec<String> {
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

pub fn words(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

/// What a picture says to programs.
pub fn origin(file: &Path) -> Value {
    let said = about(file).into_iter().find(|(key, _)| key == "foveate").unwrap();
    serde_json::from_str(&said.1).unwrap()
}

/// A picture of one pixel that says this to programs.
pub fn saying(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 1, 1);
    encoder.add_itxt_chunk("foveate".into(), text.into()).unwrap();
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&[0]).unwrap();
    writer.finish().unwrap();
    bytes
}

/// The text chunks of a PNG.
pub fn about(file: &Path) -> Vec<(String, String)> {
    let reader = png::Decoder::new(std::io::BufReader::new(fs::File::open(file).unwrap())).read_info().unwrap();
    let info = reader.info();
    let plain = info.uncompressed_latin1_text.iter().map(|chunk| (chunk.keyword.clone(), chunk.text.clone()));
    let wide = info.utf8_text.iter().map(|chunk| (chunk.keyword.clone(), chunk.get_text().unwrap()));
    plain.chain(wide).collect()
}

/// Where the weights begin in a safetensors file.
pub fn weights_of(bytes: &[u8]) -> usize {
    8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize
}
