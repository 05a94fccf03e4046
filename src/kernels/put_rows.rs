//! Puts rows into a value that outlives the step: the keys and values of the tokens that a step computes, among those
//! of an earlier step.

use super::host::rows_at_once;
use super::{Columns, NOTHING, params, shader};
use crate::graph::reference::HostValues;
use crate::graph::{Caps, Dispatch, Graph, Host, Indices, Op, Pass, Shader, ValueId};
use crate::{Error, Result};

pub(super) static SHADER: Shader = shader!("put_rows");

params! {
    /// Uniform of `put_rows.wgsl`.
    struct Params { count: u32, rows: u32, compact: u32, width: u32, stride: u32, offset: u32 }
}

#[derive(Debug)]
struct PutRows {
    from: Columns,
    index: Option<ValueId>,
    into: ValueId,
    /// B, N and the width of `into`; k and the width of `from`.
    extent: [usize; 5],
}

/// `into[b, n] ← from[b, index[b, n], offset…]` for `into [B, N, W]` and `from [B, k, ≥ offset + W]`. Rows whose index
/// `[B, N]` is [`NOTHING`] stay as they are. Without an index k is N, and row n goes to row n.
pub fn put_rows(graph: &mut Graph, from: Columns, index: Option<ValueId>, into: ValueId) -> Result<()> {
    let op = SHADER.name;
    let [batch, compact, stride] = graph.dims(op, from.value)?;
    let [samples, rows, width] = graph.dims(op, into)?;
    let fits = samples == batch && from.offset.saturating_add(width) <= stride && (index.is_some() || rows == compact);
    if !fits {
        let [from_shape, into] = [from.value, into].map(|id| graph.shape(id));
        let reason = format!("columns from {} of {from_shape:?} cannot be put into {into:?}", from.offset);
        return Err(Error::shape(op, reason));
    }
    if let Some(index) = index {
        graph.expect(op, index, &[batch, rows])?;
    }
    graph.push(PutRows { from, index, into, extent: [batch, rows, width, compact, stride] });
    Ok(())
}

impl Op for PutRows {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        // Without an index every row is written; with one some stay.
        let pass = Pass::new().read(self.from.value).read(self.index);
        vec![if self.index.is_some() { pass.update(self.into) } else { pass.write(self.into) }]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let count = graph.get(self.into).len();
        let [_, rows, width, compact, stride] = self.extent.map(|side| side as u32);
        let params = Params { count: count as u32, rows, compact, width, stride, offset: self.from.offset as u32 };
        let dispatch = Dispatch::new(&SHADER, params.bytes(), caps.grid(count.div_ceil(256) as u64));
        Ok(vec![dispatch.constant("MAPPED", self.index.is_some())])
    }

    fn indices(&self, _graph: &Graph) -> Vec<Indices> {
        let [_, _, _, compact, _] = self.extent;
        self.index.map(|index| Indices::below_or_nothing(index, compact)).into_iter().collect()
    }

    fn compute(&self, _graph: &Graph, host: &Host<'_>) -> Result<()> {
        let [_, rows, width, compact, stride] = self.extent;
        let (from, index) = (host.numbers(self.from.value)?, host.optional_words(self.index)?);
        let rows_at_once = rows_at_once(width);
        host.pool().chunks(&mut host.numbers_mut(self.into)?, rows_at_once * width, |chunk, into| {
            for (i, into) in into.chunks_exact_mut(width).enumerate() {
                let row = chunk * rows_at_once + i;
                let source = match index.as_ref().map(|index| index[row]) {
                    None => row,
                    Some(NOTHING) => continue,
                    Some(at) => row / rows * compact + at as usize,
                };
                into.copy_from_slice(&from[source * stride + self.from.offset..][..width]);
            }
        });
        Ok(())
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let [batch, rows, width, compact, stride] = self.extent;
        let from = host.f32(self.from.value);
        let mut into = match self.index {
            Some(_) => host.f32(self.into).to_vec(),
            None => vec![0.0; batch * rows * width],
        };
        for row in 0..batch * rows {
            let source = match self.index.map(|index| host.u32(index)[row]) {
                None => row,
                Some(NOTHING) => continue,
                Some(at) => row / rows * compact + at as usize,
            };
            for column in 0..width {
                into[row * width + column] = from[source * stride + self.from.offset + column];
            }
        }
        host.write(graph, self.into, into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Case;

    #[test]
    fn agrees_with_the_reference() {
        for ([batch, rows, width], compact, [offset, stride]) in
            [([1, 1, 1], 1, [0, 1]), ([2, 7, 5], 3, [2, 9]), ([3, 40, 24], 17, [12, 36])]
        {
            let mut case = Case::new();
            let value = case.input("from", &[batch, compact, stride]);
            let into = case.input("into", &[batch, rows, width]);
            let place =
                (0..batch * rows).map(|row| if row % 3 == 1 { NOTHING } else { (row % compact) as u32 }).collect();
            let index = case.indices("index", &[batch, rows], place);
            put_rows(&mut case.graph, Columns { value, offset }, Some(index), into).unwrap();
            let all = case.input("all", &[batch, rows, stride]);
            put_rows(&mut case.graph, Columns { value: all, offset }, None, into).unwrap();
            case.agrees(1e-7);
        }
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let mut case = Case::new();
        let value = case.input("from", &[2, 3, 9]);
        let into = case.input("into", &[2, 7, 6]);
        for (offset, index) in [(0, None), (4, None)] {
            let error = put_rows(&mut case.graph, Columns { value, offset }, index, into).unwrap_err().to_string();
            assert!(error.contains("[2, 3, 9] cannot be put into [2, 7, 6]"), "{error}");
        }
    }
}
