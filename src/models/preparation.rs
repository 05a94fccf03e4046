//! What no step of a request changes: conditioning, positions, text keys and values. Put together once, before the
//! first step.

use std::collections::BTreeMap;

use super::Room;
use crate::graph::{Element, Graph, Home, ValueId};
use crate::tensor::Data;
use crate::{Error, Grid, Result, Size, Tensor};

/// A graph that runs once per request, and the tensors that it starts from. Whatever it keeps is stored for the steps.
#[derive(Debug, Default)]
pub struct Preparation {
    /// Runs once. [`Graph::store`] makes its results last.
    pub graph: Graph,
    inputs: Vec<(String, Tensor)>,
    room: Room,
    /// Large inputs have a shape and no numbers.
    described: bool,
}

/// What a request draws on.
#[derive(Clone, Copy, Debug)]
pub struct Canvas {
    /// Size of the picture in pixels.
    pub pixels: Size,
    /// Size of its latents.
    pub latents: Size,
    /// Its tokens.
    pub grid: Grid,
}

/// The stored values that a preparation left for the steps, by name.
#[derive(Clone, Debug, Default)]
pub struct Given(BTreeMap<String, (Vec<usize>, Element)>);

impl Preparation {
    /// An empty one, whose inputs must fit into this room.
    pub fn within(room: Room) -> Self {
        Self { room, ..Self::default() }
    }

    /// Takes room for an input of this shape: before its numbers are computed, where they may be many.
    pub fn reserve(&mut self, name: &str, shape: &[usize]) -> Result<()> {
        self.room.tensor(name, shape)
    }

    /// The same from here on with large inputs that are described and never made: enough to count steps by.
    pub fn described(self) -> Self {
        Self { described: true, ..self }
    }

    /// Stores the numbers that `make` gives under `name`, as [`Preparation::input`] does. There has to be room for them
    /// before they are made.
    pub fn large_input(
        &mut self,
        name: &str,
        shape: &[usize],
        make: impl FnOnce() -> Result<Tensor>,
    ) -> Result<ValueId> {
        if self.described {
            return Ok(self.graph.stored(name, shape, Element::F32));
        }
        self.reserve(name, shape)?;
        Ok(self.input(name, make()?))
    }

    /// Stores a tensor under `name`, for the preparation and for every step.
    pub fn input(&mut self, name: impl Into<String>, tensor: Tensor) -> ValueId {
        let (name, element) = (name.into(), element(&tensor));
        let id = self.graph.stored(name.clone(), &tensor.shape, element);
        self.inputs.push((name, tensor));
        id
    }

    /// The tensor that was stored under `name`.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.inputs.iter().find(|(known, _)| known == name).map(|(_, tensor)| tensor)
    }

    /// The value of the preparation's graph that is stored under `name`.
    pub fn value(&mut self, name: &str) -> Result<ValueId> {
        let given = self.given();
        given.value(&mut self.graph, name)
    }

    /// The tensors that the graph starts from.
    pub fn inputs(&self) -> &[(String, Tensor)] {
        &self.inputs
    }

    /// What the steps will find stored.
    pub fn given(&self) -> Given {
        let stored = self.graph.values().iter().filter(|value| value.home == Home::Stored);
        Given(stored.map(|value| (value.name.clone(), (value.shape.clone(), value.element))).collect())
    }
}

impl Given {
    /// Bytes of all of it, in memory.
    pub fn bytes(&self) -> u64 {
        self.0.values().fold(0, |sum, (shape, _)| sum.saturating_add(crate::size::bytes(shape)))
    }

    /// The stored value of this name in a step's graph.
    pub fn value(&self, graph: &mut Graph, name: &str) -> Result<ValueId> {
        let (shape, element) =
            self.0.get(name).ok_or_else(|| Error::tensor(name, "was not prepared for this request"))?;
        Ok(graph.stored(name, shape, *element))
    }
}

fn element(tensor: &Tensor) -> Element {
    match tensor.data {
        Data::F32(_) => Element::F32,
        Data::U32(_) => Element::U32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_only_counted_is_not_made() {
        let absurd = [1 << 40, 1 << 10];
        let made = || -> Result<Tensor> { panic!("it was made") };
        let mut counted = Preparation::default().described();
        counted.large_input("positions", &absurd, made).unwrap();
        assert!(counted.inputs().is_empty());
        let mut graph = Graph::new();
        let id = counted.given().value(&mut graph, "positions").unwrap();
        assert_eq!(graph.shape(id), absurd);

        let error = Preparation::default().large_input("positions", &absurd, made).unwrap_err().to_string();
        assert!(error.contains("positions [1099511627776, 1024] is too large"), "{error}");
        let small = || Tensor::new(&[2], vec![1.0, 2.0]);
        let mut preparation = Preparation::default();
        preparation.large_input("positions", &[2], small).unwrap();
        assert_eq!(preparation.tensor("positions"), Some(&small().unwrap()));
    }
}
