//! Where a model's files come from: a folder, an address, memory, or wherever the host program keeps them.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use crate::{Error, Result};

mod address;
mod files;
mod folder;
#[cfg(all(feature = "http", not(target_arch = "wasm32")))]
mod http;

use address::{Address, is_address, is_http, public};
pub use files::Files;

/// The most that [`Source::read`] takes into memory at once, in bytes. Weights are read in ranges.
const WHOLE_FILE: u64 = 256 << 20;
/// The most bytes of a config in JSON. Published ones have a few thousand. In memory some of them take fifty times
/// their length.
pub(crate) const CONFIG: u64 = 1 << 20;

/// A model folder, wherever it is. Files in it are named by '/'-separated paths that cannot leave it.
#[derive(Clone)]
pub enum Source {
    /// A folder on this machine.
    Folder(PathBuf),
    /// An `http://` or `https://` address below which the files lie.
    Url(String),
    /// Files already in memory, by path: what a web page was given, or a test made.
    Memory(Arc<BTreeMap<String, Vec<u8>>>),
    /// Whatever else the host has: a browser's cache, a game's archive.
    Host(Arc<dyn Files>),
}

/// As messages show it: logs are passed on as well.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_tuple("Source").field(&self.display("")).finish()
    }
}

impl Source {
    /// An address where `s` starts with a scheme (`http://`), else a folder. Of the schemes only `http` and `https` are
    /// read.
    pub fn parse(s: &str) -> Self {
        if is_address(s) { Self::Url(s.trim_end_matches('/').into()) } else { Self::Folder(s.into()) }
    }

    /// The whole of `file`, which must not be larger than 256 MiB.
    pub async fn read(&self, file: &str) -> Result<Vec<u8>> {
        self.read_up_to(file, WHOLE_FILE).await
    }

    /// The whole of `file`, a config in JSON, which must not be larger than 1 MiB.
    pub(crate) async fn read_config(&self, file: &str) -> Result<Vec<u8>> {
        self.read_up_to(file, CONFIG).await
    }

    /// The whole of `file`, which must not be larger than `most` bytes.
    pub(crate) async fn read_up_to(&self, file: &str, most: u64) -> Result<Vec<u8>> {
        self.check(file)?;
        match self {
            Self::Folder(root) => folder::read(&root.join(file), most),
            Self::Url(base) => http::read(&address(base, file)?, most),
            Self::Memory(files) => {
                let bytes = in_memory(files, file)?;
                check_whole(file, bytes.len() as u64, most)?;
                Ok(bytes.clone())
            }
            Self::Host(files) => {
                let size = files.size(file).await?;
                check_whole(&self.display(file), size, most)?;
                exactly(&self.display(file), files.read_range(file, 0..size).await?, size)
            }
        }
    }

    /// The bytes `range` of `file`; an error where the file ends before the range does.
    pub async fn read_range(&self, file: &str, range: Range<u64>) -> Result<Vec<u8>> {
        self.check(file)?;
        if range.start >= range.end {
            return Ok(Vec::new());
        }
        match self {
            Self::Folder(root) => folder::read_range(&root.join(file), range),
            Self::Url(base) => http::read_range(&address(base, file)?, range),
            Self::Memory(files) => {
                let bytes = in_memory(files, file)?;
                check_range(file, &range, bytes.len() as u64)?;
                Ok(bytes[range.start as usize..range.end as usize].to_vec())
            }
            Self::Host(files) => {
                let display = self.display(file);
                check_range(&display, &range, files.size(file).await?)?;
                let length = range.end - range.start;
                exactly(&display, files.read_range(file, range).await?, length)
            }
        }
    }

    /// The size of `file` in bytes.
    pub async fn size(&self, file: &str) -> Result<u64> {
        self.check(file)?;
        match self {
            Self::Folder(root) => folder::size(&root.join(file)),
            Self::Url(base) => http::size(&address(base, file)?),
            Self::Memory(files) => Ok(in_memory(files, file)?.len() as u64),
            Self::Host(files) => files.size(file).await,
        }
    }

    /// Whether there is such a file. What cannot be found out (no connection, no permission) is an error.
    pub async fn exists(&self, file: &str) -> Result<bool> {
        self.check(file)?;
        match self {
            Self::Folder(root) => folder::exists(&root.join(file)),
            Self::Url(base) => http::exists(&address(base, file)?),
            Self::Memory(files) => Ok(files.contains_key(file)),
            Self::Host(files) => files.exists(file).await,
        }
    }

    /// `file` as messages name it: with its folder or address. Of an address it has neither user and password nor the
    /// query, which may hold a key.
    pub fn display(&self, file: &str) -> String {
        match self {
            Self::Folder(root) => root.join(file).display().to_string(),
            Self::Url(base) => format!("{}/{file}", public(base)),
            Self::Memory(_) => file.into(),
            Self::Host(files) => files.display(file),
        }
    }

    /// Refuses a path that leaves the model folder, whatever the platform would make of it. A config file may name
    /// other files (shards), so such a path can come from a stranger. Symbolic links are followed: model caches are
    /// made of them.
    fn check(&self, file: &str) -> Result<()> {
        if stays_inside(file) { Ok(()) } else { Err(Error::file(self.display(file), "leaves the model folder")) }
    }
}

/// Whether `file` is a plain relative path: no root, no drive, no `..`, no backslash, no empty part.
pub(super) fn stays_inside(file: &str) -> bool {
    !file.contains(['\\', ':', '\0']) && file.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// The address of `file` below `base`. A scheme that nothing here reads is refused.
fn address(base: &str, file: &str) -> Result<Address> {
    let address = Address::new(base, file);
    match is_http(base) {
        true => Ok(address),
        false => Err(Error::file(address.to_string(), "begins with neither http:// nor https://")),
    }
}

/// Refuses a range that reaches beyond the `size` bytes of `file`, before anything is allocated for it.
fn check_range(file: &str, range: &Range<u64>, size: u64) -> Result<()> {
    if range.end <= size {
        return Ok(());
    }
    Err(Error::file(file, format!("bytes {}..{} were asked for, it has only {size}", range.start, range.end)))
}

/// Refuses a file of `size` bytes for reading whole.
pub(crate) fn check_whole(file: &str, size: u64, most: u64) -> Result<()> {
    if size <= most {
        return Ok(());
    }
    Err(Error::file(file, format!("is {size} bytes long, more than the {most} that are read at once")))
}

/// What a host handed over, which must be as long as what it was asked for.
fn exactly(file: &str, bytes: Vec<u8>, length: u64) -> Result<Vec<u8>> {
    let got = bytes.len() as u64;
    if got == length { Ok(bytes) } else { Err(Error::file(file, format!("gave {got} of {length} bytes"))) }
}

fn in_memory<'a>(files: &'a BTreeMap<String, Vec<u8>>, file: &str) -> Result<&'a Vec<u8>> {
    files.get(file).ok_or_else(|| Error::file(file, "there is no such file"))
}

/// A build without an HTTP client: every address is refused.
#[cfg(not(all(feature = "http", not(target_arch = "wasm32"))))]
mod http {
    use super::{Address, Range, Result, without_http};

    pub fn read(url: &Address, _most: u64) -> Result<Vec<u8>> {
        Err(without_http(url))
    }
    pub fn read_range(url: &Address, _range: Range<u64>) -> Result<Vec<u8>> {
        Err(without_http(url))
    }
    pub fn size(url: &Address) -> Result<u64> {
        Err(without_http(url))
    }
    pub fn exists(url: &Address) -> Result<bool> {
        Err(without_http(url))
    }
}

/// Why a build without an HTTP client cannot read `url`. Tests ask it in every build.
#[cfg(any(test, not(all(feature = "http", not(target_arch = "wasm32")))))]
fn without_http(url: &Address) -> Error {
    let reason = match cfg!(target_arch = "wasm32") {
        // The feature changes nothing there: requests are the host's.
        true => "in a browser the host reads addresses: Source::Host",
        false => "addresses cannot be read, foveate was built without the feature `http`",
    };
    Error::file(url.to_string(), reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shared::Work;

    fn memory() -> Source {
        Source::Memory(Arc::new(BTreeMap::from([("a/b.bin".to_string(), (0..100).collect())])))
    }

    fn folder() -> (tempfile::TempDir, Source) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::fs::write(dir.path().join("a/b.bin"), (0..100).collect::<Vec<u8>>()).unwrap();
        let source = Source::parse(dir.path().to_str().unwrap());
        (dir, source)
    }

    /// A host that keeps the file of [`memory`], and hands over `short` bytes fewer than asked for.
    #[derive(Debug)]
    struct Host {
        files: Source,
        short: u64,
    }

    impl Files for Host {
        fn size<'a>(&'a self, file: &'a str) -> Work<'a, u64> {
            Box::pin(self.files.size(file))
        }
        fn exists<'a>(&'a self, file: &'a str) -> Work<'a, bool> {
            Box::pin(self.files.exists(file))
        }
        fn read_range<'a>(&'a self, file: &'a str, range: Range<u64>) -> Work<'a, Vec<u8>> {
            Box::pin(self.files.read_range(file, range.start..range.end - self.short))
        }
        fn display(&self, file: &str) -> String {
            format!("host:{file}")
        }
    }

    fn host(short: u64) -> Source {
        Source::Host(Arc::new(Host { files: memory(), short }))
    }

    #[test]
    fn a_host_that_gives_too_little_is_found_out() {
        let error = pollster::block_on(host(1).read_range("a/b.bin", 0..9)).unwrap_err().to_string();
        assert_eq!(error, "host:a/b.bin: gave 8 of 9 bytes");
        assert!(pollster::block_on(host(1).read("a/b.bin")).is_err());
    }

    #[test]
    fn all_sources_read_alike() {
        let (_dir, folder) = folder();
        for source in [memory(), folder, host(0)] {
            pollster::block_on(async {
                assert_eq!(source.read("a/b.bin").await.unwrap(), (0..100).collect::<Vec<u8>>());
                assert_eq!(source.read_range("a/b.bin", 10..13).await.unwrap(), [10, 11, 12]);
                assert!(source.read_range("a/b.bin", 100..100).await.unwrap().is_empty());
                assert_eq!(source.size("a/b.bin").await.unwrap(), 100);
                assert!(source.exists("a/b.bin").await.unwrap());
                for absent in ["a/c.bin", "a", "a/b.bin/c"] {
                    assert!(!source.exists(absent).await.unwrap(), "{absent}");
                    assert!(source.read(absent).await.unwrap_err().to_string().contains(absent));
                }
                let beyond = source.read_range("a/b.bin", 90..u64::MAX).await.unwrap_err().to_string();
                assert!(beyond.contains("b.bin: bytes 90..18446744073709551615 were asked for, it has only 100"));
            });
        }
    }

    #[test]
    fn paths_cannot_leave_the_folder() {
        let (_dir, folder) = folder();
        let bad = [
            "",
            "/etc/passwd",
            "../x",
            "a/../../x",
            "a/..",
            "./x",
            "a//b",
            "C:/x",
            "C:x",
            "a\\..\\x",
            "\\\\h\\x",
            "x\0",
        ];
        for source in [memory(), folder, host(0), Source::parse("http://localhost:1/m/")] {
            for path in bad {
                let error = pollster::block_on(source.read(path)).unwrap_err().to_string();
                let shown = path.replace('\0', "\u{fffd}");
                assert!(error.ends_with(&format!("{shown}: leaves the model folder")), "{path:?}: {error}");
                assert!(pollster::block_on(source.exists(path)).is_err());
                assert!(pollster::block_on(source.size(path)).is_err());
                assert!(pollster::block_on(source.read_range(path, 0..1)).is_err());
            }
        }
    }

    #[test]
    fn addresses_are_told_from_folders() {
        assert!(matches!(Source::parse("https://host/model/"), Source::Url(url) if url == "https://host/model"));
        assert!(matches!(Source::parse("http/model"), Source::Folder(_)));
        let misspelt = Source::parse("htp://user:secret@host/m/");
        for told in [misspelt.display("x"), format!("{:?}", misspelt)] {
            assert!(told.contains("htp://host/m/") && !told.contains("secret"), "{told}");
        }
        let error = pollster::block_on(misspelt.read("x")).unwrap_err().to_string();
        assert_eq!(error, "htp://host/m/x: begins with neither http:// nor https://");
        assert_eq!(Source::parse("http://host/m").display("vae/x"), "http://host/m/vae/x");
        let secret = Source::parse("http://user:secret@host/m/?key=secret");
        assert_eq!(secret.display("vae/x"), "http://host/m/vae/x");
        assert_eq!(format!("{secret:?}"), "Source(\"http://host/m/\")");
    }

    #[test]
    fn a_build_without_http_names_the_feature() {
        let told = "addresses cannot be read, foveate was built without the feature `http`";
        assert_eq!(without_http(&Address::new("http://host/m", "x")).to_string(), format!("http://host/m/x: {told}"));
        if cfg!(not(feature = "http")) {
            let refused = pollster::block_on(Source::parse("http://localhost:1/m").read("x")).unwrap_err().to_string();
            assert_eq!(refused, format!("http://localhost:1/m/x: {told}"));
        }
    }

    #[test]
    fn a_giant_is_not_read_whole() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::File::create(dir.path().join("giant")).unwrap().set_len(WHOLE_FILE + 1).unwrap();
        let source = Source::Folder(dir.path().into());
        let error = pollster::block_on(source.read("giant")).unwrap_err().to_string();
        assert!(error.ends_with("giant: is 268435457 bytes long, more than the 268435456 that are read at once"));
        assert_eq!(pollster::block_on(source.read_range("giant", WHOLE_FILE..WHOLE_FILE + 1)).unwrap(), [0]);
    }
}
