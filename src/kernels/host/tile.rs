//! The tile of a product: some rows times a panel of `N` vectors, with every sum in a register.
//!
//! The rows are walked as one zipped iterator, because indexing each would check its bounds, and the checks keep a
//! compiler from unrolling: measured, that costs a factor of fifteen. Zipping a number of rows takes a macro.

use pulp::Simd;

/// Rows of a tile: as many sums as registers hold, beside a row of the panel.
///
/// WebAssembly has as many registers as one likes, which a browser maps to those of the processor: 16 on x86, of which
/// it keeps one, and multiplying and adding in turn takes another. Of the shapes that were tried in V8, 4 rows × 2
/// vectors was the fastest.
#[inline(always)]
pub fn rows<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 && !cfg!(target_arch = "wasm32") { 8 } else { 4 }
}

macro_rules! tile {
    ($(#[$doc:meta])* $name:ident, $rows:literal, $first:ident $($row:ident)*) => {
        $(#[$doc])*
        #[inline(always)]
        pub fn $name<S: Simd, const N: usize>(
            simd: S,
            rows: [&[f32]; $rows],
            panel: &[f32],
            out: &mut [f32],
            stride: usize,
            extent: [usize; 2],
        ) {
            let (panel, _) = S::as_simd_f32s(panel);
            let (panel, _) = panel.as_chunks::<N>();
            let mut sums = [[simd.splat_f32s(0.0); N]; $rows];
            let [$first, $($row),*] = rows;
            for tile!(@pattern (vectors, $first) $($row)*) in panel.iter().zip($first)$(.zip($row))* {
                let numbers = [*$first, $(*$row),*];
                for i in 0..$rows {
                    let number = simd.splat_f32s(numbers[i]);
                    for j in 0..N {
                        sums[i][j] = simd.mul_add_e_f32s(number, vectors[j], sums[i][j]);
                    }
                }
            }
            // Loops of fixed length, each index known: an array that is indexed by anything else lies in memory, and
            // every multiplication above would store to it.
            for i in 0..$rows {
                if i < extent[0] {
                    let row = &mut out[i * stride..][..extent[1]];
                    for j in 0..N {
                        let first = (j * S::F32_LANES).min(extent[1]);
                        let last = (first + S::F32_LANES).min(extent[1]);
                        simd.partial_store_f32s(&mut row[first..last], sums[i][j]);
                    }
                }
            }
        }
    };
    (@pattern $pattern:tt $next:ident $($rest:ident)*) => { tile!(@pattern ($pattern, $next) $($rest)*) };
    (@pattern $pattern:tt) => { $pattern };
}

tile!(
    /// Eight rows, for 32 registers. Of the result, `extent` rows and columns go to `out`, a row every `stride`
    /// numbers.
    eight, 8, a b c d e f g h
);
tile!(
    /// Four rows, for 16 registers.
    four, 4, a b c d
);
