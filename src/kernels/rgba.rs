//! A picture as 8-bit RGBA rows, ready to be copied into a texture: showing it needs no readback.

use super::{params, shader};
use crate::graph::reference::HostValues;
use crate::graph::{Caps, Dispatch, Graph, Host, Op, Pass, Shader, ValueId};
use crate::{Error, Result};

pub(super) static SHADER: Shader = shader!("rgba");

/// A texture copy wants rows of whole 256 bytes: 64 pixels.
pub const ROW_PIXELS: usize = 64;

params! {
    /// Uniform of `rgba.wgsl`.
    struct Params { height: u32, width: u32, stride: u32 }
}

#[derive(Debug)]
struct Rgba {
    picture: ValueId,
    pixels: ValueId,
    width: usize,
}

/// The planes `[1, 3, H, W]` in 0…1 as pixels `[H, stride]`, the stride being W rounded up to [`ROW_PIXELS`].
pub fn rgba(graph: &mut Graph, picture: ValueId) -> Result<ValueId> {
    let [count, planes, height, width] = graph.dims(SHADER.name, picture)?;
    if [count, planes] != [1, 3] {
        let reason = format!("a picture has shape [1, 3, H, W], not {:?}", graph.shape(picture));
        return Err(Error::shape(SHADER.name, reason));
    }
    let pixels = graph.transient_indices("pixels", &[height, width.next_multiple_of(ROW_PIXELS)]);
    graph.push(Rgba { picture, pixels, width });
    Ok(pixels)
}

impl Op for Rgba {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        vec![Pass::new().read(self.picture).write(self.pixels)]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let (height, stride) = graph.get(self.pixels).matrix();
        let params = Params { height: height as u32, width: self.width as u32, stride: stride as u32 };
        Ok(vec![Dispatch::new(&SHADER, params.bytes(), caps.grid((height * stride).div_ceil(256) as u64))])
    }

    fn compute(&self, _graph: &Graph, host: &Host<'_>) -> Result<()> {
        host.by_reference(&self.access(), |graph, values| self.reference(graph, values))
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let (height, stride) = graph.get(self.pixels).matrix();
        let mut pixels = vec![0; height * stride];
        for (i, pixel) in pixels.iter_mut().enumerate().filter(|(i, _)| i % stride < self.width) {
            let at = i / stride * self.width + i % stride;
            let level = |plane: usize| {
                let value = host.f32(self.picture)[plane * height * self.width + at];
                (value.clamp(0.0, 1.0) * 255.0).round_ties_even() as u32
            };
            *pixel = level(0) | level(1) << 8 | level(2) << 16 | 0xff00_0000;
        }
        host.write_indices(graph, self.pixels, pixels);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Case;

    #[test]
    fn agrees_with_the_reference() {
        for [height, width] in [[1, 1], [3, 64], [5, 65], [33, 130]] {
            let mut case = Case::new();
            let picture = case.input("picture", &[1, 3, height, width]);
            rgba(&mut case.graph, picture).unwrap();
            case.agrees(0.0);
        }
    }

    #[test]
    fn refuses_what_is_no_picture() {
        let mut case = Case::new();
        let picture = case.input("picture", &[1, 4, 2, 2]);
        let error = rgba(&mut case.graph, picture).unwrap_err().to_string();
        assert!(error.contains("not [1, 4, 2, 2]"), "{error}");
    }
}
