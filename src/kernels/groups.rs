//! From destinations to compact rows: every method that merges tokens decides which token each is computed with, and
//! this turns the decision into lists that [`super::merge`] and [`super::residual`] can follow.

use super::rows::NOTHING;
use super::{params, shader};
use crate::graph::reference::HostValues;
use crate::graph::{AdapterClass, Caps, Dispatch, Graph, Host, Indices, Op, Pass, Shader, ValueId};
use crate::{Error, Result};

pub(super) static SHADER: Shader = shader!("groups");

params! {
    /// Uniform of `groups.wgsl`.
    struct Params { batch: u32, rows: u32, kept: u32 }
}

/// The tokens that share a compact row, as lists: a group is its destination, then the others in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Groups {
    /// `[B, k]`: the token that each compact row begins with: its destination.
    pub first: ValueId,
    /// `[B, N]`: the next token of the same group, [`NOTHING`] at its end.
    pub next: ValueId,
    /// `[B, N]`: the compact row of each token's destination.
    pub place: ValueId,
}

#[derive(Debug)]
struct GroupsOp {
    destination: ValueId,
    kept: usize,
    out: Groups,
}

/// The groups of tokens with one `destination [B, N]`, which must be its own destination. Each sample has `kept` of
/// these, and they become the compact rows in ascending order. Were there fewer, the rows left over would begin with
/// [`NOTHING`]; were there more, the last of them would have that for a place.
pub fn groups(graph: &mut Graph, destination: ValueId, kept: usize) -> Result<Groups> {
    let [batch, rows] = graph.dims(SHADER.name, destination)?;
    if kept == 0 || kept > rows {
        return Err(Error::shape(SHADER.name, format!("{rows} tokens cannot make {kept} groups")));
    }
    let out = Groups {
        first: graph.transient_indices("first", &[batch, kept]),
        next: graph.transient_indices("next", &[batch, rows]),
        place: graph.transient_indices("place", &[batch, rows]),
    };
    graph.push(GroupsOp { destination, kept, out });
    Ok(out)
}

impl Op for GroupsOp {
    fn name(&self) -> &'static str {
        SHADER.name
    }

    fn passes(&self) -> Vec<Pass> {
        let Groups { first, next, place } = self.out;
        // The first pass writes the places of destinations; the second reads them, and writes all others.
        let read = Pass::new().read(self.destination);
        vec![read.clone().write(place).write(first), read.update(place).write(next)]
    }

    fn record(&self, graph: &Graph, caps: &Caps) -> Result<Vec<Dispatch>> {
        let (batch, rows) = graph.get(self.destination).matrix();
        // As in `router`: software adapters pay for every barrier. There a thread alone stops at the first it finds,
        // but with more rows than these it would meet the end of Caps::max_rounds.
        let (threads, lanes): (u32, u32) = match caps.class {
            AdapterClass::Software if rows <= 65_000 => (8, 1),
            _ => (256, 32),
        };
        let params = Params { batch: batch as u32, rows: rows as u32, kept: self.kept as u32 };
        let dispatch = |entry, pass, workgroups: usize| {
            let dispatch = Dispatch::new(&SHADER, params.bytes(), caps.grid(workgroups as u64));
            dispatch.entry(entry).pass(pass).constant("THREADS", threads)
        };
        let teams = (batch * rows).div_ceil((threads / lanes) as usize);
        Ok(vec![dispatch("rank", 0, batch), dispatch("link", 1, teams).constant("LANES", lanes)])
    }

    fn indices(&self, graph: &Graph) -> Vec<Indices> {
        vec![Indices::below(self.destination, graph.get(self.destination).matrix().1)]
    }

    fn compute(&self, _graph: &Graph, host: &Host<'_>) -> Result<()> {
        host.by_reference(&self.access(), |graph, values| self.reference(graph, values))
    }

    fn reference(&self, graph: &Graph, host: &mut HostValues) {
        let (_, rows) = graph.get(self.destination).matrix();
        let (mut first, mut next, mut place) = (Vec::new(), Vec::new(), Vec::new());
        for destination in host.u32(self.destination).chunks_exact(rows) {
            let mut groups = vec![Vec::new(); rows];
            for (token, &joined) in destination.iter().enumerate() {
                groups[joined as usize].push(token);
            }
            let start = next.len();
            next.resize(start + rows, NOTHING);
            place.resize(start + rows, NOTHING);
            let groups = groups.into_iter().enumerate().filter(|(_, group)| !group.is_empty());
            for (compact, (token, mut group)) in groups.enumerate() {
                group.sort_by_key(|&other| (other != token, other)); // the destination, then the others
                for pair in group.windows(2) {
                    next[start + pair[0]] = pair[1] as u32;
                }
                if compact < self.kept {
                    first.push(token as u32);
                    group.iter().for_each(|other| place[start + other] = compact as u32);
                }
            }
            first.resize(start / rows * self.kept + self.kept, NOTHING);
        }
        host.write_indices(graph, self.out.first, first);
        host.write_indices(graph, self.out.next, next);
        host.write_indices(graph, self.out.place, place);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use rand::RngExt;

    use super::*;
    use crate::testing::Case;

    /// Destinations of one sample, of which `kept` tokens are some, spread at random, and the others join one of them.
    pub fn joined_at_random(case: &mut Case, rows: usize, kept: usize) -> Vec<u32> {
        let mut own: Vec<u32> = (0..rows as u32).collect();
        for place in 0..kept {
            own.swap(place, case.rng.random_range(place..rows));
        }
        own.truncate(kept);
        let mut destination: Vec<u32> = (0..rows).map(|_| own[case.rng.random_range(0..kept)]).collect();
        own.iter().for_each(|&token| destination[token as usize] = token);
        destination
    }

    fn agrees(samples: &[Vec<u32>], kept: usize) {
        let mut case = Case::new();
        let shape = [samples.len(), samples[0].len()];
        let destination = case.indices("destination", &shape, samples.concat());
        groups(&mut case.graph, destination, kept).unwrap();
        case.agrees_on_every_class(0.0);
    }

    #[test]
    fn a_group_begins_with_its_destination() {
        let mut case = Case::new();
        let destination = case.indices("destination", &[2, 5], vec![2, 1, 2, 1, 2, 0, 0, 0, 3, 0]);
        let groups = groups(&mut case.graph, destination, 2).unwrap();
        let host = crate::graph::reference::run(&case.graph, &case.stored).unwrap();
        assert_eq!(host.u32(groups.first), [1, 2, 0, 3]);
        let none = NOTHING;
        assert_eq!(host.u32(groups.next), [4, 3, 0, none, none, 1, 2, 4, none, none]);
        assert_eq!(host.u32(groups.place), [1, 0, 1, 0, 1, 0, 0, 0, 1, 0]);
        case.agrees_on_every_class(0.0);
    }

    #[test]
    fn all_alone() {
        for rows in [1, 2, 7, 8, 9, 255, 257, 1024, 5003] {
            let alone: Vec<u32> = (0..rows as u32).collect();
            agrees(&[alone.clone(), alone], rows);
        }
    }

    #[test]
    fn all_in_one() {
        for rows in [1, 2, 9, 257, 1024, 5003] {
            agrees(&[vec![0; rows], vec![rows as u32 - 1; rows], vec![rows as u32 / 2; rows]], 1);
        }
    }

    #[test]
    fn pairs() {
        for rows in [2, 64, 1000, 4096] {
            // Neighbours, into the lower and the higher; halves, into the upper one.
            let lower = (0..rows as u32).map(|token| token & !1).collect();
            let higher = (0..rows as u32).map(|token| token | 1).collect();
            let half = rows as u32 / 2;
            let far = (0..rows as u32).map(|token| token % half + half).collect();
            agrees(&[lower, higher, far], rows / 2);
        }
    }

    #[test]
    fn groups_of_any_size() {
        let mut case = Case::new();
        for rows in [3usize, 8, 100, 257, 1024, 4999] {
            for kept in [1, rows.div_ceil(7), rows.div_ceil(2), rows - 1, rows] {
                agrees(&[0; 2].map(|_| joined_at_random(&mut case, rows, kept)), kept);
            }
        }
    }

    #[test]
    fn a_large_picture() {
        let mut case = Case::new();
        let rows = 20_000;
        agrees(&[joined_at_random(&mut case, rows, rows / 3)], rows / 3);
        agrees(&[joined_at_random(&mut case, rows, 40)], 40);
    }

    #[test]
    fn more_or_fewer_destinations_than_rows_stay_in_bounds() {
        let mut case = Case::new();
        for rows in [9, 300] {
            let samples = [2, 5, 8].map(|kept| joined_at_random(&mut case, rows, kept));
            agrees(&samples, 5);
        }
    }

    #[test]
    fn refuses_groups_of_nobody() {
        let mut case = Case::new();
        let destination = case.indices("destination", &[1, 4], vec![0; 4]);
        for kept in [0, 5] {
            let error = groups(&mut case.graph, destination, kept).unwrap_err().to_string();
            assert!(error.contains(&format!("4 tokens cannot make {kept} groups")), "{error}");
        }
    }
}
