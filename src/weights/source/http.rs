//! Reading from an address by HTTP range requests. The calls block: native programs load on a thread of their own.

use std::io::Read;
use std::ops::Range;
use std::sync::LazyLock;
use std::time::Duration;

use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body, ResponseExt};

use super::{check_range, check_whole};
use crate::{Error, Result};

/// One agent for all, so that the many small ranges of a checkpoint share connections.
static AGENT: LazyLock<Agent> = LazyLock::new(|| {
    Agent::config_builder()
        .http_status_as_error(false)
        .accept_encoding("identity") // a range of compressed bytes would be no range of the file
        .timeout_connect(Some(Duration::from_secs(30)))
        .timeout_per_read(Some(Duration::from_secs(60)))
        .build()
        .new_agent()
});

/// The address of `file` below `base`, with what has a meaning of its own in an address (`?`, `#`, `%`, spaces) escaped.
pub fn address(base: &str, file: &str) -> String {
    let mut url = format!("{base}/");
    for byte in file.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => url.push(byte.into()),
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url
}

pub fn read(url: &str, most: u64) -> Result<Vec<u8>> {
    let response = get(url, None)?;
    check_status(url, &response)?;
    let length = response.body().content_length();
    check_whole(url, length.unwrap_or(0), most)?;
    // Asking for one byte more than allowed shows that a file of unstated length is too long.
    let bytes = collect(url, response, 0, length.unwrap_or(most + 1), length.is_some())?;
    check_whole(url, bytes.len() as u64, most)?;
    Ok(bytes)
}

pub fn read_range(url: &str, range: Range<u64>) -> Result<Vec<u8>> {
    let response = get(url, Some(&range))?;
    let wanted = range.end - range.start;
    if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
        check_range(url, &range, content_range(&response).map_or(0, |(_, size)| size))?;
    }
    check_status(url, &response)?;
    if response.status() == StatusCode::PARTIAL_CONTENT {
        let (start, size) = content_range(&response)
            .ok_or_else(|| Error::file(url, "the server sent a part of it without saying which"))?;
        check_range(url, &range, size)?;
        if start != range.start {
            return Err(Error::file(url, format!("byte {} was asked for, the server sent {start}", range.start)));
        }
        collect(url, response, 0, wanted, true)
    } else {
        // The server ignores ranges and sends the whole file: correct, at the price of what comes before the range.
        if let Some(size) = response.body().content_length() {
            check_range(url, &range, size)?;
        }
        collect(url, response, range.start, wanted, true)
    }
}

/// The size of a file, from the answer to a request for its first byte: servers behind signed addresses answer GET alone.
pub fn size(url: &str) -> Result<u64> {
    let response = get(url, Some(&(0..1)))?;
    if response.status() == StatusCode::RANGE_NOT_SATISFIABLE {
        return Ok(content_range(&response).map_or(0, |(_, size)| size)); // an empty file has no first byte
    }
    check_status(url, &response)?;
    let size = match response.status() {
        StatusCode::PARTIAL_CONTENT => content_range(&response).map(|(_, size)| size),
        _ => response.body().content_length(),
    };
    size.ok_or_else(|| Error::file(url, "the server does not say how long it is"))
}

pub fn exists(url: &str) -> Result<bool> {
    let response = get(url, Some(&(0..1)))?;
    match response.status() {
        StatusCode::NOT_FOUND | StatusCode::GONE => Ok(false),
        StatusCode::RANGE_NOT_SATISFIABLE => Ok(true),
        _ => check_status(url, &response).map(|()| true),
    }
}

fn get(url: &str, range: Option<&Range<u64>>) -> Result<Response<Body>> {
    let mut request = AGENT.get(url);
    if let Some(range) = range {
        request = request.header(header::RANGE, format!("bytes={}-{}", range.start, range.end - 1));
    }
    request.call().map_err(|e| Error::io(url, e.into_io()))
}

fn check_status(url: &str, response: &Response<Body>) -> Result<()> {
    let status = response.status();
    if matches!(status, StatusCode::OK | StatusCode::PARTIAL_CONTENT) {
        return Ok(());
    }
    let end = response.get_uri().to_string();
    let via = if end == url { String::new() } else { format!(" (redirected to {end})") };
    Err(Error::file(url, format!("the server answered {status}{via}")))
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
fn collect(url: &str, response: Response<Body>, skip: u64, wanted: u64, needed: bool) -> Result<Vec<u8>> {
    const RESERVE: u64 = 64 << 20;
    let io = |e| Error::io(url, e);
    let mut body = response.into_body().into_with_config().limit(u64::MAX).reader();
    std::io::copy(&mut body.by_ref().take(skip), &mut std::io::sink()).map_err(io)?;
    let mut bytes = Vec::with_capacity(wanted.min(RESERVE) as usize);
    body.take(wanted).read_to_end(&mut bytes).map_err(io)?;
    let got = bytes.len() as u64;
    if needed && got < wanted {
        return Err(Error::file(url, format!("ended after {got} of {wanted} bytes")));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::TcpListener;

    /// Makes status, headers and body for the first and last byte asked for.
    type Answer = fn(Option<(usize, usize)>) -> (String, Vec<u8>);

    /// Serves the bytes 0..100 as `/m/x` by answering each request with `answer(range)`; everything else is 404.
    fn serve(answer: Answer) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}/m", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, mut request) = (stream.unwrap(), Vec::new());
                while !request.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    stream.read_exact(&mut byte).unwrap();
                    request.push(byte[0]);
                }
                let request = String::from_utf8(request).unwrap().to_lowercase();
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
            let url = address(&base, "x");
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
        let url = address(&serve(ranges), "vae/config.json");
        assert!(!exists(&url).unwrap());
        for error in [read(&url, 100).unwrap_err(), read_range(&url, 0..1).unwrap_err(), size(&url).unwrap_err()] {
            assert_eq!(error.to_string(), format!("{url}: the server answered 404 Not Found"));
        }
        let nobody = read("http://127.0.0.1:9/m/x", 100).unwrap_err().to_string();
        assert!(nobody.starts_with("http://127.0.0.1:9/m/x: ") && !nobody.contains('\n'), "{nobody}");
    }

    #[test]
    fn lying_servers_are_found_out() {
        let error = |answer: Answer, range| read_range(&address(&serve(answer), "x"), range).unwrap_err().to_string();
        let short = |_| ("206 Partial\r\nContent-Range: bytes 0-9/100\r\nConnection: close".into(), vec![0; 3]);
        assert!(error(short, 0..10).ends_with("/m/x: ended after 3 of 10 bytes"));
        let elsewhere = |_| ("206 Partial\r\nContent-Range: bytes 5-9/100\r\nContent-Length: 5".into(), vec![0; 5]);
        assert!(error(elsewhere, 0..5).ends_with("/m/x: byte 0 was asked for, the server sent 5"));
        let silent = |_| ("206 Partial\r\nContent-Length: 5".into(), vec![0; 5]);
        assert!(error(silent, 0..5).ends_with("/m/x: the server sent a part of it without saying which"));
        let down = |_| ("503 Service Unavailable\r\nContent-Length: 0".into(), vec![]);
        assert!(error(down, 0..5).ends_with("/m/x: the server answered 503 Service Unavailable"));
        assert!(exists(&address(&serve(down), "x")).is_err());
    }

    #[test]
    fn a_length_left_unsaid_is_capped() {
        let url = address(&serve(|_| ("200 OK".into(), file())), "x");
        assert_eq!(read(&url, 100).unwrap(), file());
        assert!(read(&url, 99).unwrap_err().to_string().contains("more than the 99"));
        assert!(size(&url).unwrap_err().to_string().ends_with("the server does not say how long it is"));
    }

    #[test]
    fn names_are_escaped() {
        assert_eq!(address("http://h/m", "a/b c?d#e%2e"), "http://h/m/a/b%20c%3Fd%23e%252e");
    }
}
