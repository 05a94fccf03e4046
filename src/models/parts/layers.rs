//! The layers that models share.

use crate::Result;
use crate::graph::{Graph, ValueId, Weight};
use crate::kernels::{self, Activation, Attention, Columns, Modulation, Norm, NormKind, ReadRows};
use crate::loading::Scope;

/// A linear layer `[out, in]` with or without bias.
#[derive(Clone, Debug)]
pub struct Linear {
    weight: Weight,
    bias: Option<Weight>,
}

impl Linear {
    /// `name.weight`, and `name.bias` where `bias` says so.
    pub fn load(scope: &mut Scope<'_>, name: &str, input: usize, output: usize, bias: bool) -> Result<Self> {
        Self::stacked(scope, &[name], input, output, bias)
    }

    /// As [`Linear::load`], kept at 16 bits or more whatever `--dtype` says.
    pub fn precise(scope: &mut Scope<'_>, name: &str, input: usize, output: usize) -> Result<Self> {
        let mut scope = scope.within(name);
        let weight = scope.precise("weight", &[output, input])?;
        Ok(Self { weight, bias: Some(scope.vector("bias", &[output])?) })
    }

    /// Several layers with the same input as one, their outputs (`output` wide each) side by side.
    pub fn stacked(scope: &mut Scope<'_>, names: &[&str], input: usize, output: usize, bias: bool) -> Result<Self> {
        let files = |what: &str| names.iter().map(|name| format!("{name}.{what}")).collect::<Vec<_>>();
        let rows = output * names.len();
        let weight = scope.stacked(&files("weight"), &[rows, input])?;
        let bias = if bias { Some(scope.stacked_vector(&files("bias"), &[rows])?) } else { None };
        Ok(Self { weight, bias })
    }

    /// `act(x·Wᵀ + b)`.
    pub fn forward(&self, graph: &mut Graph, x: ValueId, activation: Activation) -> Result<ValueId> {
        self.forward_rows(graph, x, activation, ReadRows::All)
    }

    /// The same on the rows of `x` that `rows` names.
    pub fn forward_rows(
        &self,
        graph: &mut Graph,
        x: ValueId,
        activation: Activation,
        rows: ReadRows,
    ) -> Result<ValueId> {
        let weight = self.weight.in_graph(graph);
        let bias = self.bias.as_ref().map(|bias| bias.in_graph(graph));
        kernels::linear(graph, x, kernels::Linear { weight, bias, activation, rows })
    }
}

/// Layer normalisation, with weight and bias where the model has them.
#[derive(Clone, Debug)]
pub struct LayerNorm {
    eps: f32,
    affine: Option<(Weight, Weight)>,
}

impl LayerNorm {
    /// Without weights: normalisation alone.
    pub fn plain(eps: f32) -> Self {
        Self { eps, affine: None }
    }

    /// `name.weight` and `name.bias` where `affine`.
    pub fn load(scope: &mut Scope<'_>, name: &str, width: usize, eps: f32, affine: bool) -> Result<Self> {
        if !affine {
            return Ok(Self::plain(eps));
        }
        let mut scope = scope.within(name);
        let affine = (scope.vector("weight", &[width])?, scope.vector("bias", &[width])?);
        Ok(Self { eps, affine: Some(affine) })
    }

    /// `LN(x)·(1 + scale) + shift` on the rows of `x [B, N, C]` that `rows` names.
    pub fn modulate(&self, graph: &mut Graph, x: ValueId, modulation: Modulation, rows: ReadRows) -> Result<ValueId> {
        self.norm(graph, x, Some(modulation), rows)
    }

    /// `LN(x)` on every row of `x [B, N, C]`.
    pub fn forward(&self, graph: &mut Graph, x: ValueId) -> Result<ValueId> {
        self.norm(graph, x, None, ReadRows::All)
    }

    fn norm(&self, graph: &mut Graph, x: ValueId, modulation: Option<Modulation>, rows: ReadRows) -> Result<ValueId> {
        let affine = self.affine.as_ref().map(|(w, b)| (w.in_graph(graph), b.in_graph(graph)));
        let (weight, bias) = affine.unzip();
        kernels::norm(graph, x, Norm { kind: NormKind::Layer, eps: self.eps, weight, bias, modulation, rows })
    }
}

/// Root-mean-square normalisation with a weight, as T5 uses it.
#[derive(Clone, Debug)]
pub struct RmsNorm {
    eps: f32,
    weight: Weight,
}

impl RmsNorm {
    /// `name.weight`.
    pub fn load(scope: &mut Scope<'_>, name: &str, width: usize, eps: f32) -> Result<Self> {
        Ok(Self { eps, weight: scope.within(name).vector("weight", &[width])? })
    }

    /// On every row of `x [B, N, C]`.
    pub fn forward(&self, graph: &mut Graph, x: ValueId) -> Result<ValueId> {
        let weight = Some(self.weight.in_graph(graph));
        let (kind, eps, rows) = (NormKind::Rms, self.eps, ReadRows::All);
        kernels::norm(graph, x, Norm { kind, eps, weight, bias: None, modulation: None, rows })
    }
}

/// Attention of `heads` heads among the rows of a packed `[B, N, 3·inner]` (queries, keys, values side by side).
pub fn attend_packed(graph: &mut Graph, qkv: ValueId, options: Attention) -> Result<ValueId> {
    let inner = options.heads * options.head_dim;
    let column = |part: usize| Columns { value: qkv, offset: part * inner };
    kernels::attention(graph, column(0), column(1), column(2), options)
}
