//! What a listing of AMD's instructions says of a kernel: its loops, and what they are made of.

/// Instructions that run one after the other, as far as one counts here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// All of them.
    pub instructions: u64,
    /// Fused multiply-adds among them, whatever they multiply.
    pub fused: u64,
    /// The multiply-adds that these do for a thread: packed ones do two.
    pub products: u64,
    /// Bytes that a thread reads from workgroup memory.
    pub read: u64,
}

/// A kernel by its loops.
#[derive(Debug, PartialEq, Eq)]
pub struct Loops {
    /// The innermost loops that multiply, the one with the most products first.
    pub hot: Vec<Count>,
    /// What is in loops around these and not in them.
    pub around: Count,
    /// What is in none of these.
    pub once: Count,
}

/// One straight piece.
struct Block<'a> {
    name: &'a str,
    count: Count,
    /// Blocks to which it may jump.
    jumps: Vec<&'a str>,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.instructions += other.instructions;
        self.fused += other.fused;
        self.products += other.products;
        self.read += other.read;
    }

    fn instruction(&mut self, name: &str) {
        let packed = ["v_pk_fma", "v_pk_mad", "v_dot2"].iter().any(|start| name.starts_with(start));
        let fused = packed || ["v_fma", "v_mad_f", "v_mac", "v_dual_fma"].iter().any(|start| name.starts_with(start));
        self.instructions += 1;
        self.fused += u64::from(fused);
        self.products += u64::from(fused) + u64::from(packed);
        self.read += workgroup_bytes(name);
    }
}

/// What an instruction reads of workgroup memory: `ds_load_b128`, and `ds_read2_b64`, which reads two.
fn workgroup_bytes(name: &str) -> u64 {
    let load = name.strip_prefix("ds_load").or_else(|| name.strip_prefix("ds_read"));
    let Some(load) = load else { return 0 };
    let bits = load.rsplit(['b', 'u', 'i']).next().and_then(|bits| bits.split('_').next()?.parse::<u64>().ok());
    let times = if load.starts_with('2') || load.starts_with("_2addr") { 2 } else { 1 };
    times * bits.unwrap_or(32) / 8
}

fn blocks(listing: &str) -> Vec<Block<'_>> {
    let mut blocks: Vec<Block<'_>> = Vec::new();
    for line in listing.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(name) = line.strip_suffix(':').filter(|name| name.starts_with("BB")) {
            blocks.push(Block { name, count: Count::default(), jumps: Vec::new() });
        } else if let (Some(block), Some(name)) = (blocks.last_mut(), line.split_whitespace().next()) {
            block.count.instruction(name);
            if name.starts_with("s_cbranch") || name.starts_with("s_branch") {
                block.jumps.extend(line.split_whitespace().nth(1));
            }
        }
    }
    blocks
}

/// Finds the loops: pieces between a block and a later one that jumps back to it.
pub fn loops(listing: &str) -> Loops {
    let blocks = blocks(listing);
    let place = |name: &str| blocks.iter().position(|block| block.name == name);
    let backward = |(end, block): (usize, &Block<'_>)| {
        block.jumps.iter().filter_map(|to| place(to)).filter(|&start| start <= end).min().map(|start| (start, end))
    };
    let all: Vec<(usize, usize)> = blocks.iter().enumerate().filter_map(backward).collect();
    let count = |(start, end): (usize, usize)| {
        blocks[start..=end].iter().fold(Count::default(), |mut sum, block| {
            sum.add(block.count);
            sum
        })
    };
    let within =
        |inner: (usize, usize), outer: (usize, usize)| inner != outer && outer.0 <= inner.0 && inner.1 <= outer.1;
    // A loop that multiplies, with none inside it that does.
    let multiplies = |&span: &(usize, usize)| count(span).fused >= 16;
    let hot_spans: Vec<_> = all
        .iter()
        .copied()
        .filter(multiplies)
        .filter(|&outer| !all.iter().any(|&inner| within(inner, outer) && multiplies(&inner)))
        .collect();
    let is_hot = |at: usize| hot_spans.iter().any(|&(start, end)| (start..=end).contains(&at));
    let is_around = |at: usize| {
        let around = |&outer: &(usize, usize)| {
            (outer.0..=outer.1).contains(&at) && hot_spans.iter().any(|&inner| within(inner, outer))
        };
        !is_hot(at) && all.iter().any(around)
    };
    let mut hot: Vec<Count> = hot_spans.iter().map(|&span| count(span)).collect();
    hot.sort_by_key(|count| std::cmp::Reverse(count.products));
    let (mut around, mut once) = (Count::default(), Count::default());
    for (at, block) in blocks.iter().enumerate().filter(|&(at, _)| !is_hot(at)) {
        if is_around(at) { &mut around } else { &mut once }.add(block.count);
    }
    Loops { hot, around, once }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loops_are_told_apart_by_where_they_jump() {
        let fma = "\tv_fma_f32 v1, v2, v3, v1 ; 00\n".repeat(16);
        let packed = "\tv_pk_fma_f16 v1, v2, v3, v1\n".repeat(16);
        let listing = format!(
            "BB0:\n\ts_mov_b32 s0, 0\nBB1:\n\tv_mov_b32 v0, 0\n\ts_barrier\nBB2:\n\tds_load_b128 v[0:3], v4\n{fma}\
             \ts_cbranch_scc1 BB2\nBB3:\n\tds_read2_b64 v[0:3], v4\n{packed}\ts_cbranch_scc0 BB3\nBB4:\n\
             \ts_branch BB1\nBB5:\n\ts_endpgm\n"
        );
        let found = loops(&listing);
        let count = |instructions, fused, products, read| Count { instructions, fused, products, read };
        assert_eq!(found.hot, [count(18, 16, 32, 16), count(18, 16, 16, 16)]);
        assert_eq!(found.around, count(3, 0, 0, 0));
        assert_eq!(found.once, count(2, 0, 0, 0));
    }

    #[test]
    fn reads_of_workgroup_memory_have_their_width() {
        let cases = [("ds_load_b128", 16), ("ds_read_b64", 8), ("ds_read2_b32", 8), ("ds_read2st64_b64", 16)];
        let cases = cases.into_iter().chain([("ds_load_2addr_b64", 16), ("ds_load_u16_d16", 2), ("ds_write_b128", 0)]);
        for (name, bytes) in cases {
            assert_eq!(workgroup_bytes(name), bytes, "{name}");
        }
    }
}
