//! WGSL sources.

/// A WGSL module: a file, with the files behind it that it shares with others. Variants are `override` constants.
///
/// Workgroup memory is not zeroed: a kernel writes what it reads there.
#[derive(Debug)]
pub struct Shader {
    /// Its name in errors and captures: here the file's stem, which it shares with its Rust twin in `src/kernels/`.
    /// Two shaders may have the same name; a device distinguishes them by their source.
    pub name: &'static str,
    /// Its text.
    pub source: &'static str,
}

impl Shader {
    /// A shader for a `static`: `Shader::new("halve", include_str!("halve.wgsl"))`.
    pub const fn new(name: &'static str, source: &'static str) -> Self {
        Self { name, source }
    }
}
