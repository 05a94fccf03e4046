//! What storing matrices at 8 or 4 bits loses.

use foveate::Result;
use foveate::low_level::graph::Element;
use foveate::low_level::loading::Loader;
use foveate::low_level::weights::Format;
use serde_json::{Value, json};

/// Rows in one sample, and samples in a matrix: enough for three digits, little to read from a large model.
const RUN: usize = 32;
const RUNS: usize = 8;

/// The relative L2 error of one component's matrices at one format.
#[derive(Debug)]
pub struct Loss {
    pub component: String,
    pub format: Format,
    pub mean: f64,
    pub worst: f64,
    /// The tensor with the worst.
    pub tensor: String,
}

/// Measures every matrix that `loader` would store as `format`; none where there is no such matrix.
pub async fn loss(loader: &Loader, format: Format) -> Result<Option<Loss>> {
    let stored = loader.weights().filter(|(weight, _)| weight.element == Element::Packed(format));
    let (mut sum, mut count, mut worst, mut tensor) = (0.0, 0, -1.0, "");
    for name in stored.flat_map(|(_, parts)| parts) {
        let error = of_tensor(loader, name, format).await?;
        (sum, count) = (sum + error, count + 1);
        if error > worst {
            (worst, tensor) = (error, name.as_str());
        }
    }
    let mean = sum / f64::from(count);
    let component = loader.component().to_owned();
    Ok((count > 0).then(|| Loss { component, format, mean, worst, tensor: tensor.to_owned() }))
}

/// Of a few runs of rows, evenly spread.
async fn of_tensor(loader: &Loader, name: &str, format: Format) -> Result<f64> {
    let checkpoint = loader.checkpoint();
    let (rows, k) = checkpoint.get(name).map_or((0, 0), |info| (info.rows(), info.row_len()));
    let stride = rows.div_ceil(RUNS).max(RUN);
    let mut sample = Vec::new();
    for start in (0..rows).step_by(stride) {
        sample.extend(checkpoint.read_rows_f32(name, start..rows.min(start + RUN)).await?);
    }
    format.relative_error(&sample, k).map_err(|unfit| unfit.of(name))
}

impl Loss {
    /// The loss for programs.
    pub fn json(&self) -> Value {
        json!({
            "component": self.component,
            "dtype": self.format.to_string(),
            "mean": self.mean,
            "worst": self.worst,
            "tensor": self.tensor,
        })
    }
}
