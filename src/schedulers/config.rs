//! Reading a scheduler's JSON field by field. A field that is read is taken out; what is left at the end was not
//! understood, and is refused unless diffusers too would ignore it.

use serde_json::{Map, Value};

use crate::{Error, Result};

/// Fields of the schedulers that swap configs with each other in diffusers 0.42.1, where a class ignores those of the
/// others.
const ELSEWHERE: &str = "\
    algorithm_type base_image_seq_len base_shift beta_end beta_schedule beta_start clip_sample clip_sample_range \
    disable_corrector dynamic_thresholding_ratio euler_at_final final_sigmas_type flow_shift interpolation_type \
    invert_sigmas lambda_min_clipped lower_order_final max_image_seq_len max_shift predict_x0 prediction_type \
    rescale_betas_zero_snr rho sample_max_value set_alpha_to_one shift shift_terminal sigma_data sigma_max sigma_min \
    sigma_schedule skip_prk_steps solver_order solver_p solver_type steps_offset stochastic_sampling thresholding \
    time_shift_type timestep_spacing timestep_type trained_betas use_beta_sigmas use_dynamic_shifting \
    use_exponential_sigmas use_flow_sigmas use_karras_sigmas use_lu_lambdas variance_type";

/// More training timesteps than any model has; a config asking for more is damaged.
const MOST_TIMESTEPS: i64 = 1_000_000;

/// The fields of one config not yet read.
#[derive(Debug)]
pub struct Fields {
    file: String,
    class: &'static str,
    left: Map<String, Value>,
}

impl Fields {
    /// All fields of `json`, to be read by the scheduler `class`.
    pub fn new(file: &str, class: &'static str, json: &Value) -> Result<Self> {
        let Value::Object(fields) = json else {
            return Err(Error::config(file, "the scheduler's config is not a JSON object"));
        };
        let mut left = fields.clone();
        // diffusers notes here which values were defaults of the class that saved them, and drops those.
        if let Some(Value::Array(names)) = fields.get("_use_default_values") {
            for name in names.iter().filter_map(Value::as_str) {
                left.remove(name);
            }
        }
        Ok(Self { file: file.into(), class, left })
    }

    /// The number in `name`, or `default` where it is absent.
    pub fn number(&mut self, name: &str, default: f64) -> Result<f64> {
        match self.left.remove(name) {
            None => Ok(default),
            Some(value) => self.as_number(name, &value),
        }
    }

    /// The number in `name`, `None` where it is absent or null.
    pub fn optional(&mut self, name: &str) -> Result<Option<f64>> {
        match self.left.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => self.as_number(name, &value).map(Some),
        }
    }

    /// The list of numbers in `name`, `None` where it is absent or null.
    pub fn numbers(&mut self, name: &str) -> Result<Option<Vec<f64>>> {
        match self.left.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(values)) => {
                values.iter().map(|value| self.as_number(name, value)).collect::<Result<_>>().map(Some)
            }
            Some(value) => Err(self.refuse(name, &value, "a list of numbers is needed")),
        }
    }

    fn as_number(&self, name: &str, value: &Value) -> Result<f64> {
        match value.as_str() {
            // As `json::parse` leaves what Python writes without quotes.
            Some("Infinity") => Ok(f64::INFINITY),
            Some("-Infinity") => Ok(f64::NEG_INFINITY),
            _ => value.as_f64().ok_or_else(|| self.refuse(name, value, "a number is needed")),
        }
    }

    /// The whole number in `name`, or `default` where it is absent.
    pub fn integer(&mut self, name: &str, default: i64) -> Result<i64> {
        match self.left.remove(name) {
            None => Ok(default),
            Some(value) => match value.as_i64() {
                Some(number) if number.abs() <= MOST_TIMESTEPS => Ok(number),
                _ => Err(self.refuse(name, &value, "a whole number up to a million is needed")),
            },
        }
    }

    /// `num_train_timesteps`.
    pub fn train_timesteps(&mut self) -> Result<usize> {
        match self.integer("num_train_timesteps", 1000)? {
            count @ 1.. => Ok(count as usize),
            count => Err(self.refuse("num_train_timesteps", &count.into(), "at least one is needed")),
        }
    }

    /// The truth of `name`, or `default` where it is absent; null is false, as in Python.
    pub fn flag(&mut self, name: &str, default: bool) -> Result<bool> {
        match self.left.remove(name) {
            None => Ok(default),
            Some(Value::Null) => Ok(false),
            Some(Value::Bool(truth)) => Ok(truth),
            Some(value) => Err(self.refuse(name, &value, "true or false is needed")),
        }
    }

    /// Which of `choices` is in `name`, or `default` where it is absent; null goes by the name "null".
    pub fn choice<T: Copy>(&mut self, name: &str, default: &str, choices: &[(&str, T)]) -> Result<T> {
        let value = self.left.remove(name).unwrap_or_else(|| default.into());
        let chosen = if value.is_null() { Some("null") } else { value.as_str() };
        choices.iter().find(|(known, _)| Some(*known) == chosen).map(|(_, choice)| *choice).ok_or_else(|| {
            let known: Vec<_> = choices.iter().map(|(known, _)| *known).collect();
            self.refuse(name, &value, &format!("{} knows {}", self.class, known.join(", ")))
        })
    }

    /// The string in `name`, left where it is.
    pub fn text(&self, name: &str) -> Option<String> {
        self.left.get(name).and_then(Value::as_str).map(Into::into)
    }

    /// Refuses dynamic thresholding: a quantile of the whole sample is not a linear step.
    pub fn no_thresholding(&mut self) -> Result<()> {
        if self.flag("thresholding", false)? {
            return Err(self.refuse("thresholding", &true.into(), "dynamic thresholding is not implemented"));
        }
        Ok(())
    }

    /// The error for a field that cannot be honoured.
    pub fn refuse(&self, name: &str, value: &Value, why: &str) -> Error {
        let value = match value {
            Value::Array(values) => format!("[… {} values]", values.len()),
            value => value.to_string(),
        };
        Error::config(&self.file, format!("{name} = {value}: {why}"))
    }

    /// Refuses what was not read and is not known to be harmless.
    pub fn finish(self) -> Result<()> {
        let unknown = self.left.iter().find(|(name, value)| {
            !name.starts_with('_') && !value.is_null() && ELSEWHERE.split(' ').all(|known| known != name.as_str())
        });
        match unknown {
            None => Ok(()),
            Some((name, value)) => Err(self.refuse(name, value, &format!("{} has no such field", self.class))),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(json: Value) -> Fields {
        Fields::new("scheduler_config.json", "Test", &json).unwrap()
    }

    #[test]
    fn complaints_name_file_field_and_value() {
        let message = fields(json!({"beta_start": "low"})).number("beta_start", 0.0).unwrap_err().to_string();
        assert_eq!(message, "scheduler_config.json: beta_start = \"low\": a number is needed");
        let message = fields(json!({"mode": "loud"})).choice("mode", "soft", &[("soft", 0)]).unwrap_err().to_string();
        assert_eq!(message, "scheduler_config.json: mode = \"loud\": Test knows soft");
    }

    #[test]
    fn what_is_left_is_refused() {
        let message = fields(json!({"surprise": 3})).finish().unwrap_err().to_string();
        assert_eq!(message, "scheduler_config.json: surprise = 3: Test has no such field");
        fields(json!({"_private": 3, "surprise": null, "skip_prk_steps": true})).finish().unwrap();
    }

    #[test]
    fn null_is_false_and_noted_defaults_are_dropped() {
        assert!(!fields(json!({"clip_sample": null})).flag("clip_sample", true).unwrap());
        let mut noted = fields(json!({"clip_sample": false, "_use_default_values": ["clip_sample"]}));
        assert!(noted.flag("clip_sample", true).unwrap());
    }
}
