//! What the ops' CPU forms share: products by tiles, a softmax over blocks of keys, weights in panels, functions that
//! vectorise.
//!
//! Code that should be compiled for the widest vectors at hand runs inside [`vectorised`], or is a
//! [`WithSimd`](pulp::WithSimd) handed to [`pulp::Arch`]; what it calls is `inline(always)`, or it would be compiled
//! for the narrowest.

pub mod attention;
pub mod math;
pub mod panels;
pub mod product;
mod tile;

use pulp::{Arch, Simd, WithSimd};

/// Runs `work`, compiled for the widest vectors of this processor.
pub fn vectorised<R>(work: impl FnOnce() -> R) -> R {
    struct Wide<F>(F);
    impl<R, F: FnOnce() -> R> WithSimd for Wide<F> {
        type Output = R;

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> R {
            (self.0)()
        }
    }
    Arch::new().dispatch(Wide(work))
}

/// Numbers in a vector.
pub fn lanes() -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;

        #[inline(always)]
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    Arch::new().dispatch(Lanes)
}

/// What the vectors are called.
pub fn vector_name() -> &'static str {
    match (lanes(), cfg!(target_arch = "x86_64")) {
        (16, _) => "AVX-512",
        (8, _) => "AVX2",
        (4, true) => "SSE",
        (4, false) if cfg!(target_arch = "wasm32") => "SIMD128",
        (4, false) => "NEON",
        _ => "no vectors",
    }
}

/// Elements that a thread takes at a time where each is computed by itself.
pub const ELEMENTS: usize = 16 << 10;

/// Rows of this width that a thread takes at a time.
pub fn rows_at_once(width: usize) -> usize {
    (ELEMENTS / width.max(1)).max(1)
}
