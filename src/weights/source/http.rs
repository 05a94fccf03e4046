//! Reading from an address by HTTP range requests. The calls block: native programs load on a thread of their own.

use std::io::Read;
use std::ops::Range;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};
use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body, ResponseExt};

use super::address::public;
use super::{Address, check_range, check_whole};
use crate::{Error, Result};

/// The least bytes that must come in a time, of a body that is longer. Tests do not wait for half a minute.
const WINDOW: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 30 });
const LEAST: u64 = WINDOW.as_secs() << 10;

/// One agent for all, so that the many small ranges of a checkpoint share connections.
static AGENT: LazyLock<Agent> = LazyLock::new(|| {
    Agent::config_builder()
        .http_status_as_error(false)
        .accept_encoding("identity") // a range of compressed bytes would be no range of the file
        .timeout_connect(Some(Duration::from_secs(30)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .timeout_per_read(Some(Duration::from_secs(60)))
        .build()
        .new_agent()
});

pub fn read(url: &Address, most: u64) -> Result<Vec<u8>> {
    let response = get(url, None)?;
    check_status(url, &response)?;
    let length = response.body().content_length();
    check_whole(&url.to_string(), length.unwrap_or(0), most)?;
    // Asking for one byte more than allowed shows that a file of unstated length is too long.
    let bytes = collect(url, response, 0, length.unwrap_or(most + 1), length.is_some())?;
    check_whole(&url.to_string(), bytes.len() as u64, most)?;
    Ok(bytes)
}

pub fn read_range(url: &Address, range: Range<u64>) -> Result<Vec<u8>> {
    let response = get(url, Some(&range))?;
    let wanted = range.end - range.start;
    if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
        check_range(&url.to_string(), &range, content_range(&response).map_or(0, |(_, size)| size))?;
    }
    check_status(url, &response)?;
    if response.status() == StatusCode::PARTIAL_CONTENT {
        let (start, size) = content_range(&response)
            .ok_or_else(|| Error::file(url.to_string(), "the server sent a part of it without saying which"))?;
        check_range(&url.to_string(), &range, size)?;
        if start != range.start {
            return Err(Error::file(
                url.to_string(),
                format!("byte {} was asked for, the server sent {start}", range.start),
            ));
        }
        collect(url, response, 0, wanted, true)
    } else {
        // The server ignores ranges and sends the whole file: correct, at the price of what comes before the range.
        if let Some(size) = response.body().content_length() {
            check_range(&url.to_string(), &range, size)?;
        }
        collect(url, response, range.start, wanted, true)
    }
}

/// The size of a file, from the answer to a request for its first byte: servers behind signed addresses answer GET
/// alone.
pub fn size(url: &Address) -> Result<u64> {
    let response = get(url, Some(&(0..1)))?;
    if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
        return Ok(content_range(&response).map_or(0, |(_, size)| size)); // an empty file has no first byte
    }
    check_status(url, &response)?;
    let size = match response.status() {
        StatusCode::PARTIAL_CONTENT => content_range(&response).map(|(_, size)| size),
        _ => response.body().content_length(),
    };
    size.ok_or_else(|| Error::file(url.to_string(), "the server does not say how long it is"))
}

pub fn exists(url: &Address) -> Result<bool> {
    let response = get(url, Some(&(0..1)))?;
    match response.status() {
        StatusCode::NOT_FOUND | StatusCode::GONE => Ok(false),
        StatusCode::RANGE_NOT_SATISFIABLE => Ok(true),
        _ => check_status(url, &response).map(|()| true),
    }
}

fn get(url: &Address, range: Option<&Range<u64>>) -> Result<Response<Body>> {
    let mut request = AGENT.get(&url.request);
    if let Some(credentials) = &url.credentials {
        request = request.header(header::AUTHORIZATION, format!("Basic {}", BASE64_STANDARD.encode(credentials)));
    }
    if let Some(range) = range {
        request = request.header(header::RANGE, format!("bytes={}-{}", range.start, range.end - 1));
    }
    request.call().map_err(|e| match e {
        // It repeats the address.
        ureq::Error::BadUri(_) => Error::file(url.to_string(), "is no address that can be asked for"),
        other => failed(url, other.into_io()),
    })
}

fn check_status(url: &Address, response: &Response<Body>) -> Result<()> {
    let status = response.status();
    if matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
        return Ok(());
    }
    let end = response.get_uri().to_string();
    let via = if end == url.request { String::new() } else { format!(" (redirected to {})", public(&end)) };
    Err(Error::file(url.to_string(), format!("the server answered {status}{via}")))
}

/// First byte and size of the whole file, from `Content-Range: bytes 5-9/100` or, unsatisfied, `bytes */100`.
fn content_range(response: &Response<Body>) -> Option<(u64, u64)> {
    let value = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, size) = value.strip_prefix("bytes ")?.split_once('/')?;
    let start = range.split('-').next()?;
    Some((if start == "*" { 0 } else { start.parse().ok()? }, size.parse().ok()?))
}

/// `wanted` bytes of the body after `skip`; fewer are an error where they are `needed`. Room is made as the bytes come,
/// beyond a first reserve, so a lying length costs nothing.
fn collect(url: &Address, response: Response<Body>, skip: u64, wanted: u64, needed: bool) -> Result<Vec<u8>> {
    const RESERVE: u64 = 1 << 20;
    let io = |e| failed(url, e);
    let body = response.into_body().into_with_config().limit(u64::MAX).reader();
    let mut body = Paced { body, since: Instant::now(), got: 0 };
    std::io::copy(&mut body.by_ref().take(skip), &mut std::io::sink()).map_err(io)?;
    let mut bytes = Vec::with_capacity(wanted.min(RESERVE) as usize);
    body.take(wanted).read_to_end(&mut bytes).map_err(io)?;
    let got = bytes.len() as u64;
    if needed && got < wanted {
        return Err(Error::file(url.to_string(), format!("ended after {got} of {wanted} bytes")));
    }
    Ok(bytes)
}

fn failed(url: &Address, error: std::io::Error) -> Error {
    Error::io(url.to_string(), error)
}

/// A body that is given up on when it trickles.
struct Paced<R> {
    body: R,
    /// When the present window began, and the bytes since then.
    since: Instant,
    got: u64,
}

impl<R: Read> Read for Paced<R> {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        if self.since.elapsed() >= WINDOW {
            if self.got < LEAST {
                let (got, seconds) = (self.got, WINDOW.as_secs());
                let reason = format!("only {got} bytes came in {seconds} seconds; the server is given up on");
                return Err(std::io::Error::new(std::io::ErrorKind::TimedOut, reason));
            }
            (self.since, self.got) = (Instant::now(), 0);
        }
        let count = self.body.read(into)?;
        self.got += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    /// Makes status, headers and body for the first and last byte asked for.
    type Answer = fn(Option<(usize, usize)>) -> (String, Vec<u8>);

    /// A request up to its empty line.
    fn head_of(stream: &mut TcpStream) -> String {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            request.push(byte[0]);
        }
        String::from_utf8(request).unwrap()
    }

    /// Serves the bytes 0..100 as `/m/x` by answering each request with `answer(range)`; everything else is 404.
    fn serve(answer: Answer) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}/m", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let request = head_of(&mut stream).to_lowercase();
                let range = request.lines().find_map(|l| l.strip_prefix("range: bytes=")).map(|r| {
                    let (a, b) = r.split_once('-').unwrap();
                    (a.parse().unwrap(), b.parse().unwrap())
                });
                let (head, body) = match request.starts_with("get /m/x ") {
                    true => answer(range),
                    false => ("404 Not Found\r\nContent-Length: 0".into(), Vec::new()),
                };
                write!(stream, "HTTP/1.1 {head}\r\nConnection: close\r\n\r\n").unwrap();
                let _ = stream.write_all(&body); // the client may have seen enough
            }
        });
        base
    }

    fn file() -> Vec<u8> {
        (0..100).collect()
    }

    fn ranges(range: Option<(usize, usize)>) -> (String, Vec<u8>) {
        match range {
            None => whole(None),
            Some((a, _)) if a >= 100 => {
                ("416 No\r\nContent-Range: bytes */100\r\nContent-Length: 0".into(), Vec::new())
            }
            Some((a, b)) => {
                let b = b.min(99);
                let head = format!("206 Partial\r\nContent-Range: bytes {a}-{b}/100\r\nContent-Length: {}", b + 1 - a);
                (head, file()[a..=b].to_vec())
            }
        }
    }

    fn whole(_: Option<(usize, usize)>) -> (String, Vec<u8>) {
        ("200 OK\r\nContent-Length: 100".into(), file())
    }

    #[test]
    fn servers_with_and_without_ranges_read_alike() {
        for server in [ranges as Answer, whole] {
            let base = serve(server);
            let url = Address::new(&base, "x");
            assert_eq!(read(&url, 100).unwrap(), file());
            assert_eq!(read_range(&url, 7..12).unwrap(), [7, 8, 9, 10, 11]);
            assert_eq!(read_range(&url, 99..100).unwrap(), [99]);
            assert_eq!(size(&url).unwrap(), 100);
            assert!(exists(&url).unwrap());
            for beyond in [90..101, 200..300] {
                let error = read_range(&url, beyond.clone()).unwrap_err().to_string();
                let range = format!("{}..{}", beyond.start, beyond.end);
                assert_eq!(error, format!("{url}: bytes {range} were asked for, it has only 100"));
            }
            let long = read(&url, 99).unwrap_err().to_string();
            assert_eq!(long, format!("{url}: is 100 bytes long, more than the 99 that are read at once"));
        }
    }

    #[test]
    fn absent_files_are_one_clear_line() {
        let url = Address::new(&serve(ranges), "vae/config.json");
        assert!(!exists(&url).unwrap());
        for error in [read(&url, 100).unwrap_err(), read_range(&url, 0..1).unwrap_err(), size(&url).unwrap_err()] {
            assert_eq!(error.to_string(), format!("{url}: the server answered 404 Not Found"));
        }
        let nobody = read(&Address::new("http://127.0.0.1:9/m", "x"), 100).unwrap_err().to_string();
        assert!(nobody.starts_with("http://127.0.0.1:9/m/x: ") && !nobody.contains('\n'), "{nobody}");
    }

    #[test]
    fn lying_servers_are_found_out() {
        let error =
            |answer: Answer, range| read_range(&Address::new(&serve(answer), "x"), range).unwrap_err().to_string();
        let short = |_| ("206 Partial\r\nContent-Range: bytes 0-9/100\r\nConnection: close".into(), vec![0; 3]);
        assert!(error(short, 0..10).ends_with("/m/x: ended after 3 of 10 bytes"));
        let elsewhere = |_| ("206 Partial\r\nContent-Range: bytes 5-9/100\r\nContent-Length: 5".into(), vec![0; 5]);
        assert!(error(elsewhere, 0..5).ends_with("/m/x: byte 0 was asked for, the server sent 5"));
        let silent = |_| ("206 Partial\r\nContent-Length: 5".into(), vec![0; 5]);
        assert!(error(silent, 0..5).ends_with("/m/x: the server sent a part of it without saying which"));
        let down = |_| ("503 Service Unavailable\r\nContent-Length: 0".into(), vec![]);
        assert!(error(down, 0..5).ends_with("/m/x: the server answered 503 Service Unavailable"));
        assert!(exists(&Address::new(&serve(down), "x")).is_err());
    }

    #[test]
    fn a_length_left_unsaid_is_capped() {
        let url = Address::new(&serve(|_| ("200 OK".into(), file())), "x");
        assert_eq!(read(&url, 100).unwrap(), file());
        assert!(read(&url, 99).unwrap_err().to_string().contains("more than the 99"));
        assert!(size(&url).unwrap_err().to_string().ends_with("the server does not say how long it is"));
    }

    /// A server that keeps what it was asked, and answers with one byte after the other, far apart.
    fn trickle(body: &'static [u8]) -> (String, std::sync::mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (tell, told) = std::sync::mpsc::channel();
        let host = listener.local_addr().unwrap().to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                tell.send(head_of(&mut stream)).unwrap();
                write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).unwrap();
                for byte in body {
                    if stream.write_all(&[*byte]).is_err() {
                        break; // the client has given up
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
            }
        });
        (host, told)
    }

    #[test]
    fn a_server_that_trickles_is_given_up_on() {
        let (host, _told) = trickle(&[7; 10_000]);
        let clock = Instant::now();
        let error = read(&Address::new(&format!("http://{host}"), "x"), 1 << 20).unwrap_err().to_string();
        assert!(error.contains("bytes came in 1 seconds; the server is given up on"), "{error}");
        assert!(clock.elapsed() < Duration::from_secs(60));
        // What is complete in time may come as slowly.
        let (host, _told) = trickle(&[7; 10]);
        assert_eq!(read(&Address::new(&format!("http://{host}"), "x"), 1 << 20).unwrap(), [7; 10]);
    }

    #[test]
    fn secrets_reach_the_server_and_no_message() {
        let (host, told) = trickle(b"[]");
        let source = crate::Source::parse(&format!("http://user:secret@{host}/m/?key=hidden"));
        assert_eq!(pollster::block_on(source.read("a/b")).unwrap(), b"[]");
        let request = told.recv().unwrap().to_lowercase();
        assert!(request.starts_with("get /m/a/b?key=hidden http/1.1\r\n"), "{request}");
        assert!(request.contains("authorization: basic dxnlcjpzzwnyzxq=\r\n"), "{request}");
        let error = pollster::block_on(source.read_range("a/b", 0..9)).unwrap_err().to_string();
        assert!(error.starts_with(&format!("http://{host}/m/a/b: ")), "{error}");
        for address in ["http://user:secret@127.0.0.1:9/m?secret", "http://user:sec ret@[x/m?secret"] {
            let error = pollster::block_on(crate::Source::parse(address).read("x")).unwrap_err().to_string();
            assert!(!error.contains("ret@") && !error.contains("secret"), "{error}");
        }
    }
}
