//! A scheduler is a table. From its config and a number of steps follows one [`Step`] per model call: a timestep and
//! the coefficients of an update that is the same for all schedulers, so that one kernel runs them all.
//!
//! Which numbers these are is diffusers' to say, down to where it rounds to f32; each file names its original. Fields
//! of a config are honoured or refused by name, never ignored. What is not linear in sample and output (dynamic
//! thresholding, a predicted variance) is refused.
//!
//! A scheduler of another crate implements [`Scheduler`], and reads its config by the same parts: [`Fields`] one by
//! one, the [`Noising`] that the model was trained with, its [`Prediction`], and [`Timesteps`].

mod betas;
mod config;
mod ddim;
mod ddpm;
mod dpm_solver;
mod dpm_update;
mod euler;
mod flow_match;
mod json;
mod numpy;
mod prediction;
mod sigmas;
mod timesteps;

use std::fmt::Debug;

use serde_json::Value;

pub use self::betas::{CURVES, Curve, Noising};
pub use self::config::Fields;
pub use self::dpm_solver::CLASS as DPM_SOLVER;
pub use self::json::parse;
pub use self::prediction::{Combination, PREDICTIONS, Prediction};
pub use self::timesteps::{Spacing, Timesteps};
use self::{ddim::Ddim, ddpm::Ddpm, dpm_solver::DpmSolver, euler::Euler, flow_match::FlowMatch};
use crate::{Error, Refusal, Result};

/// One step: what the model is asked, and how sample x and (guided) model output g make the next sample x'.
///
/// ```text
/// model input = input_scale·x
/// m  = clamp(convert_sample·x + convert_output·g, −clip, clip)
/// x' = sample·x + output·g + current·m + previous[0]·m₋₁ + previous[1]·m₋₂ + noise·z
/// ```
///
/// m is what the model's output says the image is (the noise, for the two dpmsolver algorithms without `++`); m₋₁ and
/// m₋₂ are those of the last two steps, any finite value where there was none; z is standard normal.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Step {
    /// The timestep that the model receives, in training timesteps.
    pub timestep: f32,
    /// What the sample is scaled by before the model sees it.
    pub input_scale: f32,
    /// x in m.
    pub convert_sample: f32,
    /// g in m.
    pub convert_output: f32,
    /// The largest magnitude of m; `f32::MAX` where it is not clamped.
    pub clip: f32,
    /// x in x'.
    pub sample: f32,
    /// g in x'.
    pub output: f32,
    /// m in x'.
    pub current: f32,
    /// m₋₁ and m₋₂ in x'.
    pub previous: [f32; 2],
    /// z in x'.
    pub noise: f32,
    /// Left to the caller, who may complete the row with what else the kernel needs. 64 bytes in all, the stride of an
    /// array in a uniform buffer.
    pub _free: [f32; 4],
    /// 1 where z is drawn, else 0. Some schedulers draw where `noise` is zero: the generator advances all the same.
    pub draws: u32,
}

impl Step {
    /// A step at `timestep` that shows the model x as it is, and whose remaining coefficients are zero.
    pub fn at(timestep: f32) -> Self {
        Self { timestep, input_scale: 1.0, clip: f32::MAX, ..bytemuck::Zeroable::zeroed() }
    }

    /// Whether z is drawn.
    pub fn draws_noise(&self) -> bool {
        self.draws != 0
    }

    /// The update of one element: x' and m from x, g, [m₋₁, m₋₂] and z. The reference of the kernel.
    pub fn apply(&self, x: f32, g: f32, previous: [f32; 2], z: f32) -> (f32, f32) {
        let m = self.convert_sample * x + self.convert_output * g;
        // Where nothing lies between the bounds there is no number.
        let m = if self.clip >= 0.0 { m.clamp(-self.clip, self.clip) } else { f32::NAN };
        let history = self.previous[0] * previous[0] + self.previous[1] * previous[1];
        (self.sample * x + self.output * g + self.current * m + history + self.noise * z, m)
    }

    fn is_finite(&self) -> bool {
        let Self { timestep, input_scale, convert_sample, convert_output, clip, sample, output, current, .. } = *self;
        [timestep, input_scale, convert_sample, convert_output, clip, sample, output, current]
            .into_iter()
            .chain(self.previous)
            .chain([self.noise])
            .all(f32::is_finite)
    }
}

/// How much of a picture and how much noise a sample is: `image·x₀ + noise·z` (`add_noise` of diffusers).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// x₀ in the sample.
    pub image: f32,
    /// z in the sample, which is standard normal.
    pub noise: f32,
}

impl Level {
    /// The picture itself, as the last step leaves it.
    pub const CLEAN: Self = Self { image: 1.0, noise: 0.0 };
}

/// All steps of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// One per model call, the noisiest first. For some counts diffusers makes one more than it was asked for.
    pub steps: Vec<Step>,
    /// What each step starts from. Without them no run can start from a picture.
    pub levels: Vec<Level>,
    /// What standard normal noise is multiplied by to make the first sample.
    pub init_noise_sigma: f32,
}

impl Schedule {
    /// The timestep of each step.
    pub fn timesteps(&self) -> Vec<f32> {
        self.steps.iter().map(|step| step.timestep).collect()
    }

    /// The schedule, if it has steps and all its numbers are finite. Where they are not, diffusers' samples are not
    /// either.
    pub fn new(class: &str, steps: Vec<Step>, levels: Vec<Level>, init_noise_sigma: f32) -> Result<Self> {
        Self { steps, levels, init_noise_sigma }.checked(class)
    }

    /// Refuses a schedule without steps, with numbers that are not finite, or with a prediction that has no room.
    pub(crate) fn checked(self, class: &str) -> Result<Self> {
        if self.steps.is_empty() {
            return Err(no_schedule(class, "has no step"));
        }
        match self.steps.iter().position(|step| !step.is_finite()) {
            Some(index) => {
                let (of, timestep) = (self.steps.len(), self.steps[index].timestep);
                let reason = format!("has no finite step {index} of {of} (timestep {timestep}) with this config");
                Err(no_schedule(class, reason))
            }
            None if !self.init_noise_sigma.is_finite() => {
                Err(no_schedule(class, "has no finite initial sigma with this config"))
            }
            None => match self.steps.iter().position(|step| step.clip < 0.0) {
                Some(index) => Err(no_schedule(class, format!("has a negative clip in step {index}"))),
                None => Ok(self),
            },
        }
    }

    /// The same schedule with every step's prediction in place of its sample: x' = m.
    pub fn predicted(mut self) -> Self {
        for step in &mut self.steps {
            (step.sample, step.output, step.current, step.previous, step.noise) = (0.0, 0.0, 1.0, [0.0; 2], 0.0);
        }
        self
    }

    /// The same schedule for a loop that steps from the model's scaled input instead of from the sample.
    pub fn from_scaled_input(mut self) -> Self {
        for step in &mut self.steps {
            step.sample *= step.input_scale;
            step.convert_sample *= step.input_scale;
        }
        self
    }

    /// The level of noise after step `index`.
    pub fn level_after(&self, index: usize) -> Level {
        self.levels.get(index + 1).copied().unwrap_or(Level::CLEAN)
    }

    /// The same schedule without its first steps.
    fn without(mut self, skipped: usize) -> Self {
        self.steps.drain(..skipped.min(self.steps.len()));
        self.levels.drain(..skipped.min(self.levels.len()));
        self
    }

    /// How many steps draw noise; which ones, [`Step::draws_noise`] says. In diffusers they draw in order, one tensor
    /// of the model output's shape each, from the generator that drew the initial noise.
    pub fn draws_noise(&self) -> usize {
        self.steps.iter().filter(|step| step.draws_noise()).count()
    }
}

/// A way from noise to image.
pub trait Scheduler: Debug + Send + Sync {
    /// Its class in diffusers.
    fn class(&self) -> &'static str;

    /// Its table for a run of `steps` steps.
    fn schedule(&self, steps: usize) -> Result<Schedule>;

    /// The same where the first steps are left out, because a picture takes their place. A scheduler that looks back at
    /// earlier steps has to say what it does without them.
    fn schedule_from(&self, steps: usize, skipped: usize) -> Result<Schedule> {
        Ok(self.schedule(steps)?.without(skipped))
    }

    /// How many timesteps the model was trained with.
    fn train_timesteps(&self) -> usize;
}

/// A class of schedulers: what it is called, and how it is read.
#[derive(Clone, Copy, Debug)]
pub struct SchedulerKind {
    /// Its names in requests.
    pub names: &'static [&'static str],
    /// Its class in diffusers.
    pub class: &'static str,
    /// Reads a scheduler of this class from the JSON that a file of this name holds: a config of this class or another.
    /// Fields of the same name are carried over, the rest are the class's defaults.
    pub read: fn(&str, &Value) -> Result<Box<dyn Scheduler>>,
}

const BUILT_IN: [SchedulerKind; 5] = [
    SchedulerKind { names: &["ddim"], class: ddim::CLASS, read: |file, json| Ok(Box::new(Ddim::read(file, json)?)) },
    SchedulerKind { names: &["ddpm"], class: ddpm::CLASS, read: |file, json| Ok(Box::new(Ddpm::read(file, json)?)) },
    SchedulerKind {
        names: &["dpm-solver++", "dpm"],
        class: dpm_solver::CLASS,
        read: |file, json| Ok(Box::new(DpmSolver::read(file, json)?)),
    },
    SchedulerKind { names: &["euler"], class: euler::CLASS, read: |file, json| Ok(Box::new(Euler::read(file, json)?)) },
    SchedulerKind {
        names: &["flow-match"],
        class: flow_match::CLASS,
        read: |file, json| Ok(Box::new(FlowMatch::read(file, json)?)),
    },
];

/// The classes of schedulers. A host can add its own.
#[derive(Clone, Debug)]
pub struct Schedulers(Vec<SchedulerKind>);

impl Default for Schedulers {
    /// Those of this crate.
    fn default() -> Self {
        Self(BUILT_IN.to_vec())
    }
}

impl Schedulers {
    /// Adds a class. It takes over names that others have, too.
    pub fn add(&mut self, kind: SchedulerKind) {
        self.0.insert(0, kind);
    }

    /// The names in requests.
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().flat_map(|kind| kind.names).copied().collect()
    }

    /// The scheduler in `bytes`, the content of `file`: of the class that it names, or of the one that is called
    /// `name`.
    pub fn read(&self, file: &str, bytes: &[u8], name: Option<&str>) -> Result<Box<dyn Scheduler>> {
        let json = parse(file, bytes)?;
        match name {
            None => self.from_config(file, &json),
            Some(name) => self.named(name, file, &json),
        }
    }

    /// The scheduler that `json`, the content of `file`, describes by its `_class_name`.
    pub fn from_config(&self, file: &str, json: &Value) -> Result<Box<dyn Scheduler>> {
        let class = json.get("_class_name").unwrap_or(&Value::Null);
        match self.0.iter().find(|kind| class == kind.class) {
            Some(kind) => (kind.read)(file, json),
            None => {
                let known = self.0.iter().map(|kind| kind.class).collect::<Vec<_>>().join(", ");
                Err(Error::config(file, format!("_class_name = {class}: the schedulers here are {known}")))
            }
        }
    }

    /// The scheduler called `name` over the config `json` of another, as `X.from_config(pipe.scheduler.config)` of
    /// diffusers.
    pub fn named(&self, name: &str, file: &str, json: &Value) -> Result<Box<dyn Scheduler>> {
        match self.0.iter().find(|kind| kind.names.contains(&name) || kind.class == name) {
            Some(kind) => (kind.read)(file, json),
            None => {
                let known = self.names().into_iter().map(str::to_owned).collect();
                Err(Refusal::UnknownScheduler { name: name.into(), known }.into())
            }
        }
    }
}

/// The most steps of a scheduler that can make more than the model was trained with; more is a slip of the keyboard.
const MOST_STEPS: usize = 100_000;

/// Refuses a number of steps that `class` cannot make: none, or more than `most`.
pub fn check_steps(class: &str, steps: usize, most: usize) -> Result<()> {
    match steps {
        steps if (1..=most).contains(&steps) => Ok(()),
        steps => Err(Refusal::BadSteps { scheduler: class.into(), steps, most }.into()),
    }
}

/// The error for a timestep that the model was not trained with.
fn beyond_training(class: &str, timestep: i64, train: usize) -> Error {
    let trained = train - 1;
    no_schedule(class, format!("would step to timestep {timestep}; the model was trained with 0 … {trained}"))
}

/// The error for steps that `class` cannot make with its config.
fn no_schedule(class: &str, reason: impl Into<String>) -> Error {
    Refusal::NoSchedule { scheduler: class.into(), reason: reason.into() }.into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_step_is_linear_but_for_its_clamp() {
        let step = Step {
            convert_sample: 2.0,
            convert_output: -1.0,
            clip: 1.5,
            sample: 10.0,
            output: 100.0,
            current: 1000.0,
            previous: [1e4, 1e5],
            noise: 1e6,
            ..Step::at(7.0)
        };
        assert_eq!(step.apply(1.0, 1.0, [2.0, 3.0], 4.0), (4_321_110.0, 1.0));
        assert_eq!(step.apply(2.0, 1.0, [0.0; 2], 0.0), (1620.0, 1.5));
        assert_eq!(size_of::<Step>(), 64);
    }

    #[test]
    fn a_clip_without_room_is_refused() {
        for (clip, reason) in [(-1.0, "has a negative clip in step 1"), (f32::NAN, "has no finite step 1 of 2")] {
            let step = Step { clip, ..Step::at(7.0) };
            assert!(step.apply(1.0, 1.0, [0.0; 2], 0.0).1.is_nan());
            let error = Schedule::new("Own", vec![Step::at(9.0), step], vec![], 1.0).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn every_name_reads_every_config() {
        let all = Schedulers::default();
        for SchedulerKind { class, .. } in BUILT_IN {
            let json = json!({"_class_name": class, "_diffusers_version": "0.42.1"});
            assert_eq!(all.from_config("c.json", &json).unwrap().class(), class);
            for SchedulerKind { names, class: other, .. } in BUILT_IN {
                for name in names {
                    let scheduler = all.named(name, "c.json", &json).unwrap();
                    assert_eq!((scheduler.class(), scheduler.train_timesteps()), (other, 1000));
                }
            }
        }
    }

    #[test]
    fn the_unknown_is_refused_by_name() {
        let all = Schedulers::default();
        let refusal = |json| all.from_config("c.json", &json).unwrap_err().to_string();
        assert!(
            refusal(json!({"_class_name": "PNDMScheduler"})).starts_with("c.json: _class_name = \"PNDMScheduler\"")
        );
        assert!(refusal(json!({})).starts_with("c.json: _class_name = null"));
        assert!(refusal(json!([])).starts_with("c.json: _class_name = null"));
        assert!(all.named("heun", "c.json", &json!({})).unwrap_err().is_usage());
        for SchedulerKind { class, .. } in BUILT_IN {
            let message = refusal(json!({"_class_name": class, "surprise": 1}));
            assert_eq!(message, format!("c.json: surprise = 1: {class} has no such field"));
        }
    }

    #[test]
    fn no_steps_are_a_usage_error() {
        for SchedulerKind { names, .. } in BUILT_IN {
            let scheduler = Schedulers::default().named(names[0], "c.json", &json!({})).unwrap();
            assert!(scheduler.schedule(0).unwrap_err().is_usage());
        }
    }
}
