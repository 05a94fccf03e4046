//! Uniforms: the numbers that a kernel receives beside its values.

/// A uniform struct of 4-byte scalars, laid out as WGSL lays out the same fields.
///
/// `bytes()` gives what a [`Dispatch`](crate::graph::Dispatch) takes; `FIELDS` lists names and types in order, for
/// a test that compares them with the shader (`foveate::testing::params_match`).
///
/// ```
/// foveate::params! {
///     /// Uniform of `halve.wgsl`.
///     struct Params { count: u32, factor: f32 }
/// }
/// let bytes = Params { count: 3, factor: 0.5 }.bytes();
/// assert_eq!(bytes.len(), 16);
/// assert_eq!(Params::FIELDS, [("count", "u32"), ("factor", "f32")]);
/// ```
#[macro_export]
macro_rules! params {
    ($(#[$doc:meta])* $vis:vis struct $name:ident { $($field:ident : $kind:ty),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        $vis struct $name { $($vis $field: $kind),* }

        #[allow(dead_code, reason = "FIELDS is for tests")]
        impl $name {
            /// Names and types of its fields, in order.
            $vis const FIELDS: &'static [(&'static str, &'static str)] =
                &[$((::core::stringify!($field), ::core::stringify!($kind))),*];

            /// Its bytes in field order, padded to a whole vec4 as uniform layout asks.
            $vis fn bytes(&self) -> ::std::vec::Vec<u8> {
                let mut bytes = ::std::vec::Vec::new();
                $(bytes.extend_from_slice(&self.$field.to_le_bytes());)*
                bytes.resize(bytes.len().next_multiple_of(16), 0);
                bytes
            }
        }
    };
}
