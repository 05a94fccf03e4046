//! The one driver of blocks and sublayers: carries out what a policy decided, so that models only say what they
//! compute.

use super::{BlockInput, BlockRows, CARRIED, Compaction, Context, PolicyStep, Sublayer, attentiveness_name};
use crate::graph::{Element, Graph, ValueId};
use crate::kernels::{self, Attention, Columns, Gate, ReadRows, WriteRows};
use crate::{Error, Grid, Refusal, Result};

/// What the blocks of a model work on.
#[derive(Clone, Copy, Debug)]
pub struct Streams<'a> {
    /// The residual stream of the picture's tokens `[B, N, C]`: policies choose among its rows.
    pub image: ValueId,
    /// Further residual streams that the blocks update, such as the text's in joint blocks. All their rows are
    /// computed.
    pub others: &'a [ValueId],
    /// The picture's token grid.
    pub grid: Grid,
    /// The step's row of the schedule.
    pub step: ValueId,
}

/// One block, while a model adds it to the graph.
#[derive(Debug)]
pub struct Block<'a> {
    policy: &'a PolicyStep,
    at: BlockInput,
    /// What the policy decided, once the first sublayer has begun.
    rows: Option<BlockRows>,
    /// Branches that the policy wants added once more at the end.
    corrected: Vec<(ValueId, Option<Gate>)>,
}

impl PolicyStep {
    /// Adds a model's blocks to the graph: all of them, or those that this step does not take over from an earlier one.
    /// `block` adds one of them, sublayer by sublayer.
    pub fn blocks(
        &self,
        graph: &mut Graph,
        streams: Streams<'_>,
        layers: usize,
        mut block: impl FnMut(&mut Graph, &mut Block<'_>) -> Result<()>,
    ) -> Result<()> {
        let Streams { image, others, grid, step } = streams;
        let span = self.span(layers)?;
        let all: Vec<ValueId> = std::iter::once(image).chain(others.iter().copied()).collect();
        for layer in 0..layers {
            if span.begins(graph, &all, layer)? {
                let at = BlockInput { layer, layers, stream: image, modulated: None, grid, step };
                let mut driven = Block { policy: self, at, rows: None, corrected: Vec::new() };
                block(graph, &mut driven)?;
                driven.end(graph)?;
            }
            span.ends(graph, &all, layer)?;
        }
        Ok(())
    }
}

impl Block<'_> {
    /// The block's number, from 0.
    pub fn layer(&self) -> usize {
        self.at.layer
    }

    /// The residual stream `[B, N, C]`, updated in place by every sublayer.
    pub fn stream(&self) -> ValueId {
        self.at.stream
    }

    /// Adds one sublayer. `read` makes the sublayer's input from the rows of the stream that it is given: a norm with
    /// its modulation, or the projection of queries. `branch` computes on the compact rows `[B, k, C]` that result,
    /// whichever and however many they are. Its result, times `gate`, is added to the stream.
    ///
    /// Attention goes through [`Attend`], which the branch is given.
    pub fn sublayer(
        &mut self,
        graph: &mut Graph,
        sublayer: Sublayer,
        read: impl Fn(&mut Graph, ReadRows) -> Result<ValueId>,
        branch: impl FnOnce(&mut Graph, ValueId, Attend) -> Result<ValueId>,
        gate: Option<Gate>,
    ) -> Result<()> {
        let layer = self.at.layer;
        graph.group(self.group(sublayer));
        let rows = match self.rows {
            Some(rows) => rows,
            None => self.decide(graph, sublayer, &read)?,
        };
        let own = rows.of(sublayer);
        let input = match self.at.modulated {
            Some(all) if sublayer == Sublayer::Attention => all,
            _ => read(graph, own.read)?,
        };
        let input = own.enter(graph, input)?;
        let result = branch(graph, input, Attend { layer, grid: self.at.grid, rows })?;
        own.leave(graph, self.at.stream, result, gate, (layer, sublayer))?;
        if rows.correction.is_some() && sublayer != Sublayer::Mlp {
            self.corrected.push((result, gate));
        }
        Ok(())
    }

    /// Asks the policy for the block's rows, and refuses those that contradict each other.
    fn decide(
        &mut self,
        graph: &mut Graph,
        first: Sublayer,
        read: impl Fn(&mut Graph, ReadRows) -> Result<ValueId>,
    ) -> Result<BlockRows> {
        if self.policy.sees_modulated() {
            self.at.modulated = Some(read(graph, ReadRows::All)?);
        }
        graph.overhead(format!("block {} policy", self.at.layer));
        let rows = self.policy.block(graph, self.at)?;
        let (layer, policy) = (self.at.layer, self.policy.name());
        if rows.pooling.is_some() && rows.attention.maps() {
            let clash = "pools keys over the token grid, which takes all tokens, and maps the rows of attention";
            return Err(Refusal::Clash { layer, reason: format!("the policy {policy} {clash}") }.into());
        }
        if rows.cross.merge.is_some() || (self.at.modulated.is_some() && rows.attention.read != ReadRows::All) {
            let clash = "merges rows of cross-attention, or reads rows of tokens that it saw normalised";
            return Err(Error::shape("policy", format!("layer {layer}: the policy {policy} {clash}")));
        }
        self.rows = Some(rows);
        graph.group(self.group(first));
        Ok(rows)
    }

    /// The end of the block.
    fn end(self, graph: &mut Graph) -> Result<()> {
        let Some(write) = self.rows.and_then(|rows| rows.correction) else { return Ok(()) };
        graph.group(format!("block {} policy", self.at.layer));
        let mut add = |(branch, gate): (ValueId, Option<Gate>), write: WriteRows| {
            kernels::residual(graph, self.at.stream, branch, gate, write)
        };
        self.corrected.into_iter().try_for_each(|branch| add(branch, write))
    }

    /// The sublayer's name in profiles.
    fn group(&self, sublayer: Sublayer) -> String {
        let name = match sublayer {
            Sublayer::Attention => "attention",
            Sublayer::Cross => "text",
            Sublayer::Mlp => "mlp",
        };
        format!("block {} {name}", self.at.layer)
    }
}

/// Attention inside a sublayer. What the policy pools or measures there happens behind it.
#[derive(Clone, Copy, Debug)]
pub struct Attend {
    layer: usize,
    grid: Grid,
    rows: BlockRows,
}

impl Attend {
    /// Self-attention among the compact rows of a packed `qkv [B, k, 3·C]`: queries, keys and values side by side.
    pub fn packed(self, graph: &mut Graph, qkv: ValueId, options: Attention) -> Result<ValueId> {
        let width = options.heads * options.head_dim;
        let queries = Columns { value: qkv, offset: 0 };
        let [keys, values] = self.pooled(graph, qkv, width)?;
        if self.rows.attentiveness {
            if self.rows.pooling.is_some() {
                return Err(self.clash("pools keys over the token grid", "ranks every token by its attention"));
            }
            graph.overhead(format!("block {} policy", self.layer));
            let received = kernels::attention_columns(graph, queries, keys, options)?;
            graph.store(received, attentiveness_name(self.layer));
            graph.group(format!("block {} attention", self.layer));
        }
        let [keys, values] = match self.rows.context {
            None => [keys, values],
            Some(context) => self.among_context(graph, keys, width, context)?,
        };
        kernels::attention(graph, queries, keys, values, options)
    }

    /// The keys and values that the computed rows attend to, of which some outlive the step: `keys` and what follows
    /// them, 2·C wide.
    fn among_context(self, graph: &mut Graph, keys: Columns, width: usize, context: Context) -> Result<[Columns; 2]> {
        if self.rows.pooling.is_some() || self.rows.attention.merge.is_some() {
            return Err(self.clash("keys and values are kept for later steps", "pools or merges them"));
        }
        let [samples, _, _] = graph.dims("attention", keys.value)?;
        let shape = [samples, self.grid.tokens(), 2 * width];
        let kept = graph.stored(format!("{CARRIED}keys.{}", self.layer), &shape, Element::F32);
        let index = match context {
            Context::Kept => None,
            Context::Recalled => self.rows.attention.write.index(),
        };
        kernels::put_rows(graph, keys, index, kept)?;
        Ok([0, width].map(|offset| Columns { value: kept, offset }))
    }

    /// Which rows of the stream the sublayer computes on, for what belongs to a token's place in the grid, such as
    /// rotary positions.
    pub fn rows(self) -> Compaction {
        self.rows.attention
    }

    /// The keys and values of a packed `qkv [B, k, 3·C]`, pooled where the policy says so: for attention that a model
    /// puts together itself, such as a joint block's. Refused where the policy measures attention, which happens in
    /// [`Attend::packed`] alone.
    pub fn keys_and_values(self, graph: &mut Graph, qkv: ValueId, width: usize) -> Result<[Columns; 2]> {
        if self.rows.attentiveness {
            let model = "the model computes attention by itself here";
            return Err(self.clash(model, "ranks every token by the attention that it receives"));
        }
        if self.rows.context.is_some() {
            return Err(self.clash("the model computes attention by itself here", "keeps keys and values"));
        }
        self.pooled(graph, qkv, width)
    }

    fn pooled(self, graph: &mut Graph, qkv: ValueId, width: usize) -> Result<[Columns; 2]> {
        let keys = Columns { value: qkv, offset: width };
        match self.rows.pooling {
            None => Ok([keys, Columns { value: qkv, offset: 2 * width }]),
            Some(pooling) => {
                let value = kernels::pool_tokens(graph, keys, 2 * width, self.grid, pooling)?;
                Ok([0, width].map(|offset| Columns { value, offset }))
            }
        }
    }

    /// The token grid, for a model that itself pools keys and values over it: refused where the policy computes on
    /// other rows than all, or needs the keys of every token.
    pub fn whole_grid(self) -> Result<Grid> {
        let model = "the model pools keys over the token grid here";
        if self.rows.pooling.is_some() {
            return Err(self.clash(model, "would pool them as well"));
        }
        if self.rows.attention.maps() {
            return Err(self.clash(model, "maps the rows of attention"));
        }
        if self.rows.attentiveness {
            return Err(self.clash(model, "ranks every token by the attention that it receives"));
        }
        if self.rows.context.is_some() {
            return Err(self.clash(model, "keeps keys and values of every token"));
        }
        Ok(self.grid)
    }

    fn clash(self, one: &str, policy: &str) -> Error {
        Refusal::Clash { layer: self.layer, reason: format!("{one}, but the policy {policy}") }.into()
    }
}
