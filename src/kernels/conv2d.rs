//! Convolution over images, optionally of an image upsampled on the way in: all of a VAE's weight is in it.
//!
//! An implicit GEMM: no im2col buffer is ever made. Weights stay in the form [`Format`] gives a matrix
//! `[out, in · kh · kw]` and are decoded once per workgroup.

use super::host::panels::Right;
use super::host::product::{Finish, product};
use super::{params, shader};
use crate::graph::reference::HostValues;
use crate::graph::{AdapterClass, Caps, Dispatch, Element, Graph, Host, Op, Pass, Shader, ValueId};
use crate::size::elements;
use crate::weights::Format;
use crate::{Error, Result};

pub(super) static SHADER: Shader = shader!("conv2d");

params! {
    /// Uniform of `conv2d.wgsl`.
    struct Params {
        base: u32, channels: u32, height: u32, width: u32,
        out_channels: u32, out_height: u32, out_width: u32,
        kernel_height: u32, kernel_width: u32, pad_top: i32, pad_left: i32,
        row_words: u32, strips_per_row: u32, strips: u32,
    }
}

/// What [`conv2d`] convolves with, and how.
#[derive(Clone, Copy, Debug)]
pub struct Conv2d {
    /// `[out, in, kh, kw]`, packed as f32, f16 or bf16.
    pub weight: ValueId,
    /// `[out]`.
    pub bias: Option<ValueId>,
    /// Pixels from one output to the next.
    pub stride: usize,
    /// Zeros around the image: top, left, bottom, right. The downsampler of diffusers pads (0, 0, 1, 1).
    pub padding: [usize; 4],
    /// Doubles the image by repeating pixels before the convolution, without ever writing it out.
    pub upsample: bool,
}

#[derive(Debug)]
struct Convolution {
    x: ValueId,
    conv: Conv2d,
    out: ValueId,
}

/// Threads of a workgroup.
const THREADS: usize = 64;
/// Output channels that a workgroup computes.
const CHANNELS: usize = 8;
/// The most pixels along a side, or around a picture.
const MOST_PIXELS: usize = 1 << 20;
/// Taps of a kernel's row that a workgroup can hold.
const MAX_KERNEL_WIDTH: usize = 192;

/// `x [B, in, H, W]` → `[B, out, H', W']`.
pub fn conv2d(graph: &mut Graph, x: ValueId, conv: Conv2d) -> Result<ValueId> {
    let [batch, channels, height, width] = graph.dims("conv2d", x)?;
    let [out_channels, in_channels, kernel_height, kernel_width] = graph.dims("conv2d", conv.weight)?;
    let weight = graph.get(conv.weight);
    if channels != in_channels {
        let reason = format!("{} takes {in_channels} channels, x has {channels}", weight.name);
        return Err(Error::shape("conv2d", reason));
    }
    if !matches!(weight.element, Element::Packed(Format::F32 | Format::F16 | Format::BF16)) {
        let reason = format!("{} is {:?}, it takes weights packed as F32, F16 or BF16", weight.name, weight.element);
        return Err(Error::shape("conv2d", reason));
    }
    // Shaders count pixels in 32 bits, those of the padding among them.
    let most = conv.padding.into_iter().chain([conv.stride, height, width]).max();
    if conv.stride == 0 || most > Some(MOST_PIXELS) || !(1..=MAX_KERNEL_WIDTH).contains(&kernel_width) {
        let Conv2d { stride, padding, .. } = conv;
        let size = format!("{height}×{width} pixels within {padding:?}");
        let reason = format!("cannot convolve {size}, {kernel_width} pixels wide at stride {stride}");
        return Err(Error::shape("conv2d", reason));
    }
    if let Some(bias) = conv.bias {
        graph.expect("conv2d", bias, &[out_channels])?;
    }
    let [top, left, bottom, right] = conv.padding;
    let extent = |size: usize, padding: usize, kernel: usize| {
        let size = if conv.upsample { 2 * size } else { size };
        (size + padding).checked_sub(kernel).map(|room| room / conv.stride + 1)
    };
    let (Some(out_height), Some(out_width)) =
        (extent(height, top + bottom, kernel_height), extent(width, left + right, kernel_width))
    else {
        let reason = format!("a {kernel_height}×{kernel_width} kernel does not fit {height}×{width} pixels");
        return Err(Error::shape("conv2d", reason));
    };
    let out = graph.transient("conv", &[batch, out_channels, out_height, out_width]);
    graph.push_audited(Convolution { x, conv, out });
    Ok(out)
}

impl Op for Convolution {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        vec![Pass::new().read(self.x).read(self.conv.weight).read(self.conv.bias).write(self.out)]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let [_, channels, height, width] = graph.dims("conv2d", self.x)?;
        let [batch, out_channels, out_height, out_width] = graph.dims("conv2d", self.out)?;
        let [_, _, kernel_height, kernel_width] = graph.dims("conv2d", self.conv.weight)?;
        let Conv2d { bias, stride, padding: [pad_top, pad_left, ..], upsample, .. } = self.conv;
        let weight = graph.get(self.conv.weight);
        if weight.bytes() > caps.max_tensor_bytes() {
            return Err(Error::Limit {
                what: format!("convolving with {}", weight.name),
                limit: "max_storage_buffer_binding_size",
                needed: weight.bytes(),
                available: caps.max_tensor_bytes(),
            });
        }
        let format = match weight.element {
            Element::Packed(Format::F16) => 1,
            Element::Packed(Format::BF16) => 2,
            _ => 0,
        };
        // Measured on lavapipe, of 128 → 128 channels at 64×64: direct and wide is twice as fast as staged and narrow.
        let direct = caps.class == AdapterClass::Software;
        let wide = direct && out_width > 8;
        let strips_per_row = out_width.div_ceil(if wide { 16 } else { 8 });
        let strips = batch * out_height * strips_per_row;
        let params = Params {
            base: 0,
            channels: channels as u32,
            height: height as u32,
            width: width as u32,
            out_channels: out_channels as u32,
            out_height: out_height as u32,
            out_width: out_width as u32,
            kernel_height: kernel_height as u32,
            kernel_width: kernel_width as u32,
            pad_top: pad_top as i32,
            pad_left: pad_left as i32,
            row_words: (weight.bytes() / 4) as u32 / out_channels as u32,
            strips_per_row: strips_per_row as u32,
            strips: strips as u32,
        };
        let workgroups = strips.div_ceil(THREADS) as u64 * out_channels.div_ceil(CHANNELS) as u64;
        Ok(vec![
            Dispatch::new(&SHADER, params.bytes(), caps.grid(workgroups))
                .divisible()
                .constant("STRIDE", stride as f64)
                .constant("UPSAMPLE", upsample)
                .constant("HAS_BIAS", bias.is_some())
                .constant("FORMAT", format)
                .constant("STAGED", !direct)
                .constant("WIDE", wide),
        ])
    }

    fn compute(&self, graph: &Graph, host: &Host<'_>) -> Result<()> {
        let [_, channels, height, width] = graph.dims("conv2d", self.x)?;
        let [_, out_channels, out_height, out_width] = graph.dims("conv2d", self.out)?;
        let [_, _, kernel_height, kernel_width] = graph.dims("conv2d", self.conv.weight)?;
        let weight = graph.get(self.conv.weight);
        let (_, k) = weight.matrix();
        let words = host.words(self.conv.weight)?;
        // `[out, in · kh · kw]`, rows of `stride` numbers.
        let (decoded, stride);
        let weights: &[f32] = match weight.element {
            Element::Packed(Format::F32) => {
                stride = Format::F32.row_words(k);
                bytemuck::cast_slice(&words)
            }
            Element::Packed(format) => {
                let row_words = format.row_words(k);
                let rows = |row: usize| format.decode_rows(&words[row * row_words..][..row_words], k);
                (decoded, stride) = (host.pool().map(out_channels, rows).concat(), k);
                &decoded
            }
            _ => return Err(Error::tensor(&weight.name, "is no packed weight")),
        };
        let (x, bias) = (host.numbers(self.x)?, host.optional(self.conv.bias)?);
        let finish = Finish { row_bias: bias.as_deref(), ..Finish::default() };
        let mut out = host.numbers_mut(self.out)?;
        let samples = x.chunks_exact(channels * height * width);
        for (pixels, out) in samples.zip(out.chunks_exact_mut(out_channels * out_height * out_width)) {
            let image = Image {
                pixels,
                size: [height, width],
                kernel: [kernel_height, kernel_width],
                out: [out_height, out_width],
                conv: self.conv,
                taps: k,
            };
            product(host.pool(), out_channels, |o| &weights[o * stride..][..k], &image, finish, out);
        }
        Ok(())
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let &[_, channels, height, width] = graph.shape(self.x) else { return };
        let &[batch, out_channels, out_height, out_width] = graph.shape(self.out) else { return };
        let &[.., kernel_height, kernel_width] = graph.shape(self.conv.weight) else { return };
        let (x, weight) = (host.f32(self.x), host.f32(self.conv.weight));
        let [top, left, ..] = self.conv.padding;
        let scale = if self.conv.upsample { 2 } else { 1 };
        // Where tap `tap` of output `o` falls in an image of `size` pixels, if it does not fall into the padding.
        let source = |o: usize, tap: usize, padding: usize, size: usize| {
            (o * self.conv.stride + tap).checked_sub(padding).map(|i| i / scale).filter(|&i| i < size)
        };
        let mut out = Vec::with_capacity(graph.get(self.out).len());
        for b in 0..batch {
            for o in 0..out_channels {
                let bias = self.conv.bias.map_or(0.0, |bias| host.f32(bias)[o]);
                for (oy, ox) in (0..out_height).flat_map(|y| (0..out_width).map(move |x| (y, x))) {
                    let mut sum = f64::from(bias);
                    for ky in 0..kernel_height {
                        let Some(y) = source(oy, ky, top, height) else { continue };
                        for kx in 0..kernel_width {
                            let Some(column) = source(ox, kx, left, width) else { continue };
                            for c in 0..channels {
                                let pixel = x[((b * channels + c) * height + y) * width + column];
                                let tap = weight[((o * channels + c) * kernel_height + ky) * kernel_width + kx];
                                sum += f64::from(pixel) * f64::from(tap);
                            }
                        }
                    }
                    out.push(sum as f32);
                }
            }
        }
        host.write(graph, self.out, out);
    }

    fn flops(&self, graph: &Graph) -> u64 {
        let (_, k) = graph.get(self.conv.weight).matrix();
        elements(&[2, graph.get(self.out).len(), k])
    }
}

/// An image as the right side of a product: a row for each tap of each channel, a column for each pixel of the result.
/// No such matrix is ever in memory, only a panel of it.
struct Image<'a> {
    /// `[in, H, W]`.
    pixels: &'a [f32],
    size: [usize; 2],
    kernel: [usize; 2],
    out: [usize; 2],
    conv: Conv2d,
    /// in · kh · kw.
    taps: usize,
}

impl Right for Image<'_> {
    fn columns(&self) -> usize {
        self.out[0] * self.out[1]
    }

    fn panel<'a>(&'a self, first: usize, width: usize, scratch: &'a mut Vec<f32>) -> &'a [f32] {
        let Self { pixels, size: [height, columns], kernel, out: [_, out_width], conv, taps } = self;
        let [top, left, ..] = conv.padding;
        let scale = if conv.upsample { 2 } else { 1 };
        scratch.clear();
        scratch.resize(taps * width, 0.0);
        let last = self.columns().min(first + width);
        // Row by row of the result, as far as the panel goes.
        let mut start = first;
        while start < last {
            let (y, x) = (start / out_width, start % out_width);
            let run = (out_width - x).min(last - start);
            for (tap, row) in scratch.chunks_exact_mut(width).enumerate() {
                let (c, ky, kx) = (tap / (kernel[0] * kernel[1]), tap / kernel[1] % kernel[0], tap % kernel[1]);
                let source = (y * conv.stride + ky).checked_sub(top).map(|y| y / scale).filter(|y| y < height);
                let Some(source) = source else { continue };
                let source = &pixels[(c * height + source) * columns..][..*columns];
                let row = &mut row[start - first..][..run];
                if conv.stride == 1 && scale == 1 {
                    // Column x + i of the result reads column x + i + kx − left, where there is one.
                    let skipped = left.saturating_sub(x + kx).min(run);
                    let from = (x + kx + skipped).saturating_sub(left);
                    let count = (run - skipped).min(columns.saturating_sub(from));
                    row[skipped..skipped + count].copy_from_slice(&source[from.min(*columns)..][..count]);
                } else {
                    for (i, to) in row.iter_mut().enumerate() {
                        let column = ((x + i) * conv.stride + kx).checked_sub(left).map(|column| column / scale);
                        *to = column.and_then(|column| source.get(column)).copied().unwrap_or(0.0);
                    }
                }
            }
            start += run;
        }
        scratch
    }

    fn is_made_anew(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Case;

    const SAME: Conv2d = Conv2d { weight: ValueId(0), bias: None, stride: 1, padding: [1; 4], upsample: false };

    /// Both variants of the kernel, to 2e-6: it adds up to a few hundred products in f32, the reference in f64.
    fn check(shape: [usize; 4], weight: [usize; 4], format: Format, bias: bool, conv: Conv2d) {
        let mut case = Case::new();
        let x = case.input("x", &shape);
        let bias = bias.then(|| case.input("bias", &weight[..1]));
        let weight = case.weight("weight", &weight, format);
        conv2d(&mut case.graph, x, Conv2d { weight, bias, ..conv }).unwrap();
        case.agrees_on_every_class(2e-6);
    }

    #[test]
    fn agrees_on_odd_sizes_and_tails() {
        for (shape, out) in [([1, 1, 1, 1], 1), ([2, 3, 5, 9], 7), ([1, 17, 8, 8], 9), ([1, 70, 3, 17], 16)] {
            for (kernel, pad) in [(1, 0), (3, 1)] {
                let weight = [out, shape[1], kernel, kernel];
                check(shape, weight, Format::F32, shape[0] == 2, Conv2d { padding: [pad; 4], ..SAME });
            }
        }
        check([1, 5, 7, 20], [3, 5, 4, 2], Format::F32, true, Conv2d { padding: [3, 0, 1, 2], ..SAME });
    }

    #[test]
    fn agrees_in_every_format() {
        for format in [Format::F32, Format::F16, Format::BF16] {
            check([1, 3, 6, 18], [5, 3, 3, 3], format, true, SAME); // rows of 27 weights: one is padding
            check([1, 5, 4, 4], [9, 5, 1, 1], format, false, Conv2d { padding: [0; 4], ..SAME });
        }
    }

    #[test]
    fn agrees_on_strides_and_lopsided_padding() {
        for (height, width) in [(8, 8), (7, 9), (2, 40), (5, 35)] {
            let down = Conv2d { stride: 2, padding: [0, 0, 1, 1], ..SAME };
            check([1, 4, height, width], [6, 4, 3, 3], Format::F32, true, down);
        }
        check([2, 3, 16, 16], [5, 3, 4, 4], Format::F16, false, Conv2d { stride: 4, padding: [0; 4], ..SAME });
    }

    #[test]
    fn agrees_on_upsampled_images() {
        for (height, width) in [(1, 1), (4, 4), (3, 5), (5, 11)] {
            check([2, 3, height, width], [4, 3, 3, 3], Format::F32, true, Conv2d { upsample: true, ..SAME });
        }
        check([1, 2, 6, 6], [3, 2, 3, 3], Format::F32, true, Conv2d { upsample: true, stride: 2, ..SAME });
    }

    fn refusal(weight: [usize; 4], format: Format, conv: Conv2d) -> String {
        let mut case = Case::new();
        let x = case.input("x", &[1, 4, 2, 2]);
        let weight = case.graph.stored("conv.weight", &weight, Element::Packed(format));
        conv2d(&mut case.graph, x, Conv2d { weight, ..conv }).unwrap_err().to_string()
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let error = refusal([8, 3, 3, 3], Format::F32, SAME);
        assert_eq!(error, "conv2d: conv.weight takes 3 channels, x has 4");
        let error = refusal([8, 4, 3, 3], Format::Int8, SAME);
        assert!(error.contains("conv.weight is Packed(Int8)"), "{error}");
        let error = refusal([8, 4, 3, 3], Format::F32, Conv2d { padding: [0; 4], ..SAME });
        assert!(error.contains("a 3×3 kernel does not fit 2×2 pixels"), "{error}");
        let error = refusal([8, 4, 3, 3], Format::F32, Conv2d { stride: 0, ..SAME });
        assert!(error.contains("at stride 0"), "{error}");
    }

    #[test]
    fn refuses_weights_beyond_a_binding() {
        let mut graph = Graph::new();
        let x = graph.stored("x", &[1, 2048, 8, 8], Element::F32);
        let weight = graph.stored("conv.weight", &[2048, 2048, 3, 3], Element::Packed(Format::F32));
        conv2d(&mut graph, x, Conv2d { weight, ..SAME }).unwrap();
        let error = graph.nodes()[0].op.record(&graph, &Caps::minimum()).unwrap_err().to_string();
        assert!(error.contains("convolving with conv.weight needs max_storage_buffer_binding_size"), "{error}");
    }
}
