//! A server of a stranger: a model is loaded from an address that answers some requests as the input says, and the
//! others as it should.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use foveate::{LoadOptions, Model, Source};
use pollster::block_on;

use crate::archive::Archive;
use crate::goldens::{Files, models};
use crate::outcome;

/// What stands for the server's own address in answers.
const HOST: &str = "{host}";

/// What the server does next: how many requests came, and the answers to some of them by number.
#[derive(Default)]
struct Script {
    asked: usize,
    answers: BTreeMap<usize, Vec<u8>>,
}

struct Server {
    host: String,
    script: Arc<Mutex<Script>>,
}

pub fn run(data: &[u8]) {
    let Server { host, script } = server();
    let archive = Archive::parse(data);
    let answer = |(name, answer): &(String, Vec<u8>)| Some((name.trim().parse().ok()?, here(answer, host)));
    let answers: BTreeMap<usize, Vec<u8>> = archive.0.iter().filter_map(answer).collect();
    let restart = || {
        *script.lock().unwrap_or_else(|broken| broken.into_inner()) = Script { asked: 0, answers: answers.clone() };
    };
    let source = Source::Url(format!("http://{host}/m"));
    block_on(async {
        restart();
        told(source.read("model_index.json").await.map(|bytes| bytes.len()));
        restart();
        told(source.size("model_index.json").await.map(|size| size as usize));
        restart();
        told(source.exists("model_index.json").await.map(usize::from));
        restart();
        told(source.read_range("model_index.json", 3..40).await.map(|bytes| {
            assert_eq!(bytes.len(), 37);
            bytes.len()
        }));
        restart();
        let opened = Model::open(source, LoadOptions::default()).await;
        let parts = match opened {
            Ok(model) => model.parts().await,
            Err(error) => Err(error),
        };
        told(parts.map(|parts| parts.loaders.len()));
    });
}

fn told(result: foveate::Result<usize>) {
    match result {
        Ok(length) => outcome::reached(if length == 0 { "nothing" } else { "something" }),
        Err(error) => outcome::failed(&error),
    }
}

/// An answer with the server's own address in it. Redirections to others are left out: nobody else is to be asked.
fn here(answer: &[u8], host: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in answer.split_inclusive(|&byte| byte == b'\n') {
        let text = String::from_utf8_lossy(line);
        let elsewhere = text.to_ascii_lowercase().contains("location") && text.contains("//");
        match (elsewhere, text.contains(HOST)) {
            (_, true) => bytes.extend_from_slice(text.replacen(HOST, host, 1).as_bytes()),
            (true, false) => {}
            (false, false) => bytes.extend_from_slice(line),
        }
    }
    bytes
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0");
        let Ok(listener) = listener else { panic!("no port is free") };
        let host = listener.local_addr().map(|at| at.to_string()).unwrap_or_default();
        let script = Arc::new(Mutex::new(Script::default()));
        let shared = script.clone();
        std::thread::spawn(move || {
            let files = &models()["dit_sharded_f16"];
            // The client may have seen enough at any time.
            listener.incoming().flatten().for_each(|mut stream| _ = serve(&mut stream, files, &shared));
        });
        Server { host, script }
    })
}

fn serve(stream: &mut TcpStream, files: &Files, script: &Mutex<Script>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let answer = {
        let mut script = script.lock().unwrap_or_else(|broken| broken.into_inner());
        script.asked += 1;
        script.answers.get(&(script.asked - 1)).cloned()
    };
    stream.write_all(&answer.unwrap_or_else(|| honest(&String::from_utf8_lossy(&request), files)))?;
    stream.shutdown(std::net::Shutdown::Write)
}

/// The answer of a server that means well.
fn honest(request: &str, files: &Files) -> Vec<u8> {
    let path = request.split(' ').nth(1).and_then(|path| path.strip_prefix("/m/")).unwrap_or_default();
    let Some(bytes) = files.get(path) else {
        return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec();
    };
    let range = request.to_ascii_lowercase().lines().find_map(|line| {
        let (start, end) = line.strip_prefix("range: bytes=")?.split_once('-')?;
        Some((start.parse::<usize>().ok()?, end.parse::<usize>().ok()?))
    });
    match range {
        Some((start, end)) if start < bytes.len() => {
            let (end, size) = (end.min(bytes.len() - 1), bytes.len());
            let head = format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{end}/{size}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                end + 1 - start
            );
            [head.as_bytes(), &bytes[start..=end]].concat()
        }
        _ => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", bytes.len());
            [head.as_bytes(), bytes].concat()
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    server(); // no input's memory
    let heads = [
        "200 OK\r\nContent-Length: 4",
        "200 OK",
        "200 OK\r\nTransfer-Encoding: chunked",
        "200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4",
        "206 Partial Content\r\nContent-Range: bytes 0-0/401\r\nContent-Length: 1",
        "206 Partial Content\r\nContent-Range: bytes 3-39/401\r\nContent-Length: 37",
        "206 Partial Content\r\nContent-Range: bytes */401",
        "206 Partial Content\r\nContent-Type: multipart/byteranges; boundary=x",
        "416 Range Not Satisfiable\r\nContent-Range: bytes */401\r\nContent-Length: 0",
        "301 Moved Permanently\r\nLocation: http://{host}/m/model_index.json\r\nContent-Length: 0",
        "302 Found\r\nLocation: /n/../m/vae/config.json?x#y\r\nContent-Length: 0",
        "304 Not Modified",
        "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0",
        "404 Not Found\r\nContent-Length: 0",
        "503 Service Unavailable\r\nRetry-After: 100\r\nContent-Length: 2",
        "100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2",
    ];
    let bodies = ["{}", "4\r\n{\"a\"\r\n0\r\n\r\n", "", "{\"_class_name\": \"DiTPipeline\"}        "];
    let mut seeds = Vec::new();
    for (at, head) in heads.iter().enumerate() {
        for request in [0, 1 + at % 7] {
            let body = bodies[(at + request) % bodies.len()];
            let answer = format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n{body}");
            seeds.push(Archive::default().with(&request.to_string(), answer).bytes());
        }
    }
    seeds
}
