//! An address and what of it may be told. Users, passwords and queries are secrets: messages are passed on, and so are
//! pictures that name their model.

use std::fmt;

/// The address of a file: what is asked for, and what is shown.
#[cfg_attr(
    not(all(feature = "http", not(target_arch = "wasm32"))),
    allow(dead_code, reason = "without a client nothing is asked for")
)]
pub struct Address {
    /// What the server is asked for, without user and password.
    pub request: String,
    /// User and password, as `user:password`.
    pub credentials: Option<String>,
    shown: String,
}

impl Address {
    /// The address of `file` below `base`. What has a meaning of its own in an address (`?`, `#`, `%`, spaces) is
    /// escaped in the file's name. A query of `base` follows the file's name.
    pub fn new(base: &str, file: &str) -> Self {
        let mut name = String::new();
        for byte in file.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => name.push(byte.into()),
                _ => name.push_str(&format!("%{byte:02X}")),
            }
        }
        let Parts { scheme, user, host, path, query } = Parts::of(base);
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        Self {
            request: format!("{scheme}://{host}{path}/{name}{query}"),
            credentials: user.map(unescaped),
            shown: format!("{}/{name}", public(base)),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// Whether a model is meant by an address rather than by a folder. A scheme that is misspelt makes no folder of it:
/// folders are shown whole.
pub fn is_address(text: &str) -> bool {
    let of_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    text.split_once("://").is_some_and(|(scheme, _)| !scheme.is_empty() && scheme.chars().all(of_scheme))
}

/// Whether an address is one of those that are read.
pub fn is_http(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| ["http", "https"].iter().any(|s| scheme.eq_ignore_ascii_case(s)))
}

/// An address without what nobody else should see: user, password, query and fragment.
pub fn public(address: &str) -> String {
    let Parts { scheme, host, path, .. } = Parts::of(address);
    // A password with a slash in it would be taken for a port and a path.
    let port = host.rsplit_once(':').filter(|_| !host.ends_with(']')).map_or("", |(_, port)| port);
    match port.bytes().all(|byte| byte.is_ascii_digit()) {
        true => format!("{scheme}://{host}{path}"),
        false => format!("{scheme}://…"),
    }
}

/// `scheme://user@host/path?query#fragment`, without the fragment and without a slash at the path's end.
struct Parts<'a> {
    scheme: &'a str,
    user: Option<&'a str>,
    host: &'a str,
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(address: &'a str) -> Self {
        let (scheme, rest) = address.split_once("://").unwrap_or(("http", address));
        let rest = rest.split_once('#').map_or(rest, |(rest, _)| rest);
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        Self { scheme, user, host, path: path.trim_end_matches('/'), query }
    }
}

/// `text` with each `%41` as the byte it stands for.
fn unescaped(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| str::from_utf8(digits).ok()).filter(|_| first == b'%');
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.unwrap_or(first));
        rest = if byte.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped() {
        let address = |base, file| Address::new(base, file).request;
        assert_eq!(address("http://h/m", "a/b c?d#e%2e"), "http://h/m/a/b%20c%3Fd%23e%252e");
        assert_eq!(address("http://u:p@h:80/m/?key=1&b=/#part", "x"), "http://h:80/m/x?key=1&b=/");
    }

    #[test]
    fn secrets_are_sent_and_not_shown() {
        for (base, shown) in [
            ("http://user:secret@host/m", "http://host/m"),
            ("https://secret@host:8080/m/", "https://host:8080/m"),
            ("https://host/m?token=secret", "https://host/m"),
            ("https://host/m/?a#secret", "https://host/m"),
            ("https://host?secret", "https://host"),
            ("http://user:sec/ret@host/m", "http://…"),
            ("http://user:secret?x@host/m", "http://…"),
            ("http://[::1]/@m/n", "http://[::1]/@m/n"),
            ("http://a@b:secret@host/m", "http://host/m"),
        ] {
            assert_eq!(public(base), shown);
            assert_eq!(Address::new(base, "x").to_string(), format!("{shown}/x"));
        }
        let credentials = |base| Address::new(base, "x").credentials;
        assert_eq!(credentials("http://user:p%40ss%zz@host/m").unwrap(), "user:p@ss%zz");
        assert_eq!(credentials("http://host/m"), None);
    }

    #[test]
    fn addresses_are_told_from_folders() {
        assert!(is_address("http://h/m") && is_address("HTTPS://h"));
        assert!(is_address("htp://user:secret@h") && is_address("file://x") && is_address("s3://bucket/m"));
        assert!(!is_address("http/model") && !is_address("C:\\model") && !is_address("a b://x") && !is_address("://x"));
        assert!(is_http("HTTPS://h") && !is_http("htp://h"));
        assert_eq!(public("htp://user:secret@host/m?key=secret"), "htp://host/m");
    }
}
