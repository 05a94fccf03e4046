//! Group normalisation of images, with the silu that follows it almost everywhere in a VAE.

use super::host::{math, vectorised};
use super::{Activation, params, shader};
use crate::graph::reference::HostValues;
use crate::graph::{Caps, Dispatch, Graph, Host, Op, Pass, Shader, ValueId};
use crate::{Error, Result};

pub(super) static SHADER: Shader = shader!("group_norm");

params! {
    /// Uniform of `group_norm.wgsl`.
    struct Params {
        base: u32, group: u32, groups: u32, pieces: u32, channels: u32, group_channels: u32,
        channel: u32, channel_pieces: u32, rows: u32, eps: f32,
    }
}

/// What [`group_norm`] normalises with.
#[derive(Clone, Copy, Debug)]
pub struct GroupNorm {
    /// `[C]`.
    pub weight: ValueId,
    /// `[C]`.
    pub bias: ValueId,
    /// Groups that the channels fall into.
    pub groups: usize,
    /// Added to the variance.
    pub eps: f32,
    /// Whether silu follows.
    pub silu: bool,
    /// `[B, C, H', W']`: the images whose statistics are used instead of those of what is normalised.
    pub like: Option<ValueId>,
}

#[derive(Debug)]
struct GroupNormalisation {
    x: ValueId,
    norm: GroupNorm,
    /// `[B · groups, pieces, 3]`: count, mean and Σ(x − mean)².
    measured: ValueId,
    /// `[B · groups, 3]`.
    moments: ValueId,
    out: ValueId,
}

/// Elements of a group below which it is measured in one piece.
const LEAST_PIECE: usize = 16 << 10;
/// Pieces a group is measured in at most: one for each thread that merges them.
const MOST_PIECES: usize = 256;
/// Elements of a channel that a workgroup normalises.
const CHANNEL_PIECE: usize = 4096;

/// `x [B, C, H, W]`, normalised over groups of channels.
pub fn group_norm(graph: &mut Graph, x: ValueId, norm: GroupNorm) -> Result<ValueId> {
    let [batch, channels, height, width] = graph.dims("group_norm", x)?;
    if norm.groups == 0 || channels % norm.groups != 0 {
        let reason = format!("{} groups do not divide {channels} channels", norm.groups);
        return Err(Error::shape("group_norm", reason));
    }
    graph.expect("group_norm", norm.weight, &[channels])?;
    graph.expect("group_norm", norm.bias, &[channels])?;
    let like = norm.like.unwrap_or(x);
    let [_, _, like_height, like_width] = graph.dims("group_norm", like)?;
    graph.expect("group_norm", like, &[batch, channels, like_height, like_width])?;
    for image in [x, like] {
        if graph.get(image).is_empty() {
            return Err(Error::shape("group_norm", format!("{:?} has no pixel", graph.shape(image))));
        }
    }
    let groups = batch.saturating_mul(norm.groups);
    let group = graph.get(like).len() / groups;
    let pieces = group.div_ceil(LEAST_PIECE).clamp(1, MOST_PIECES);
    let measured = graph.transient("group_norm.measured", &[groups, pieces, 3]);
    let moments = graph.transient("group_norm.moments", &[groups, 3]);
    let out = graph.transient("group_norm", &[batch, channels, height, width]);
    graph.push_audited(GroupNormalisation { x, norm, measured, moments, out });
    Ok(out)
}

impl GroupNormalisation {
    /// What is measured.
    fn like(&self) -> ValueId {
        self.norm.like.unwrap_or(self.x)
    }
}

impl Op for GroupNormalisation {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        let GroupNorm { weight, bias, .. } = self.norm;
        vec![
            Pass::new().read(self.like()).write(self.measured),
            Pass::new().read(self.measured).write(self.moments),
            Pass::new().read(self.x).read(self.moments).read(weight).read(bias).write(self.out),
        ]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let [batch, channels, height, width] = graph.dims("group_norm", self.x)?;
        let [groups, pieces, _] = graph.dims("group_norm", self.measured)?;
        let (rows, channel) = (batch * channels, height * width);
        let params = Params {
            base: 0,
            group: (graph.get(self.like()).len() / groups) as u32,
            groups: groups as u32,
            pieces: pieces as u32,
            channels: channels as u32,
            group_channels: (channels / self.norm.groups) as u32,
            channel: channel as u32,
            channel_pieces: channel.div_ceil(CHANNEL_PIECE) as u32,
            rows: rows as u32,
            eps: self.norm.eps,
        };
        let dispatch = |entry, pass, workgroups: usize| {
            Dispatch::new(&SHADER, params.bytes(), caps.grid(workgroups as u64)).divisible().entry(entry).pass(pass)
        };
        Ok(vec![
            dispatch("measure", 0, groups * pieces),
            dispatch("merge", 1, groups),
            dispatch("apply", 2, rows * channel.div_ceil(CHANNEL_PIECE)).constant("SILU", self.norm.silu),
        ])
    }

    fn compute(&self, graph: &Graph, host: &Host<'_>) -> Result<()> {
        let [_, channels, height, width] = graph.dims("group_norm", self.x)?;
        let [groups, pieces, _] = graph.dims("group_norm", self.measured)?;
        let GroupNorm { weight, bias, eps, silu, .. } = self.norm;
        let (x, weight, bias) = (host.numbers(self.x)?, host.numbers(weight)?, host.numbers(bias)?);
        let like = host.numbers(self.like())?;
        let (group, pixels) = (like.len() / groups, height * width);
        // `[pieces, 3]` of each group, and the whole group's.
        let found = host.pool().map(groups, |g| {
            let piece = group.div_ceil(pieces);
            let each = like[g * group..][..group].chunks(piece).map(|piece| vectorised(|| measure(piece)));
            let mut measured: Vec<[f32; 3]> = each.collect();
            measured.resize(pieces, [0.0; 3]);
            let whole = merge(&measured);
            (measured, whole)
        });
        for (to, (measured, _)) in host.numbers_mut(self.measured)?.chunks_exact_mut(3 * pieces).zip(&found) {
            to.copy_from_slice(measured.as_flattened());
        }
        for (to, (_, whole)) in host.numbers_mut(self.moments)?.chunks_exact_mut(3).zip(&found) {
            to.copy_from_slice(whole);
        }
        host.pool().chunks(&mut host.numbers_mut(self.out)?, pixels, |row, out| {
            let ([count, mean, deviation], c) = (found[row / (channels / self.norm.groups)].1, row % channels);
            let factor = weight[c] / (deviation / count + eps).sqrt();
            vectorised(|| {
                for (to, &from) in out.iter_mut().zip(&x[row * pixels..]) {
                    *to = (from - mean) * factor + bias[c];
                }
                math::activate(if silu { Activation::Silu } else { Activation::None }, out);
            });
        });
        Ok(())
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let &[_, channels, height, width] = graph.shape(self.x) else { return };
        let &[groups, pieces, _] = graph.shape(self.measured) else { return };
        let (x, weight, bias) = (host.f32(self.x), host.f32(self.norm.weight), host.f32(self.norm.bias));
        let like = host.f32(self.like());
        let (group, own) = (like.len() / groups, x.len() / groups);
        let (mut measured, mut all, mut out) = (Vec::new(), Vec::new(), Vec::with_capacity(x.len()));
        for (g, elements) in like.chunks(group).enumerate() {
            measured.extend(elements.chunks(group.div_ceil(pieces)).flat_map(moments));
            // ⌈group / pieces⌉ may fill the group in fewer pieces; the rest are empty.
            measured.resize((g + 1) * pieces * 3, 0.0);
            let [count, mean, deviation] = moments(elements);
            all.extend([count, mean, deviation]);
            let scale = 1.0 / (f64::from(deviation) / f64::from(count) + f64::from(self.norm.eps)).sqrt();
            for (i, &element) in x[g * own..][..own].iter().enumerate() {
                let c = (g * own + i) / (height * width) % channels;
                let y = (f64::from(element) - f64::from(mean)) * scale * f64::from(weight[c]) + f64::from(bias[c]);
                out.push(if self.norm.silu { y / (1.0 + (-y).exp()) } else { y } as f32);
            }
        }
        host.write(graph, self.measured, measured);
        host.write(graph, self.moments, all);
        host.write(graph, self.out, out);
    }
}

/// Count, mean and Σ(x − mean)² on the processor.
#[inline(always)]
fn measure(elements: &[f32]) -> [f32; 3] {
    let count = elements.len() as f32;
    let near = math::sum(elements, |v| v) / count;
    // What rounding left in a mean that may be large beside the deviations.
    let mean = near + math::sum(elements, |v| v - near) / count;
    [count, mean, math::sum(elements, |v| (v - mean) * (v - mean))]
}

/// Those of all pieces together (Chan, Golub and LeVeque).
fn merge(pieces: &[[f32; 3]]) -> [f32; 3] {
    let all = pieces.iter().map(|piece| piece.map(f64::from)).filter(|&[count, ..]| count > 0.0);
    let merged = all.reduce(|[count, mean, deviation], [more, other, others]| {
        let (total, apart) = (count + more, other - mean);
        [total, mean + apart * more / total, deviation + others + apart * apart * count * more / total]
    });
    merged.unwrap_or_default().map(|moment| moment as f32)
}

/// Count, mean and Σ(x − mean)².
fn moments(elements: &[f32]) -> [f32; 3] {
    let count = elements.len() as f64;
    let mean = elements.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    let deviation: f64 = elements.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum();
    [count as f32, mean as f32, deviation as f32]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Case;

    /// To 2e-6: one rounding of mean, deviation and result each.
    fn check(shape: [usize; 4], groups: usize, eps: f32, silu: bool, mean: f32) {
        let mut case = Case::new();
        let values = case.random(shape.iter().product()).into_iter().map(|v| v + mean).collect();
        let x = case.input_of("x", &shape, values);
        let (weight, bias) = (case.input("weight", &shape[1..2]), case.input("bias", &shape[1..2]));
        group_norm(&mut case.graph, x, GroupNorm { weight, bias, groups, eps, silu, like: None }).unwrap();
        case.agrees(2e-6);
    }

    #[test]
    fn agrees_on_odd_sizes() {
        for (shape, groups) in
            [([1, 1, 1, 1], 1), ([1, 4, 1, 1], 2), ([2, 6, 5, 7], 3), ([1, 32, 16, 16], 32), ([3, 8, 65, 64], 8)]
        {
            check(shape, groups, 1e-6, false, 0.0);
            check(shape, groups, 1e-5, true, 0.5);
        }
    }

    #[test]
    fn agrees_on_groups_measured_in_pieces() {
        check([1, 4, 129, 131], 2, 1e-6, true, 0.0); // 33,798 elements in 3 pieces
        check([1, 2, 4101, 1025], 1, 1e-6, false, 0.0); // 8.4 million in 256
    }

    /// A sum of squares in f32 would have no digit left.
    #[test]
    fn keeps_its_precision_far_from_zero() {
        let mut case = Case::new();
        let values = case.random(256 * 256).into_iter().map(|v| 1000.0 + v).collect();
        let x = case.input_of("x", &[1, 1, 256, 256], values);
        let (weight, bias) = (case.input("weight", &[1]), case.input("bias", &[1]));
        let norm = GroupNorm { weight, bias, groups: 1, eps: 1e-6, silu: false, like: None };
        group_norm(&mut case.graph, x, norm).unwrap();
        case.agrees(1e-4); // the last place of 1000 is 6e-5
    }

    #[test]
    fn agrees_by_the_statistics_of_others() {
        for (shape, like, groups) in [
            ([1, 4, 3, 5], [1, 4, 9, 7], 2),
            ([2, 6, 9, 8], [2, 6, 1, 1], 3),
            ([1, 4, 65, 64], [1, 4, 129, 131], 1), // measured in pieces, applied in two
        ] {
            let mut case = Case::new();
            let (x, like) = (case.input("x", &shape), case.input("like", &like));
            let (weight, bias) = (case.input("weight", &shape[1..2]), case.input("bias", &shape[1..2]));
            let norm = GroupNorm { weight, bias, groups, eps: 1e-6, silu: true, like: Some(like) };
            group_norm(&mut case.graph, x, norm).unwrap();
            case.agrees(2e-6);
        }
    }

    #[test]
    fn honours_eps() {
        check([1, 2, 8, 8], 2, 10.0, false, 0.0);
    }

    #[test]
    fn refuses_groups_that_do_not_divide() {
        let mut case = Case::new();
        let x = case.input("x", &[1, 6, 2, 2]);
        let (weight, bias) = (case.input("weight", &[6]), case.input("bias", &[6]));
        let norm = GroupNorm { weight, bias, groups: 4, eps: 1e-6, silu: false, like: None };
        let error = group_norm(&mut case.graph, x, norm).unwrap_err().to_string();
        assert_eq!(error, "group_norm: 4 groups do not divide 6 channels");
        let short = case.input("short", &[4]);
        let norm = GroupNorm { weight: short, groups: 2, ..norm };
        let error = group_norm(&mut case.graph, x, norm).unwrap_err().to_string();
        assert!(error.contains("short has shape [4], expected [6]"), "{error}");
        let like = case.input("like", &[1, 4, 9, 9]);
        let norm = GroupNorm { weight, bias, groups: 2, like: Some(like), ..norm };
        let error = group_norm(&mut case.graph, x, norm).unwrap_err().to_string();
        assert!(error.contains("like has shape [1, 4, 9, 9], expected [1, 6, 9, 9]"), "{error}");
    }
}
