//! From a prepared request to a run: the graph of every distinct step, compiled.

use std::sync::{Arc, Mutex};

use super::beginning::Beginning;
use super::names::{FIRST_NOISE, GUIDED, HISTORY, KNOWN, LATENTS, MASK, NOISE, SHOWN, STEP};
use super::part::Part;
use super::run::Run;
use super::step_inputs::StepInputs;
use super::task::Task;
use crate::compress::{AnyPolicy, CARRIED, Dense, PolicyStep, PolicySteps, RunAt, Span, StepAt};
use crate::device::{Device, Plan, Store};
use crate::fingerprint::Fingerprint;
use crate::graph::{Access, Element, Graph, Home};
use crate::kernels::{self, Blend, Guidance, SchedulerStep, step_row};
use crate::models::{Canvas, Decoder, Denoiser, Given, Habits, Noisy};
use crate::rng::Generator;
use crate::schedulers::Schedule;
use crate::{Error, Result, Tensor, Warning};

/// What a pipeline decides before the loop starts.
pub(super) struct Start<'a> {
    /// Of the request and the model. What else the run is comes with it.
    pub fingerprint: Fingerprint,
    pub device: &'a Device,
    pub denoiser: &'a dyn Denoiser,
    pub decoder: Arc<dyn Decoder>,
    /// Weights and what was prepared.
    pub store: Store,
    pub given: Given,
    pub task: Task,
    pub schedule: Schedule,
    /// Its class in diffusers.
    pub scheduler: &'static str,
    pub policy: AnyPolicy,
    pub steps: PolicySteps,
    /// Shape of the latents `[L, C, H, W]`.
    pub shape: [usize; 4],
    /// Draws the starting noise, then that of stochastic steps.
    pub generator: Generator,
    /// The scale, where guidance is on.
    pub guidance: Option<f32>,
    pub habits: Habits,
    pub canvas: Canvas,
    /// What of the pictures is decoded, where that is not all.
    pub part: Option<Part>,
    pub warnings: Vec<Warning>,
}

impl Start<'_> {
    /// The graph of every distinct step, each of which the device can hold.
    pub(super) fn graphs(&self) -> Result<Vec<Graph>> {
        let mut graphs = Vec::new();
        for step in &self.steps.distinct {
            let graph = self.step(self.shape, step)?;
            graph.check(self.device.caps())?;
            graphs.push(graph);
        }
        Ok(graphs)
    }

    /// Compiles the graphs. All of them share one pool of memory.
    pub(super) async fn compile(mut self, graphs: Vec<Graph>, beginning: Beginning) -> Result<Run> {
        let Beginning { latents, noise, kept } = beginning;
        for (name, tensor) in kept.into_iter().chain([(FIRST_NOISE, noise)]) {
            self.store.insert(self.device, name, &tensor).await?;
        }
        let shape = self.shape;
        let (grid, layers) = (self.canvas.grid, self.denoiser.sizes().layers);
        let run = RunAt { grid, samples: self.samples(shape[0]), layers };
        let reuse = |step: &PolicyStep| Ok(matches!(step.span(layers)?, Span::Reuse { .. }));
        let reuses = self.steps.distinct.iter().map(reuse).collect::<Result<_>>()?;
        store_tables(self.device, &mut self.store, self.policy.tables(run)?, &graphs).await?;
        for graph in &graphs {
            check_stored(graph, &self.store)?;
            self.store.allocate_missing(self.device, graph).await?;
        }
        let carried = carried(&graphs);
        let fingerprint = self.fingerprint(&carried);
        let dense = AnyPolicy::new(Dense).step(StepAt { index: 0, of: 1, timestep: 0.0, tokens: 0 });
        let dense_flops = self.step(shape, &dense)?.flops();
        self.store.write(self.device, LATENTS, latents.bytes())?;
        let plans = Plan::compile_pooled(self.device, &graphs, &self.store).await?;
        // A habit of the pipeline that draws from noise.
        let for_both = self.task == Task::Draw && self.guidance.is_some() && self.habits.draws_for_both_halves;
        let draws = if for_both { 2 } else { 1 };
        let (generator, counts) = (&mut self.generator, [latents.data.len(), draws]);
        let inputs =
            StepInputs::new(self.device, &self.store, &self.schedule, self.guidance, generator, counts).await?;
        Ok(Run {
            device: self.device.clone(),
            store: self.store,
            decoder: self.decoder,
            plans,
            plan_of: self.steps.of_step,
            graphs,
            reuses,
            layers,
            carried,
            schedule: self.schedule,
            scheduler: self.scheduler,
            guidance: self.guidance,
            order: self.habits.order,
            policy: self.policy,
            dense_flops,
            fingerprint,
            inputs,
            shape,
            canvas: self.canvas,
            part: self.part,
            at: 0,
            handed: Mutex::default(),
            since: 0,
            warnings: self.warnings,
        })
    }

    /// With the schedule, the policy and what steps hand to each other.
    fn fingerprint(&self, carried: &[(String, usize)]) -> Fingerprint {
        let mut hash = self.fingerprint;
        hash.add(self.scheduler.as_bytes());
        hash.add(bytemuck::cast_slice(&self.schedule.steps));
        hash.add(self.policy.label().as_bytes());
        hash.add_all(carried.iter().map(|(name, count)| format!("{name} {count}")));
        hash
    }

    /// Samples in the model's batch for so many pictures.
    fn samples(&self, pictures: usize) -> usize {
        pictures * if self.guidance.is_some() { 2 } else { 1 }
    }

    /// The graph of one step: the model's prediction, guidance, the scheduler's update, and what is kept of a picture.
    fn step(&self, shape: [usize; 4], policy: &PolicyStep) -> Result<Graph> {
        let batch = self.samples(shape[0]);
        let mut graph = Graph::new();
        let latents = graph.stored(LATENTS, &shape, Element::F32);
        let step = graph.stored(STEP, &[step_row::LEN], Element::F32);
        let noisy = match self.task {
            Task::FillIn { channels, .. } => {
                let shown = graph.stored(SHOWN, &[1, channels, shape[2], shape[3]], Element::F32);
                let latents = kernels::join_channels(&mut graph, latents, shown, step)?;
                Noisy { latents, scaled: true, step, batch }
            }
            Task::Draw | Task::Change | Task::Blend => Noisy { latents, scaled: false, step, batch },
        };
        let output = self.denoiser.forward(&mut graph, noisy, &self.given, policy)?;
        graph.group("scheduler");
        let mut stored = |name| graph.stored(name, &shape, Element::F32);
        let (history, noise, guided) = (HISTORY.map(&mut stored), stored(NOISE), stored(GUIDED));
        let guidance = if self.guidance.is_some() { self.habits.order } else { Guidance::None };
        let update = SchedulerStep { output, latents, history, noise, step, guided, guidance };
        kernels::scheduler_step(&mut graph, update)?;
        if self.task.blends() {
            let [_, channels, height, width] = shape;
            let known = graph.stored(KNOWN, &[1, channels, height, width], Element::F32);
            let noise = graph.stored(FIRST_NOISE, &shape, Element::F32);
            let mask = graph.stored(MASK, &[1, 1, height, width], Element::F32);
            kernels::blend(&mut graph, Blend { latents, known, noise, mask, step })?;
        }
        Ok(graph)
    }
}

/// Stores the tensors that a policy's ops find by name, once the graphs' ops can read them.
async fn store_tables(
    device: &Device,
    store: &mut Store,
    tables: Vec<(String, Tensor)>,
    graphs: &[Graph],
) -> Result<()> {
    for (name, table) in tables {
        graphs.iter().try_for_each(|graph| graph.check_table(&name, &table))?;
        if store.contains(&name) {
            return Err(Error::tensor(name, "is stored already: the policy's table needs another name"));
        }
        store.insert(device, &name, &table).await?;
    }
    Ok(())
}

/// Refuses a graph with an op that reads a stored value which nothing has stored: a policy's table that is missing
/// would else be zeros, and the picture wrong.
fn check_stored(graph: &Graph, store: &Store) -> Result<()> {
    let of_the_loop = |name: &str| {
        name.starts_with(CARRIED) || [LATENTS, STEP, NOISE, GUIDED].contains(&name) || HISTORY.contains(&name)
    };
    let mut written = Vec::new();
    for (id, access) in graph.nodes().iter().flat_map(|node| node.op.access()) {
        let value = graph.get(id);
        if value.home != Home::Stored || store.contains(&value.name) || of_the_loop(&value.name) {
            continue;
        }
        match access {
            Access::Write => written.push(id),
            Access::Read | Access::Update if written.contains(&id) => {}
            Access::Read | Access::Update => {
                return Err(Error::tensor(&value.name, "is read, but nothing stored it: is a policy's table missing?"));
            }
        }
    }
    Ok(())
}

/// What steps hand to each other, by name, and how many numbers it is: the latents, the scheduler's history, and what
/// policies store for later.
fn carried(graphs: &[Graph]) -> Vec<(String, usize)> {
    let mut carried: Vec<(String, usize)> = Vec::new();
    for value in graphs.iter().flat_map(Graph::values).filter(|value| value.home == Home::Stored) {
        let of_the_loop = [LATENTS, HISTORY[0], HISTORY[1]].contains(&value.name.as_str());
        let known = carried.iter().any(|(name, _)| *name == value.name);
        if !known && (of_the_loop || value.name.starts_with(CARRIED)) {
            carried.push((value.name.clone(), value.len()));
        }
    }
    carried
}
