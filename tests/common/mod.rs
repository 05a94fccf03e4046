//! Reading the goldens that `training/goldens` writes, and comparing with them.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

pub mod pipeline;
pub mod texture;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use foveate::low_level::tensor::{Tensor, relative_l2};
use foveate::low_level::weights::{Checkpoint, Source, SourceType};
use foveate::{Device, Gpu, GpuOptions};
use pollster::block_on;

/// The adapter under test. A missing one fails the test.
pub fn gpu() -> &'static Gpu {
    static GPU: OnceLock<Gpu> = OnceLock::new();
    GPU.get_or_init(|| block_on(Gpu::request(GpuOptions::default())).unwrap())
}

/// The same as a device.
pub fn device() -> &'static Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    DEVICE.get_or_init(|| gpu().into())
}

/// `tests/goldens/{name}`, in this crate or, for the crates below it, in the repository around them.
pub fn golden(name: &str) -> PathBuf {
    let around = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().map(|folder| folder.join("tests/goldens"));
    around.into_iter().find(|goldens| goldens.is_dir()).expect("the repository has goldens").join(name)
}

/// Every tensor of a safetensors file.
pub struct Tensors(pub HashMap<String, Tensor>);

impl Tensors {
    pub fn read(file: &Path) -> Self {
        let source = Source::Folder(file.parent().unwrap().to_owned());
        let name = file.file_name().unwrap().to_str().unwrap();
        block_on(async {
            let checkpoint = Checkpoint::open_file(&source, name).await.unwrap();
            let mut tensors = HashMap::new();
            for (name, info) in checkpoint.tensors() {
                let tensor = match info.dtype {
                    SourceType::I32 | SourceType::I64 => {
                        let values = checkpoint.read_i64(name).await.unwrap();
                        Tensor::indices(&info.shape, values.into_iter().map(|v| v as u32).collect())
                    }
                    _ => Tensor::new(&info.shape, checkpoint.read_f32(name).await.unwrap()),
                };
                tensors.insert(name.to_owned(), tensor.unwrap());
            }
            Self(tensors)
        })
    }

    pub fn get(&self, name: &str) -> &Tensor {
        self.0.get(name).unwrap_or_else(|| panic!("the golden has no {name}"))
    }
}

/// A golden's JSON.
pub fn json(file: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
}

/// Asserts that `found` is `expected` to `tolerance` (relative L2), and that the comparison can fail.
pub fn close(what: &str, found: &[f32], expected: &[f32], tolerance: f64) {
    let deviation = relative_l2(found, expected);
    assert!(deviation <= tolerance, "{what}: relative L2 {deviation:.2e} > {tolerance:.0e}");
    let mut swapped = expected.to_vec();
    swapped.rotate_left(1);
    let moves = relative_l2(&swapped, expected) > 2.0 * tolerance;
    assert!(!moves || relative_l2(found, &swapped) > tolerance, "{what}: the comparison cannot fail");
}

/// The largest difference of any element; infinite where there is no comparing.
pub fn max_error(a: &[f32], b: &[f32]) -> f32 {
    if a.len() != b.len() {
        return f32::INFINITY;
    }
    a.iter().zip(b).map(|(x, y)| if (x - y).is_nan() { f32::INFINITY } else { (x - y).abs() }).fold(0.0, f32::max)
}
