//! Ctrl-C and SIGTERM, whatever the program waits for.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

#[path = "../../tests/common/mod.rs"]
mod common;
mod shell;

use std::fs;
use std::process::Command;

use common::golden;
use shell::{Shell, model, text, weights_of};

/// Serves the files of a folder. Of the weights of `slow`, a safetensors file, a byte comes in a second.
fn trickle(folder: std::path::PathBuf, slow: &'static str) -> (String, std::sync::mpsc::Receiver<()>) {
    use std::io::{BufRead, BufReader, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (begun, began) = std::sync::mpsc::channel();
    let answer = move |mut stream: std::net::TcpStream, begun: std::sync::mpsc::Sender<()>| {
        let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
        while let Some(Ok(first)) = lines.next() {
            let mut range = None;
            for line in lines.by_ref().map(Result::unwrap).take_while(|line| !line.is_empty()) {
                let bounds = line.to_lowercase().strip_prefix("range: bytes=").map(str::to_owned);
                range = bounds.map(|bounds| bounds.split('-').map(|at| at.parse().unwrap()).collect()).or(range);
            }
            let name = first.split(' ').nth(1).unwrap().trim_start_matches('/').to_owned();
            let Ok(bytes) = fs::read(folder.join(&name)) else {
                write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").unwrap();
                continue;
            };
            let all: Vec<usize> = vec![0, bytes.len() - 1];
            let [start, last] = range.unwrap_or(all).try_into().unwrap();
            let part = &bytes[start..=last.min(bytes.len() - 1)];
            let status = format!("206 Partial Content\r\nContent-Range: bytes {start}-{last}/{}", bytes.len());
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", part.len()).unwrap();
            let quick = if name == slow && start >= weights_of(&bytes) { 0 } else { part.len() };
            stream.write_all(&part[..quick]).unwrap();
            for byte in &part[quick..] {
                let _ = begun.send(());
                std::thread::sleep(std::time::Duration::from_secs(1));
                if stream.write_all(&[*byte]).is_err() {
                    return;
                }
            }
        }
    };
    std::thread::spawn(move || {
        for stream in listener.incoming().map(Result::unwrap) {
            let (answer, begun) = (answer.clone(), begun.clone());
            std::thread::spawn(move || answer(stream, begun));
        }
    });
    (address, began)
}

/// The first Ctrl-C is heard while a server keeps the program waiting.
#[test]
fn a_server_that_trickles_is_not_waited_for() {
    let (address, began) = trickle(golden("pixart_alpha/model"), "transformer/diffusion_pytorch_model.safetensors");
    let shell = Shell::new();
    let asked = ["generate", "x", "--steps", "1", "--model", &address, "--adapter", "cpu"];
    let child = shell.command(&asked).stderr(std::process::Stdio::piped()).spawn().unwrap();
    began.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
    let clock = std::time::Instant::now();
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    let stderr = text(&output.stderr);
    assert_eq!((output.status.code(), stderr.as_str()), (Some(1), "error: cancelled\n"));
    assert!(clock.elapsed() < std::time::Duration::from_secs(10), "after {:?}", clock.elapsed());
    assert!(shell.files().is_empty());
}

/// The signal is sent as soon as the program listens for it, which is long before it is done.
#[test]
fn signals_leave_nothing_behind() {
    for signal in ["-INT", "-TERM"] {
        let shell = Shell::new();
        let mapped = model("routed/dit_mlp");
        let asked = ["generate", "--class", "3", "--steps", "1000", "--model", &mapped, "--maps", "maps"];
        let mut child = shell.command(&asked).stderr(std::process::Stdio::piped()).spawn().unwrap();
        let process = child.id();
        let listens = || {
            let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap().trim().to_owned();
            u64::from_str_radix(&caught, 16).unwrap() & (1 << 1 | 1 << 14) == 1 << 1 | 1 << 14
        };
        while !listens() {
            assert!(child.try_wait().unwrap().is_none(), "it ended before {signal}");
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), text(&output.stderr).as_str()), (Some(1), "error: cancelled\n"), "{signal}");
        assert!(shell.files().is_empty(), "{signal}");
    }
}

/// Where the process may write no more than 1 or 8 blocks of 512 or 1024 bytes a file: an error, no signal that ends it.
#[test]
fn a_limit_on_files_is_an_error_that_leaves_nothing_behind() {
    let mapped = model("routed/dit_mlp");
    for (limit, output) in [("1", &["-o", "a.png"][..]), ("8", &["--maps", "maps"])] {
        let shell = Shell::new();
        let asked = ["generate", "--class", "3", "--steps", "1", "--model", &mapped, "--adapter", "cpu"];
        let foveate = shell.command(&[&asked, output].concat());
        let mut limited = Command::new("sh");
        limited.args(["-c", "ulimit -f \"$0\" && exec \"$@\"", limit]).arg(foveate.get_program());
        limited.args(foveate.get_args()).current_dir(foveate.get_current_dir().unwrap());
        limited.envs(foveate.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let ended = limited.output().unwrap();
        let stderr = text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(1), "{limit}: {stderr}");
        assert!(stderr.contains("File too large"), "{limit}: {stderr}");
        assert_eq!(shell.files(), [""; 0], "{limit}");
    }
}
