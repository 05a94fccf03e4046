//! A rectangle of images, or every n-th pixel of one: what is worked on where the whole would cost too much.

use super::{params, shader};
use crate::area::Area;
use crate::graph::reference::HostValues;
use crate::graph::{Caps, Dispatch, Graph, Host, Op, Pass, Shader, ValueId};
use crate::{Error, Result};

pub(super) static SHADER: Shader = shader!("crop");

params! {
    /// Uniform of `crop.wgsl`.
    struct Params {
        count: u32, height: u32, width: u32, top: u32, left: u32, step: u32, out_height: u32, out_width: u32,
    }
}

#[derive(Debug)]
struct Crop {
    x: ValueId,
    top: usize,
    left: usize,
    step: usize,
    out: ValueId,
}

/// The pixels of `area` of `x [B, C, H, W]`, of which the first and every `step`-th after it are taken, each way:
/// `[B, C, ⌈rows / step⌉, ⌈columns / step⌉]`.
pub fn crop(graph: &mut Graph, x: ValueId, area: &Area, step: usize) -> Result<ValueId> {
    let op = SHADER.name;
    let [batch, channels, height, width] = graph.dims(op, x)?;
    let Area { rows, columns } = area;
    if rows.is_empty() || columns.is_empty() || rows.end > height || columns.end > width {
        return Err(Error::shape(op, format!("rows {rows:?} and columns {columns:?} are no part of {height}×{width}")));
    }
    if step == 0 {
        return Err(Error::shape(op, "a step of 0 leads nowhere"));
    }
    let out = graph.transient("crop", &[batch, channels, rows.len().div_ceil(step), columns.len().div_ceil(step)]);
    graph.push(Crop { x, top: rows.start, left: columns.start, step, out });
    Ok(out)
}

impl Op for Crop {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        vec![Pass::new().read(self.x).write(self.out)]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let count = graph.get(self.out).len();
        let [_, _, height, width] = graph.dims(SHADER.name, self.x)?.map(|d: usize| d as u32);
        let [_, _, out_height, out_width] = graph.dims(SHADER.name, self.out)?.map(|d: usize| d as u32);
        let [top, left, step] = [self.top, self.left, self.step].map(|pixels| pixels as u32);
        let params = Params { count: count as u32, height, width, top, left, step, out_height, out_width };
        Ok(vec![Dispatch::new(&SHADER, params.bytes(), caps.grid(count.div_ceil(256) as u64))])
    }

    fn compute(&self, graph: &Graph, host: &Host<'_>) -> Result<()> {
        let [_, _, height, width] = graph.dims(SHADER.name, self.x)?;
        let [_, _, out_height, out_width] = graph.dims(SHADER.name, self.out)?;
        let x = host.numbers(self.x)?;
        for (line, to) in host.numbers_mut(self.out)?.chunks_exact_mut(out_width).enumerate() {
            let row = line / out_height * height + self.top + line % out_height * self.step;
            let from = x[row * width + self.left..(row + 1) * width].iter().step_by(self.step);
            to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        }
        Ok(())
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let (&[_, _, height, width], &[batch, channels, rows, columns]) = (graph.shape(self.x), graph.shape(self.out))
        else {
            return;
        };
        let (x, mut out) = (host.f32(self.x), Vec::new());
        for plane in 0..batch * channels {
            for y in (self.top..height).step_by(self.step).take(rows) {
                for column in (self.left..width).step_by(self.step).take(columns) {
                    out.push(x[(plane * height + y) * width + column]);
                }
            }
        }
        host.write(graph, self.out, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::reference;
    use crate::testing::Case;

    #[test]
    fn agrees_with_the_reference() {
        for (shape, rows, columns, step) in [
            ([1, 1, 1, 1], 0..1, 0..1, 1),
            ([2, 3, 5, 7], 1..4, 2..7, 1),
            ([1, 4, 33, 65], 0..33, 64..65, 1),
            ([3, 2, 9, 8], 8..9, 0..8, 1),
            ([2, 3, 10, 17], 1..10, 2..17, 4),
            ([1, 2, 5, 4], 0..5, 1..4, 9),
        ] {
            let mut case = Case::new();
            let x = case.input("x", &shape);
            let found = [rows.len().div_ceil(step), columns.len().div_ceil(step)];
            let out = crop(&mut case.graph, x, &Area { rows, columns }, step).unwrap();
            assert_eq!(case.graph.shape(out), [shape[0], shape[1], found[0], found[1]]);
            case.agrees(1e-7);
        }
    }

    #[test]
    fn takes_what_lies_there() {
        let mut case = Case::new();
        let x = case.input_of("x", &[1, 2, 2, 3], (0..12).map(|i| i as f32).collect());
        let within = crop(&mut case.graph, x, &Area { rows: 1..2, columns: 1..3 }, 1).unwrap();
        let apart = crop(&mut case.graph, x, &Area { rows: 0..2, columns: 0..3 }, 2).unwrap();
        let host = reference::run(&case.graph, &case.stored).unwrap();
        assert_eq!(host.f32(within), [4.0, 5.0, 10.0, 11.0]);
        assert_eq!(host.f32(apart), [0.0, 2.0, 6.0, 8.0]);
    }

    #[test]
    fn refuses_what_lies_outside() {
        let mut case = Case::new();
        let x = case.input("x", &[1, 2, 4, 6]);
        for (rows, columns) in [(0..5, 0..6), (0..4, 3..7), (2..2, 0..6), (4..5, 0..1)] {
            let error = crop(&mut case.graph, x, &Area { rows, columns }, 1).unwrap_err().to_string();
            assert!(error.contains("are no part of 4×6"), "{error}");
        }
        let error = crop(&mut case.graph, x, &Area { rows: 0..4, columns: 0..6 }, 0).unwrap_err().to_string();
        assert!(error.contains("a step of 0"), "{error}");
    }
}
