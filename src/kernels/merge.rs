//! The mean of each group of tokens. Methods that merge do it behind the norm, so what is averaged are rows that the
//! sublayer is about to read, and the stream keeps every token.

use super::host::{rows_at_once, vectorised};
use super::{Groups, NOTHING, params, shader};
use crate::graph::reference::HostValues;
use crate::graph::{Caps, Dispatch, Graph, Host, Indices, Op, Pass, Shader, ValueId};
use crate::{Error, Result};

pub(super) static SHADER: Shader = shader!("merge");

params! {
    /// Uniform of `merge.wgsl`.
    struct Params { count: u32, rows: u32, kept: u32, channels: u32 }
}

#[derive(Debug)]
struct Merge {
    x: ValueId,
    groups: Groups,
    out: ValueId,
}

/// The mean of the rows of `x [B, N, C]` that are in one group, as `[B, k, C]`. They are summed in the group's order,
/// so that the same groups give the same bytes; a row alone stays as it is.
pub fn merge(graph: &mut Graph, x: ValueId, groups: Groups) -> Result<ValueId> {
    let op = SHADER.name;
    let [batch, rows, channels] = graph.dims(op, x)?;
    graph.expect(op, groups.next, &[batch, rows])?;
    let [_, kept] = graph.dims(op, groups.first)?;
    graph.expect(op, groups.first, &[batch, kept])?;
    let out = graph.transient("merged rows", &[batch, kept, channels]);
    graph.push(Merge { x, groups, out });
    Ok(out)
}

impl Op for Merge {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        vec![Pass::new().read(self.x).read(self.groups.first).read(self.groups.next).write(self.out)]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let [batch, rows, channels] = graph.dims(self.name(), self.x)?;
        let count = graph.get(self.out).len();
        // All but a group's first token, four at a time.
        let rounds = (rows - 1).div_ceil(4) as u64;
        if rounds > caps.max_rounds {
            return Err(Error::Limit {
                what: format!("merging up to {rows} tokens into one"),
                limit: "rounds of this adapter's loops",
                needed: rounds,
                available: caps.max_rounds,
            });
        }
        let kept = count / channels / batch;
        let [count, rows, kept, channels] = [count, rows, kept, channels].map(|n| n as u32);
        let params = Params { count, rows, kept, channels };
        Ok(vec![Dispatch::new(&SHADER, params.bytes(), caps.grid(u64::from(count).div_ceil(256)))])
    }

    fn indices(&self, graph: &Graph) -> Vec<Indices> {
        let rows = graph.shape(self.x)[1];
        [self.groups.first, self.groups.next].map(|tokens| Indices::below_or_nothing(tokens, rows)).into()
    }

    fn compute(&self, graph: &Graph, host: &Host<'_>) -> Result<()> {
        let [_, rows, channels] = [0, 1, 2].map(|d| graph.shape(self.x)[d]);
        let kept = graph.shape(self.out)[1];
        let (x, first, next) = (host.numbers(self.x)?, host.words(self.groups.first)?, host.words(self.groups.next)?);
        let rows_at_once = rows_at_once(channels);
        host.pool().chunks(&mut host.numbers_mut(self.out)?, rows_at_once * channels, |chunk, out| {
            vectorised(|| {
                let mut sums = vec![0.0; channels];
                for (compact, out) in (chunk * rows_at_once..).zip(out.chunks_exact_mut(channels)) {
                    let (mut token, mut members) = (first[compact], 0);
                    sums.fill(0.0);
                    while token != NOTHING {
                        let row = compact / kept * rows + token as usize;
                        sums.iter_mut().zip(&x[row * channels..]).for_each(|(sum, x)| *sum += f64::from(*x));
                        members += 1;
                        token = next[row];
                    }
                    let members = f64::from(members.max(1));
                    out.iter_mut().zip(&sums).for_each(|(out, sum)| *out = (sum / members) as f32);
                }
            });
        });
        Ok(())
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let [_, rows, channels] = [0, 1, 2].map(|d| graph.shape(self.x)[d]);
        let (x, next) = (host.f32(self.x), host.u32(self.groups.next));
        let kept = graph.shape(self.out)[1];
        let mut out = vec![0.0; graph.get(self.out).len()];
        for (compact, out) in out.chunks_exact_mut(channels).enumerate() {
            let sample = compact / kept * rows;
            let mut sums = vec![0.0; channels];
            let mut members = 0;
            let mut token = host.u32(self.groups.first)[compact];
            while token != NOTHING {
                let row = sample + token as usize;
                sums.iter_mut().zip(&x[row * channels..]).for_each(|(sum, x)| *sum += f64::from(*x));
                members += 1;
                token = next[row];
            }
            out.iter_mut().zip(sums).for_each(|(out, sum)| *out = (sum / f64::from(members.max(1))) as f32);
        }
        host.write(graph, self.out, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::AdapterClass;
    use crate::kernels::groups;
    use crate::kernels::groups::tests::joined_at_random;
    use crate::tensor::Data;
    use crate::testing::{Case, gpu};

    // Sums of thousands of numbers, one after the other.
    const TOLERANCE: f64 = 2e-6;

    fn merged(case: &mut Case, samples: &[Vec<u32>], kept: usize, channels: usize) -> ValueId {
        let shape = [samples.len(), samples[0].len()];
        let x = case.input("x", &[shape[0], shape[1], channels]);
        let destination = case.indices("destination", &shape, samples.concat());
        let groups = groups(&mut case.graph, destination, kept).unwrap();
        merge(&mut case.graph, x, groups).unwrap()
    }

    #[test]
    fn groups_of_any_size() {
        for (rows, channels) in [(1usize, 1), (5, 3), (64, 192), (257, 33), (1000, 7)] {
            for kept in [1, rows.div_ceil(9), rows.div_ceil(2), rows] {
                let mut case = Case::new();
                let samples = [0; 2].map(|_| joined_at_random(&mut case, rows, kept));
                let out = merged(&mut case, &samples, kept, channels);
                assert_eq!(case.graph.shape(out), [2, kept, channels]);
                case.agrees(TOLERANCE);
            }
        }
    }

    #[test]
    fn a_plain_sky_is_one_group() {
        for others in 0..10 {
            // All but a few of 3000 tokens, so that every length of the last four is met.
            let sky = (0..3000 + others).map(|token| token.min(7)).collect();
            let mut case = Case::new();
            merged(&mut case, &[sky], 8, 5);
            case.agrees(TOLERANCE);
        }
    }

    #[test]
    fn tokens_alone_stay_as_they_are() {
        let mut case = Case::new();
        let alone: Vec<u32> = (0..300).collect();
        let out = merged(&mut case, &[alone.clone(), alone], 300, 33);
        let Data::F32(found) = &case.run(gpu())[&out] else { panic!("no numbers") };
        assert_eq!(found, case.stored["x"].f32());
        case.agrees(TOLERANCE);
    }

    #[test]
    fn rows_of_nobody_are_zero() {
        let mut case = Case::new();
        let out = merged(&mut case, &[vec![1, 1, 1], vec![0, 1, 0]], 2, 4);
        case.agrees(TOLERANCE);
        let host = crate::graph::reference::run(&case.graph, &case.stored).unwrap();
        assert_eq!(host.f32(out)[4..8], [0.0; 4]);
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let mut case = Case::new();
        let x = case.input("x", &[2, 4, 8]);
        let [first, next, place] = ["first", "next", "place"].map(|name| case.indices(name, &[2, 4], vec![0; 8]));
        let good = Groups { first, next, place };
        let other = case.indices("other", &[2, 5], vec![0; 10]);
        let single = case.indices("single", &[1, 3], vec![0; 3]);
        for (groups, message) in [
            (Groups { next: other, ..good }, "other has shape [2, 5], expected [2, 4]"),
            (Groups { first: single, ..good }, "single has shape [1, 3], expected [2, 3]"),
        ] {
            let error = merge(&mut case.graph, x, groups).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    #[test]
    fn refuses_what_would_be_cut_short() {
        let mut case = Case::new();
        let x = case.input("x", &[1, 4099, 1]);
        let [first, next] = [1, 4099].map(|n| case.indices(&format!("{n}"), &[1, n], vec![NOTHING; n]));
        merge(&mut case.graph, x, Groups { first, next, place: next }).unwrap();
        let op = &case.graph.nodes()[0].op;
        let mut caps = Caps { class: AdapterClass::Software, max_rounds: 1025, ..Caps::minimum() };
        assert_eq!(op.record(&case.graph, &caps).unwrap().len(), 1);
        caps.max_rounds = 1024;
        let error = op.record(&case.graph, &caps).unwrap_err().to_string();
        assert!(
            error.contains("merging up to 4099 tokens into one needs rounds of this adapter's loops = 1025"),
            "{error}"
        );
    }
}
