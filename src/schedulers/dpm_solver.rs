//! DPM-Solver and DPM-Solver++, multistep (arXiv 2206.00927 and 2211.01095): which timesteps and noise levels a run
//! visits, and of which order each step is. What a step does is in `dpm_update`. After diffusers'
//! scheduling_dpmsolver_multistep.py.

use serde_json::Value;

use super::{
    MOST_STEPS, Schedule, Scheduler,
    betas::{self, Noising},
    check_steps,
    config::Fields,
    dpm_update::{Algorithm, Corrector, Level, Update},
    euler::read_ends_at_min,
    no_schedule, numpy,
    prediction::Prediction,
    sigmas::{self, Curves},
    timesteps::{Spacing, Timesteps},
};
use crate::Result;

/// Its class in diffusers.
pub const CLASS: &str = "DPMSolverMultistepScheduler";

const PREDICTIONS: [(&str, Prediction); 4] = [
    ("epsilon", Prediction::Noise),
    ("sample", Prediction::Image),
    ("v_prediction", Prediction::Velocity),
    ("flow_prediction", Prediction::Flow),
];

/// The last three are names of DEIS and UniPC, which diffusers takes for these.
const CORRECTORS: [(&str, Corrector); 5] = [
    ("midpoint", Corrector::Midpoint),
    ("heun", Corrector::Heun),
    ("logrho", Corrector::Midpoint),
    ("bh1", Corrector::Midpoint),
    ("bh2", Corrector::Midpoint),
];

/// Runs shorter than this end in lower orders, where `lower_order_final` is set.
const SHORT_RUN: usize = 15;

/// Where the noise levels come from.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Levels {
    /// The timesteps.
    Timesteps,
    /// The Karras, exponential or beta curve over the model's range.
    Curve,
    /// Even in log σ over the model's range (`use_lu_lambdas`).
    Lu,
    /// The straight line from image to noise, shifted by this (`use_flow_sigmas`).
    Flow { shift: f64 },
}

#[derive(Debug)]
pub(super) struct DpmSolver {
    noising: Noising,
    timesteps: Timesteps,
    prediction: Prediction,
    curves: Curves,
    levels: Levels,
    algorithm: Algorithm,
    corrector: Corrector,
    /// 1 … 3.
    order: usize,
    lower_order_final: bool,
    euler_at_final: bool,
    /// The last σ is the model's smallest, not zero.
    ends_at_min: bool,
    /// Timesteps of a smaller log(α/σ) are left out.
    lambda_min: f64,
    /// Timesteps found from noise levels are rounded, not truncated.
    rounds: bool,
}

impl DpmSolver {
    pub(super) fn read(file: &str, json: &Value) -> Result<Self> {
        let mut fields = Fields::new(file, CLASS, json)?;
        fields.no_thresholding()?;
        // Without an image size, which diffusers' pipelines for these models do not pass, no shift is computed.
        fields.flag("use_dynamic_shifting", false)?;
        let curves = Curves::read(&mut fields)?;
        let (lu, flow) = (fields.flag("use_lu_lambdas", false)?, fields.flag("use_flow_sigmas", false)?);
        let shift = fields.number("flow_shift", 1.0)?;
        let levels = match (curves.is_karras(), lu, curves.is_some(), flow) {
            (true, ..) => Levels::Curve,
            (_, true, ..) => Levels::Lu,
            (_, _, true, _) => Levels::Curve,
            (.., true) => Levels::Flow { shift },
            _ => Levels::Timesteps,
        };
        let ends_at_min = read_ends_at_min(&mut fields)?;
        let this = Self {
            rounds: fields.text("beta_schedule").as_deref() != Some("squaredcos_cap_v2"),
            algorithm: read_algorithm(&mut fields, ends_at_min)?,
            noising: Noising::read(&mut fields, &betas::CURVES)?.with_finite_sigmas(),
            timesteps: Timesteps::read(&mut fields, "linspace")?,
            prediction: fields.choice("prediction_type", "epsilon", &PREDICTIONS)?,
            corrector: fields.choice("solver_type", "midpoint", &CORRECTORS)?,
            order: read_order(&mut fields)?,
            lower_order_final: fields.flag("lower_order_final", true)?,
            euler_at_final: fields.flag("euler_at_final", false)?,
            lambda_min: fields.number("lambda_min_clipped", f64::NEG_INFINITY)?,
            curves,
            levels,
            ends_at_min,
        };
        this.check(&mut fields)?;
        fields.finish()?;
        Ok(this)
    }

    /// Refuses what diffusers fails at, and the predicted variance.
    fn check(&self, fields: &mut Fields) -> Result<()> {
        if self.order == 3 && self.algorithm == Algorithm::SdeNoise {
            return Err(fields.refuse("solver_order", &3.into(), "sde-dpmsolver has no third order"));
        }
        if self.prediction == Prediction::Flow && !self.algorithm.keeps_images() {
            let value = "flow_prediction".into();
            return Err(fields.refuse("prediction_type", &value, "only the algorithms with ++ know it"));
        }
        match fields.text("variance_type").as_deref() {
            Some(kind @ ("learned" | "learned_range")) => {
                let why = "diffusers then keeps three channels of the output; only null is implemented";
                Err(fields.refuse("variance_type", &kind.into(), why))
            }
            // DDPM's fixed variances, which nothing reads here.
            _ => Ok(()),
        }
    }

    /// The timesteps a run of `steps` would visit, if the levels come from them.
    fn whole_timesteps(&self, steps: usize) -> Vec<i64> {
        let train = self.train_timesteps();
        let clipped = |alpha: f32| {
            let lambda = numpy::log(alpha.sqrt()) - numpy::log((1.0 - alpha).sqrt());
            f64::from(lambda) < self.lambda_min
        };
        let end = train - self.noising.alphas_cumprod.iter().rev().take_while(|&&alpha| clipped(alpha)).count();
        if end == 0 {
            return Vec::new();
        }
        let stride = train as f64 / steps as f64;
        // One more than there are steps, whose last the final σ replaces; trailing timesteps do not reach that low.
        let mut timesteps = self.timesteps.descending(end, steps + 1, stride);
        if self.timesteps.spacing != Spacing::Trailing {
            timesteps.truncate(steps);
        }
        timesteps.into_iter().map(|t| t.round_ties_even() as i64).collect()
    }

    /// The timesteps, and the levels σ before each and after the last.
    fn visits(&self, steps: usize) -> (Vec<i64>, Vec<f32>) {
        let known = self.noising.sigmas();
        let logs = sigmas::logs(&known);
        let (min, max) = (known[0], known[known.len() - 1]);
        let round = |t: f64, wanted: bool| if wanted { t.round_ties_even() } else { t } as i64;
        let seen = |levels: &[f64], rounds: bool| -> Vec<i64> {
            levels.iter().map(|&sigma| round(sigmas::timestep_of(sigma, &logs), rounds)).collect()
        };
        let (timesteps, levels) = match self.levels {
            Levels::Timesteps => {
                let timesteps = self.whole_timesteps(steps);
                let levels = timesteps.iter().map(|&t| numpy::interpolate(t as f64, &known)).collect();
                (timesteps, levels)
            }
            Levels::Curve => {
                let levels = self.curves.levels(max.into(), min.into(), steps).unwrap_or_default();
                (seen(&levels, self.curves.is_karras() && self.rounds), levels)
            }
            Levels::Lu => {
                let (low, high) = (f64::from(logs[0]), f64::from(logs[logs.len() - 1]));
                let ramp = numpy::linspace(0.0, 1.0, steps).into_iter();
                let levels: Vec<f64> = ramp.map(|r| (high + r * (low - high)).exp()).collect();
                (seen(&levels, self.rounds), levels)
            }
            Levels::Flow { shift } => {
                let train = self.train_timesteps() as f64;
                let mut levels: Vec<f64> = numpy::linspace(1.0, 1.0 / train, steps + 1)
                    .into_iter()
                    .map(|alpha| 1.0 - alpha)
                    .map(|sigma| shift * sigma / (1.0 + (shift - 1.0) * sigma))
                    .rev()
                    .collect();
                levels.truncate(steps);
                (levels.iter().map(|sigma| (sigma * train) as i64).collect(), levels)
            }
        };
        let last = if self.ends_at_min { min } else { 0.0 };
        (timesteps, levels.into_iter().map(|sigma| sigma as f32).chain([last]).collect())
    }

    /// The table of a run whose first `skipped` steps are not taken, and leave no history.
    fn table(&self, steps: usize, skipped: usize) -> Result<Schedule> {
        check_steps(CLASS, steps, MOST_STEPS)?;
        let (timesteps, sigmas) = self.visits(steps);
        if timesteps.is_empty() {
            let reason = format!("has no timestep left with lambda_min_clipped = {}", self.lambda_min);
            return Err(no_schedule(CLASS, reason));
        }
        let is_flow = matches!(self.levels, Levels::Flow { .. });
        let levels: Vec<Level> = sigmas.into_iter().map(|sigma| Level::new(sigma, is_flow)).collect();
        let update = Update { algorithm: self.algorithm, corrector: self.corrector, prediction: self.prediction };
        let taken = timesteps.iter().enumerate().skip(skipped);
        let (steps, starts) = taken
            .map(|(index, &timestep)| {
                let order = self.order_of(index, timesteps.len()).min(index + 1 - skipped);
                let before = &levels[index + 1 - order..index];
                (update.step(timestep as f32, before, &levels[index], &levels[index + 1]), levels[index].mix())
            })
            .unzip();
        Schedule::new(CLASS, steps, starts, 1.0)
    }

    /// The order of step `index` of `count`: there must be a history, and no cliff ahead.
    fn order_of(&self, index: usize, count: usize) -> usize {
        let lower = self.lower_order_final && count < SHORT_RUN;
        let ahead = match count - index {
            1 if self.euler_at_final || lower || !self.ends_at_min => 1,
            2 if lower => 2,
            _ => 3,
        };
        self.order.min(index + 1).min(ahead)
    }
}

/// Reads `solver_order`.
fn read_order(fields: &mut Fields) -> Result<usize> {
    match fields.integer("solver_order", 2)? {
        order @ 1..=3 => Ok(order as usize),
        order => Err(fields.refuse("solver_order", &order.into(), "it must be 1, 2 or 3")),
    }
}

/// Reads `algorithm_type`.
fn read_algorithm(fields: &mut Fields, ends_at_min: bool) -> Result<Algorithm> {
    let choices = [
        ("dpmsolver++", Algorithm::Image),
        ("dpmsolver", Algorithm::Noise),
        ("sde-dpmsolver++", Algorithm::SdeImage),
        ("sde-dpmsolver", Algorithm::SdeNoise),
        // As carried over from a DEISMultistepScheduler.
        ("deis", Algorithm::Image),
    ];
    let name = fields.text("algorithm_type");
    let algorithm = fields.choice("algorithm_type", "dpmsolver++", &choices)?;
    let reaches_zero = name.as_deref().is_none_or(|name| name.ends_with("++"));
    if !reaches_zero && !ends_at_min {
        let why = format!("{} cannot step to σ = 0; diffusers asks for sigma_min", name.unwrap_or_default());
        return Err(fields.refuse("final_sigmas_type", &"zero".into(), &why));
    }
    Ok(algorithm)
}

impl Scheduler for DpmSolver {
    fn class(&self) -> &'static str {
        CLASS
    }

    fn train_timesteps(&self) -> usize {
        self.noising.train_timesteps()
    }

    fn schedule(&self, steps: usize) -> Result<Schedule> {
        self.table(steps, 0)
    }

    fn schedule_from(&self, steps: usize, skipped: usize) -> Result<Schedule> {
        self.table(steps, skipped)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn solver(json: Value) -> DpmSolver {
        DpmSolver::read("c.json", &json).unwrap()
    }

    fn orders(json: Value, count: usize) -> Vec<usize> {
        let solver = solver(json);
        (0..count).map(|index| solver.order_of(index, count)).collect()
    }

    #[test]
    fn orders_rise_and_fall() {
        assert_eq!(orders(json!({}), 4), [1, 2, 2, 1]);
        assert_eq!(orders(json!({"solver_order": 3}), 6), [1, 2, 3, 3, 2, 1]);
        assert_eq!(orders(json!({"solver_order": 3}), 15)[12..], [3, 3, 1]);
        assert_eq!(orders(json!({"solver_order": 3, "final_sigmas_type": "sigma_min"}), 15)[12..], [3, 3, 3]);
        let euler = json!({"solver_order": 3, "final_sigmas_type": "sigma_min", "euler_at_final": true});
        assert_eq!(orders(euler, 15)[12..], [3, 3, 1]);
    }

    #[test]
    fn clipped_lambdas_start_later() {
        assert_eq!(solver(json!({})).whole_timesteps(4), [999, 749, 500, 250]);
        let cosine = json!({"beta_schedule": "squaredcos_cap_v2", "lambda_min_clipped": -5.1});
        assert!(solver(cosine).whole_timesteps(4)[0] < 999);
        assert!(solver(json!({"lambda_min_clipped": 100.0})).schedule(4).is_err());
    }

    #[test]
    fn what_diffusers_fails_at_is_refused_by_name() {
        for (json, field) in [
            (json!({"solver_order": 4}), "solver_order"),
            (json!({"solver_order": 0}), "solver_order"),
            (json!({"algorithm_type": "dpmsolver"}), "final_sigmas_type"),
            (json!({"algorithm_type": "deis"}), "final_sigmas_type"),
            (json!({"algorithm_type": "ancestral"}), "algorithm_type"),
            (json!({"variance_type": "learned_range"}), "variance_type"),
            (json!({"thresholding": true}), "thresholding"),
            (json!({"lambda_min_clipped": "low"}), "lambda_min_clipped"),
        ] {
            let error = DpmSolver::read("c.json", &json).unwrap_err().to_string();
            assert!(error.starts_with(&format!("c.json: {field} = ")), "{error}");
        }
    }

    #[test]
    fn more_timesteps_than_there_are_is_an_error() {
        assert!(solver(json!({"timestep_spacing": "leading"})).schedule(2000).is_err());
    }
}
