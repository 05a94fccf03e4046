//! Latents with further channels behind their own: what a model sees that was trained to fill in pictures, beside the
//! noisy sample the mask and the latents of what is left of the picture.

use super::{params, shader, step_row};
use crate::Result;
use crate::graph::reference::HostValues;
use crate::graph::{Caps, Dispatch, Graph, Host, Op, Pass, Shader, ValueId};

pub(super) static SHADER: Shader = shader!("join_channels");

params! {
    /// Uniform of `join_channels.wgsl`.
    struct Params { count: u32, own: u32, more: u32, factor: u32 }
}

#[derive(Debug)]
struct JoinChannels {
    latents: ValueId,
    more: ValueId,
    step: ValueId,
    out: ValueId,
}

/// `latents [L, C, H, W]`, scaled by the input scale of `step [16]`, and behind them `more [1, E, H, W]` as it is:
/// `[L, C + E, H, W]`.
pub fn join_channels(graph: &mut Graph, latents: ValueId, more: ValueId, step: ValueId) -> Result<ValueId> {
    let op = SHADER.name;
    let [count, channels, height, width] = graph.dims(op, latents)?;
    let [_, further, _, _] = graph.dims(op, more)?;
    graph.expect(op, more, &[1, further, height, width])?;
    graph.expect(op, step, &[step_row::LEN])?;
    let out = graph.transient("joined", &[count, channels.saturating_add(further), height, width]);
    graph.push(JoinChannels { latents, more, step, out });
    Ok(out)
}

impl Op for JoinChannels {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        vec![Pass::new().read(self.latents).read(self.more).read(self.step).write(self.out)]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let count = graph.get(self.out).len();
        let own = graph.shape(self.latents)[1..].iter().product::<usize>() as u32;
        let more = graph.get(self.more).len() as u32;
        let params = Params { count: count as u32, own, more, factor: step_row::INPUT_SCALE as u32 };
        Ok(vec![Dispatch::new(&SHADER, params.bytes(), caps.grid(count.div_ceil(256) as u64))])
    }

    fn compute(&self, _graph: &Graph, host: &Host<'_>) -> Result<()> {
        host.by_reference(&self.access(), |graph, values| self.reference(graph, values))
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let [latents, more, row] = [self.latents, self.more, self.step].map(|id| host.f32(id));
        let own: usize = graph.shape(self.latents)[1..].iter().product();
        let scaled = |own: &[f32]| own.iter().map(|x| row[step_row::INPUT_SCALE] * x).collect::<Vec<_>>();
        let out = latents.chunks(own.max(1)).flat_map(|own| [scaled(own), more.to_vec()].concat()).collect();
        host.write(graph, self.out, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Case;

    #[test]
    fn agrees_with_the_reference() {
        for ([count, channels, height, width], further) in [([1, 1, 1, 1], 1), ([3, 4, 5, 7], 5), ([2, 3, 16, 9], 4)] {
            let mut case = Case::new();
            let latents = case.input("latents", &[count, channels, height, width]);
            let more = case.input("more", &[1, further, height, width]);
            let step = case.input("step", &[step_row::LEN]);
            let out = join_channels(&mut case.graph, latents, more, step).unwrap();
            assert_eq!(case.graph.shape(out), [count, channels + further, height, width]);
            case.agrees(1e-7);
        }
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let mut case = Case::new();
        let latents = case.input("latents", &[2, 4, 6, 5]);
        let [more, step] = [("more", vec![1, 5, 6, 6]), ("step", vec![step_row::LEN])].map(|(n, s)| case.input(n, &s));
        let error = join_channels(&mut case.graph, latents, more, step).unwrap_err().to_string();
        assert!(error.contains("more has shape [1, 5, 6, 6], expected [1, 5, 6, 5]"), "{error}");
    }
}
