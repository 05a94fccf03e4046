//! Which token of each cell of the grid is its destination, the one that others can join. SDTM (arXiv 2505.11707)
//! and ToMe for diffusion (arXiv 2303.17604) pick at random, or the first, or the one that was merged most often.

use super::scheduler_step::step_row;
use super::{params, shader};
use crate::graph::reference::HostValues;
use crate::graph::{Caps, Dispatch, Graph, Host, Op, Pass, Shader, ValueId};
use crate::{Error, Grid, Result};

pub(super) static SHADER: Shader = shader!("pick");

params! {
    /// Uniform of `pick.wgsl`.
    struct Params {
        count: u32, cells: u32, cells_across: u32, rows: u32, columns: u32, down: u32, across: u32, step_at: u32,
        seed: u32,
    }
}

/// How [`pick`] picks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// The first.
    First,
    /// Any, and another at every timestep: a hash of seed, cell and the bits of the timestep. All samples agree, as
    /// both halves of a guided batch should.
    Random {
        /// The scheduler's step `[16]`, see [`step_row`].
        step: ValueId,
        /// Makes picks that are independent of those of another seed.
        seed: u32,
    },
    /// The one of the greatest age, the first of equals.
    Oldest {
        /// `[B, N]`.
        ages: ValueId,
    },
}

#[derive(Debug)]
struct PickOp {
    /// Rows and columns of tokens …
    grid: [usize; 2],
    /// … and those of a cell.
    stride: [usize; 2],
    how: Pick,
    out: ValueId,
}

/// The picked position in each cell of `stride` = [sy, sx] tokens, `[B, cells]`: 0 … sy·sx − 1, row by row. Cells are
/// whole: `grid` = [h, w] has ⌊h / sy⌋ · ⌊w / sx⌋ of them, and what they leave over belongs to none.
pub fn pick(graph: &mut Graph, batch: usize, grid: impl Into<Grid>, stride: [usize; 2], how: Pick) -> Result<ValueId> {
    let grid = grid.into().sides();
    let op = SHADER.name;
    let ([height, width], [down, across]) = (grid, stride);
    if down == 0 || across == 0 || height < down || width < across || batch == 0 {
        let reason = format!("the grid is {height}×{width}: there is no cell of {down}×{across} in it");
        return Err(Error::shape(op, reason));
    }
    match how {
        Pick::First => {}
        Pick::Random { step, .. } => graph.expect(op, step, &[step_row::LEN])?,
        Pick::Oldest { ages } => graph.expect(op, ages, &[batch, height.saturating_mul(width)])?,
    }
    let out = graph.transient_indices("position", &[batch, (height / down).saturating_mul(width / across)]);
    graph.push(PickOp { grid, stride, how, out });
    Ok(out)
}

impl Pick {
    /// The step, the ages.
    fn inputs(self) -> [Option<ValueId>; 2] {
        match self {
            Self::First => [None, None],
            Self::Random { step, .. } => [Some(step), None],
            Self::Oldest { ages } => [None, Some(ages)],
        }
    }
}

impl Op for PickOp {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        vec![Pass::new().read_all(self.how.inputs()).write(self.out)]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let ([height, width], [down, across]) = (self.grid, self.stride);
        let count = graph.get(self.out).len();
        let params = Params {
            count: count as u32,
            cells: graph.shape(self.out)[1] as u32,
            cells_across: (width / across) as u32,
            rows: (height * width) as u32,
            columns: width as u32,
            down: down as u32,
            across: across as u32,
            step_at: step_row::TIMESTEP as u32,
            seed: if let Pick::Random { seed, .. } = self.how { seed } else { 0 },
        };
        let inputs = self.how.inputs();
        let [random, oldest] = inputs.map(|id| id.is_some());
        let dispatch = Dispatch::new(&SHADER, params.bytes(), caps.grid(count.div_ceil(256) as u64));
        Ok(vec![dispatch.constant("RANDOM", random).constant("OLDEST", oldest)])
    }

    fn compute(&self, _graph: &Graph, host: &Host<'_>) -> Result<()> {
        host.by_reference(&self.access(), |graph, values| self.reference(graph, values))
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let ([height, width], [down, across]) = (self.grid, self.stride);
        let [batch, cells] = [0, 1].map(|d| graph.shape(self.out)[d]);
        let mut picked = Vec::new();
        for sample in 0..batch {
            for cell in 0..cells {
                picked.push(match self.how {
                    Pick::First => 0,
                    Pick::Random { step, seed } => {
                        let time = host.f32(step)[step_row::TIMESTEP].to_bits();
                        let hash = scramble((cell as u32).wrapping_add(scramble(time.wrapping_add(scramble(seed)))));
                        hash % (down * across) as u32
                    }
                    Pick::Oldest { ages } => {
                        let age = |position: usize| {
                            let y = cell / (width / across) * down + position / across;
                            let x = cell % (width / across) * across + position % across;
                            host.f32(ages)[(sample * height + y) * width + x]
                        };
                        (0..down * across).fold(0, |best, at| if age(at) > age(best) { at } else { best }) as u32
                    }
                });
            }
        }
        host.write_indices(graph, self.out, picked);
    }
}

/// A step of the PCG generator, as in the shader.
fn scramble(value: u32) -> u32 {
    let state = value.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
    let word = ((state >> ((state >> 28) + 4)) ^ state).wrapping_mul(277_803_737);
    (word >> 22) ^ word
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Data;
    use crate::testing::{Case, gpu};

    const GRIDS: [([usize; 2], [usize; 2]); 8] = [
        ([1, 1], [1, 1]),
        ([2, 2], [2, 2]),
        ([4, 6], [2, 2]),
        ([5, 7], [2, 2]),
        ([7, 11], [3, 2]),
        ([9, 16], [1, 4]),
        ([33, 20], [4, 3]),
        ([50, 64], [2, 2]),
    ];

    /// A step at this time; what else it holds must not matter.
    fn step(case: &mut Case, name: &str, time: f32) -> ValueId {
        let mut row = case.random(step_row::LEN);
        row[step_row::TIMESTEP] = time;
        case.input_of(name, &[step_row::LEN], row)
    }

    #[test]
    fn grids_of_any_shape() {
        for (grid, stride) in GRIDS {
            let mut case = Case::new();
            let ages = case.input("ages", &[3, grid[0] * grid[1]]);
            let step = step(&mut case, "step", 961.0);
            for how in [Pick::First, Pick::Random { step, seed: 3 }, Pick::Oldest { ages }] {
                let out = pick(&mut case.graph, 3, grid, stride, how).unwrap();
                let cells = (grid[0] / stride[0]) * (grid[1] / stride[1]);
                assert_eq!(case.graph.shape(out), [3, cells]);
            }
            case.agrees(0.0);
        }
    }

    #[test]
    fn the_first_of_equal_ages() {
        let mut case = Case::new();
        let ages = vec![1.0, 1.0, 0.0, 2.0, 0.0, 1.0, 1.0, 2.0, 3.0, 0.0, 9.0, 9.0, 0.0, 3.0, 9.0, 9.0];
        let ages = case.input_of("ages", &[1, 16], ages);
        let out = pick(&mut case.graph, 1, [4, 4], [2, 2], Pick::Oldest { ages }).unwrap();
        case.agrees(0.0);
        let host = crate::graph::reference::run(&case.graph, &case.stored).unwrap();
        assert_eq!(host.u32(out), [0, 1, 0, 0]);
    }

    #[test]
    fn every_timestep_and_seed_picks_others_and_all_samples_the_same() {
        let (mut case, cells) = (Case::new(), 4096);
        let mut picks = Vec::new();
        for (name, time) in [("start", 999.0), ("next", 998.0), ("between", 998.5), ("end", 0.0)] {
            let step = step(&mut case, name, time);
            for seed in [0, 1, 77, u32::MAX] {
                picks.push(pick(&mut case.graph, 2, [128, 128], [2, 2], Pick::Random { step, seed }).unwrap());
            }
        }
        case.agrees(0.0);
        let found = case.run(gpu());
        let found: Vec<&[u32]> = picks
            .iter()
            .map(|id| match &found[id] {
                Data::U32(values) => values.as_slice(),
                Data::F32(_) => panic!("no indices"),
            })
            .collect();
        // Of 4096 fair draws a quarter is 1024 ± 28.
        let fair = |count: usize| count.abs_diff(cells / 4) < 28 * 5;
        for (at, own) in found.iter().enumerate() {
            assert_eq!(own[..cells], own[cells..]);
            for position in 0..4 {
                assert!(fair(own[..cells].iter().filter(|&&p| p == position).count()), "{at}: {position}");
            }
            // Neighbours across and down, and any two picks, are alike as often as chance has it.
            for apart in [1, 64] {
                assert!(fair((apart..cells).filter(|&cell| own[cell] == own[cell - apart]).count()), "{at}: {apart}");
            }
            for (other_at, other) in found[..at].iter().enumerate() {
                assert!(fair((0..cells).filter(|&cell| own[cell] == other[cell]).count()), "{at} and {other_at}");
            }
        }
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let mut case = Case::new();
        let ages = case.input("ages", &[2, 35]);
        let step = case.input("step", &[2, 16]);
        for (grid, stride, how, message) in [
            ([5, 7], [6, 1], Pick::First, "the grid is 5×7: there is no cell of 6×1 in it"),
            ([5, 7], [0, 2], Pick::First, "the grid is 5×7: there is no cell of 0×2 in it"),
            ([5, 8], [2, 2], Pick::Oldest { ages }, "ages has shape [2, 35], expected [2, 40]"),
            ([5, 7], [2, 2], Pick::Random { step, seed: 0 }, "step has shape [2, 16], expected [16]"),
        ] {
            let error = pick(&mut case.graph, 2, grid, stride, how).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
