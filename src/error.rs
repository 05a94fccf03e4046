//! The one error type. Every variant reads as a single line that names the file, tensor, op or limit at fault. Texts
//! that may come from a file or a request are shown as [`printable`] shows them.

use std::path::PathBuf;

use crate::Refusal;
use crate::text::printable;

/// The result of everything that can fail here.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, in terms of what the caller handed in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The request itself is wrong: an unknown option, a class for a prompt model. The command line exits with 2.
    #[error("{}", printable(.0))]
    Usage(String),

    /// The request cannot be met, for a reason that a program may want to know.
    #[error("{}", printable(&.0.to_string()))]
    Refused(Refusal),

    /// A file or address could not be read or written.
    #[error("{}: {}", printable(&path.to_string_lossy()), printable(&source.to_string()))]
    Io {
        /// The file or address.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },

    /// A file was read, but what it holds cannot be used (truncated, corrupt, a path outside its folder).
    #[error("{}: {}", printable(file), printable(reason))]
    File {
        /// The file or address.
        file: String,
        /// Why it cannot be used.
        reason: String,
    },

    /// A JSON config names a class or sets a field that this engine does not implement.
    #[error("{}: {}", printable(file), printable(reason))]
    Config {
        /// The config file.
        file: String,
        /// Which field, and why it cannot be honoured.
        reason: String,
    },

    /// A tensor is missing, superfluous, of the wrong shape, or holds NaN or Inf.
    #[error("tensor {}: {}", printable(name), printable(reason))]
    Tensor {
        /// The name in the safetensors file.
        name: String,
        /// What is wrong with it.
        reason: String,
    },

    /// An op was given values whose shapes do not fit.
    #[error("{}: {}", printable(op), printable(reason))]
    Shape {
        /// The op.
        op: String,
        /// Expected against found, with the values' names.
        reason: String,
    },

    /// What was computed ran out of the range of numbers, so no picture comes of it.
    #[error("{what}: {cause}")]
    NotFinite {
        /// Which numbers, and how: they are not finite, or beyond what can be computed with.
        what: String,
        /// The likely cause.
        cause: String,
    },

    /// The steps of a run were not handed to the device one after the other, each of them once.
    #[error("{0}")]
    Steps(String),

    /// No adapter was found.
    #[error("no GPU adapter: {0}")]
    NoAdapter(String),

    /// The adapter is too small for a buffer or a kernel.
    #[error("the adapter is too small: {} needs {limit} = {needed}, it has {available}", printable(what))]
    Limit {
        /// Which tensor or kernel.
        what: String,
        /// The limit's name in WebGPU.
        limit: &'static str,
        /// What would be needed.
        needed: u64,
        /// What the adapter offers.
        available: u64,
    },

    /// More memory was needed than the caller allows: see [`GpuOptions::max_memory`](crate::GpuOptions::max_memory).
    #[error("out of memory: {} needs {needed} bytes, and {used} of the {limit} allowed are in use", printable(what))]
    MemoryLimit {
        /// Which tensor.
        what: String,
        /// Its bytes.
        needed: u64,
        /// Bytes in use.
        used: u64,
        /// Bytes that may be.
        limit: u64,
    },

    /// The device ran out of memory.
    #[error("out of memory while {0}")]
    OutOfMemory(String),

    /// The device reported an error.
    #[error("GPU: {0}")]
    Gpu(String),

    /// A buffer or a program was handed to a device that did not make it.
    #[error("{what} belongs to another device")]
    NotThisDevice {
        /// What was handed over.
        what: String,
    },

    /// Something that only a GPU can do was asked of another device.
    #[error("{what} needs a GPU; this device is {device}")]
    NeedsGpu {
        /// What was asked for.
        what: String,
        /// The device's name.
        device: String,
    },

    /// The device is gone: its driver restarted, or someone destroyed it. A new one can be requested.
    #[error("the GPU device was lost: {0}")]
    DeviceLost(String),

    /// The caller asked to stop.
    #[error("cancelled")]
    Cancelled,

    /// An error, with what was being done when it arose.
    #[error("{}", printable(context))]
    While {
        /// What was being done.
        context: String,
        /// The error itself.
        #[source]
        source: Box<Error>,
    },
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Error {
    /// A shape error of `op`.
    pub fn shape(op: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Shape { op: op.into(), reason: reason.into() }
    }

    /// A tensor error.
    pub fn tensor(name: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Tensor { name: name.into(), reason: reason.into() }
    }

    /// A config error.
    pub fn config(file: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Config { file: file.into(), reason: reason.into() }
    }

    /// A file error.
    pub fn file(file: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::File { file: file.into(), reason: reason.into() }
    }

    /// An input or output error at `path`.
    pub fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Io { path: path.into(), source }
    }

    /// The error and its causes, each one line, the outermost first. A message that already ends with its cause is not
    /// followed by it.
    pub fn chain(&self) -> Vec<String> {
        let mut messages: Vec<String> = Vec::new();
        let mut next: Option<&dyn std::error::Error> = Some(self);
        while let Some(error) = next {
            let message = printable(&error.to_string().lines().map(str::trim).collect::<Vec<_>>().join(" "));
            if !messages.last().is_some_and(|last| last.ends_with(&message)) {
                messages.push(message);
            }
            next = error.source();
        }
        messages
    }

    /// The error without what was being done when it arose.
    pub fn root(&self) -> &Self {
        match self {
            Self::While { source, .. } => source.root(),
            error => error,
        }
    }

    /// Whether the request was at fault rather than the work.
    pub fn is_usage(&self) -> bool {
        matches!(self.root(), Self::Usage(_) | Self::Refused(_))
    }
}

/// Adds what was being done to an error.
pub trait Context<T> {
    /// Wraps the error with `context`, evaluated only on failure.
    fn context<S: Into<String>>(self, context: impl FnOnce() -> S) -> Result<T>;
}

impl<T> Context<T> for Result<T> {
    fn context<S: Into<String>>(self, context: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|source| match source {
            // Whoever asked to stop knows what was being done.
            Error::Cancelled => Error::Cancelled,
            source => Error::While { context: context().into(), source: Box::new(source) },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_follow_once() {
        let missing = std::io::Error::new(std::io::ErrorKind::NotFound, "no such file");
        let error = Err::<(), _>(Error::io("m/config.json", missing)).context(|| "opening m").unwrap_err();
        assert_eq!(error.chain(), ["opening m", "m/config.json: no such file"]);
        assert!(matches!(error.root(), Error::Io { .. }) && !error.is_usage());
        let stopped = Err::<(), _>(Error::Cancelled).context(|| "opening m").unwrap_err();
        assert_eq!(stopped.chain(), ["cancelled"]);
    }

    /// Names come from files, and files from strangers.
    #[test]
    fn strangers_do_not_steer_the_terminal() {
        let name = format!("\u{1b}]0;owned\u{7}{}\n", "x".repeat(1 << 20));
        let unknown = Refusal::UnknownParameter { policy: name.clone(), name: name.clone(), known: vec![] };
        for error in [
            Error::Usage(name.clone()),
            Error::config(&name, &name),
            Error::file(&name, &name),
            Error::tensor(&name, &name),
            Error::shape(&name, &name),
            Error::io(&name, std::io::Error::other(name.clone())),
            Err::<(), _>(Error::Usage(name.clone())).context(|| name.clone()).unwrap_err(),
            unknown.into(),
        ] {
            for line in error.chain() {
                assert!(!line.contains(char::is_control) && line.len() < 3000, "{}", line.len());
            }
            let line = error.to_string();
            assert!(!line.contains(char::is_control) && line.len() < 3000, "{}", line.len());
        }
    }
}
