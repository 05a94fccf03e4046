//! Top-k on the GPU: which rows of the stream a block computes on. Deterministic: ties go to the lower row, and the
//! rows kept stay in their order, so equal logits select the same on every adapter.

use super::rows::NOTHING;
use super::{ReadRows, params, shader};
use crate::graph::reference::HostValues;
use crate::graph::{AdapterClass, Caps, Dispatch, Graph, Host, Op, Pass, Shader, ValueId};
use crate::{Error, Result};

pub(super) static SHADER: Shader = shader!("select");

params! {
    /// Uniform of `select.wgsl`.
    struct Params { batch: u32, rows: u32, kept: u32 }
}

/// The rows that [`select`] keeps, both ways round.
#[derive(Clone, Copy, Debug)]
pub struct Selection {
    /// `[B, k, 1]`: the row that each compact row is, ascending.
    pub kept: ValueId,
    /// `[B, N]`: the compact row of each row, or [`NOTHING`].
    pub place: ValueId,
}

impl Selection {
    /// The map that reads the rows kept.
    pub fn read(self) -> ReadRows {
        ReadRows::Map { index: self.kept, weight: None }
    }
}

#[derive(Debug)]
struct Select {
    logits: ValueId,
    kept: usize,
    out: Selection,
}

/// The `kept` rows of each sample with the highest `logits [B, N]`, which must not be NaN.
pub fn select(graph: &mut Graph, logits: ValueId, kept: usize) -> Result<Selection> {
    let [batch, rows] = graph.dims(SHADER.name, logits)?;
    if kept == 0 || kept > rows {
        return Err(Error::shape(SHADER.name, format!("{kept} of {rows} rows cannot be kept")));
    }
    let out = Selection {
        kept: graph.transient_indices("kept", &[batch, kept, 1]),
        place: graph.transient_indices("place", &[batch, rows]),
    };
    graph.push(Select { logits, kept, out });
    Ok(out)
}

impl Op for Select {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        vec![Pass::new().read(self.logits).write(self.out.kept).write(self.out.place)]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let (batch, rows) = graph.get(self.logits).matrix();
        // Where a barrier is a switch between coroutines, as many threads as run at once are best: 256 take a software
        // adapter many times as long at 64 rows. With more rows than these, a thread would meet the end of
        // Caps::max_rounds.
        let threads: u32 = match caps.class {
            AdapterClass::Software if rows <= 65_536 => 8,
            _ => 256,
        };
        let params = Params { batch: batch as u32, rows: rows as u32, kept: self.kept as u32 };
        let dispatch = Dispatch::new(&SHADER, params.bytes(), caps.grid(batch as u64));
        Ok(vec![dispatch.constant("THREADS", threads)])
    }

    fn compute(&self, _graph: &Graph, host: &Host<'_>) -> Result<()> {
        host.by_reference(&self.access(), |graph, values| self.reference(graph, values))
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let (_, rows) = graph.get(self.logits).matrix();
        let (mut kept, mut place) = (Vec::new(), Vec::new());
        for logits in host.f32(self.logits).chunks_exact(rows) {
            let mut order: Vec<usize> = (0..rows).collect();
            order.sort_by(|&a, &b| logits[b].partial_cmp(&logits[a]).unwrap_or(std::cmp::Ordering::Equal)); // stable
            order.truncate(self.kept);
            order.sort_unstable();
            let start = place.len();
            place.resize(start + rows, NOTHING);
            for (compact, &row) in order.iter().enumerate() {
                kept.push(row as u32);
                place[start + row] = compact as u32;
            }
        }
        host.write_indices(graph, self.out.kept, kept);
        host.write_indices(graph, self.out.place, place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Case;

    /// Selects from two samples, the second in another order.
    fn agrees(logits: &[f32], kept: &[usize]) {
        let rows = logits.len();
        let mut case = Case::new();
        let reversed = logits.iter().rev().map(|v| if rows.is_multiple_of(2) { -v } else { *v });
        let both = logits.iter().copied().chain(reversed).collect();
        let logits = case.input_of("logits", &[2, rows], both);
        for &k in kept {
            select(&mut case.graph, logits, k).unwrap();
        }
        case.agrees_on_every_class(0.0);
    }

    #[test]
    fn random_logits_any_k() {
        for rows in [1, 2, 3, 7, 8, 9, 63, 255, 256, 257, 1000, 1024] {
            let logits = Case::new().random(rows);
            let mut kept = vec![1, rows.div_ceil(3), rows.div_ceil(2), rows - rows / 7, rows];
            kept.dedup();
            agrees(&logits, &kept);
        }
    }

    #[test]
    fn pictures_of_any_size() {
        for rows in [16_384, 65_536, 70_001] {
            let logits = Case::new().random(rows);
            agrees(&logits, &[1, rows / 3, rows - 1]);
        }
    }

    #[test]
    fn ties_go_to_the_lower_row() {
        for rows in [5, 64, 300] {
            agrees(&vec![0.25; rows], &[1, rows / 2, rows]);
            // Few distinct values, so that the k-th highest is always among equals.
            let few: Vec<f32> = (0..rows).map(|i| ((i * 7 + 3) % 4) as f32 - 1.0).collect();
            agrees(&few, &[1, rows / 3, rows / 2, rows - 1]);
        }
        let mut case = Case::new();
        let logits = case.input_of("logits", &[1, 5], vec![1.0, 2.0, 1.0, 2.0, 1.0]);
        let Selection { kept, .. } = select(&mut case.graph, logits, 3).unwrap();
        let host = crate::graph::reference::run(&case.graph, &case.stored).unwrap();
        assert_eq!(host.u32(kept), [0, 1, 3]);
    }

    #[test]
    fn sorted_logits() {
        for rows in [6, 257, 1024] {
            let rising: Vec<f32> = (0..rows).map(|i| i as f32 * 0.01 - 2.0).collect();
            let falling: Vec<f32> = rising.iter().rev().copied().collect();
            agrees(&rising, &[1, rows / 2, rows - 1]);
            agrees(&falling, &[1, rows / 2, rows - 1]);
        }
    }

    #[test]
    fn extreme_logits() {
        let (tiny, huge) = (f32::MIN_POSITIVE, f32::MAX);
        let values = [0.0, -0.0, huge, -huge, tiny, -tiny, 1.0, -1.0, 1e30, -1e30, 1e-30, -1e-30, 0.0, -0.0, huge, 1.0];
        for k in 1..=values.len() {
            agrees(&values, &[k]);
        }
        // Neighbours in the last bit.
        let close: Vec<f32> = (0..200u32).map(|i| f32::from_bits(0x3f80_0000 + (i * 37) % 64)).collect();
        agrees(&close, &[1, 50, 100, 199]);
    }

    #[test]
    fn refuses_to_keep_none_or_more_than_all() {
        let mut case = Case::new();
        let logits = case.input("logits", &[1, 4]);
        for kept in [0, 5] {
            let error = select(&mut case.graph, logits, kept).unwrap_err().to_string();
            assert!(error.contains("of 4 rows cannot be kept"), "{error}");
        }
    }
}
