//! What a device can do, asked once and kept in one place: kernels read this instead of testing features.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::Choices;
use crate::weights::Format;
use crate::{Error, Result};

/// The most bytes of one weight: beyond what any device has.
const MOST_WEIGHT: u64 = 1 << 40;

/// Which habits an adapter rewards. Software adapters run a workgroup's threads on few CPU lanes and have no fast
/// workgroup memory, so reading rows straight from storage beats staging them; GPUs prefer the opposite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdapterClass {
    /// lavapipe, SwiftShader, WARP.
    Software,
    /// Everything with compute units of its own.
    Hardware,
}

/// In which numbers a GPU multiplies, where its kernels leave a choice. Sums are f32 in any case, and so is all that
/// follows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Arithmetic {
    /// In f16, where the weights are stored in no more bits of precision (f16, int8, int4) and the GPU is believed to be
    /// faster so; else in f32. The result stays within the tolerance of f16 weights.
    #[default]
    AsStored,
    /// Always in f32.
    Exact,
    /// In f16 whatever the weights are, where the GPU has it: f32 weights are rounded. Of bf16 weights and of what they
    /// multiply, f16 may lose the range.
    Fast,
}

/// Units that multiply square matrices of f16 and sum in f32, a subgroup together. They are told apart by the matrices'
/// side; a device may have other ones besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatrixUnits {
    /// 8×8: Apple's, and Mesa's software adapter.
    Eight,
    /// 16×16: NVIDIA's, and AMD's since RDNA3.
    Sixteen,
}

impl MatrixUnits {
    /// Rows and columns of a matrix.
    pub fn side(self) -> u32 {
        match self {
            Self::Eight => 8,
            Self::Sixteen => 16,
        }
    }
}

/// Where the memory of a device is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MemoryPlace {
    /// Nobody says.
    #[default]
    Unknown,
    /// It is the system's, which all programs share.
    System,
    /// The device has its own.
    Own {
        /// The device's address on the PCI bus, such as `0000:01:00.0`; empty where the driver does not say.
        bus: String,
    },
}

/// The capabilities that decide which kernel variant runs and how tensors are split.
#[derive(Clone, Debug)]
pub struct Caps {
    /// The adapter's own name.
    pub name: String,
    /// Vulkan, Metal, Dx12 or BrowserWebGpu.
    pub backend: String,
    /// The driver and its version.
    pub driver: String,
    /// Software or hardware.
    pub class: AdapterClass,
    /// Largest storage binding, bytes. A weight beyond it is split by rows.
    pub max_binding: u64,
    /// Largest buffer, bytes.
    pub max_buffer: u64,
    /// Storage buffers in one dispatch; the kernels need 8.
    pub max_storage_buffers: u32,
    /// Workgroup memory, bytes; the kernels need 16 KiB.
    pub workgroup_memory: u32,
    /// Threads in a workgroup; the kernels need 256.
    pub workgroup_threads: u32,
    /// Workgroups along one axis of a dispatch.
    pub max_workgroups: u32,
    /// Alignment of a uniform binding's offset, bytes.
    pub uniform_alignment: u32,
    /// `shader-f16`.
    pub f16: bool,
    /// Subgroup operations.
    pub subgroups: bool,
    /// Lanes of a subgroup, where there are subgroup operations and every subgroup has as many.
    pub subgroup_lanes: Option<u32>,
    /// Matrix units, where subgroups and f16 come with them.
    pub matrix_units: Option<MatrixUnits>,
    /// Threads from which on all its units have work. An estimate by the kind of device: no API tells how many units
    /// there are.
    pub busy_threads: u32,
    /// Timestamps at pass boundaries, for `--profile`.
    pub timestamps: bool,
    /// Rounds that all loops of one thread may take together. Mesa's software adapter ends them after 65,535, silently.
    pub max_rounds: u64,
    /// Where its memory is. How much that is, WebGPU does not say.
    pub memory: MemoryPlace,
    /// Which variants its kernels take, where that was measured.
    pub choices: Arc<Choices>,
    /// In which numbers products are taken.
    pub arithmetic: Arithmetic,
}

impl Caps {
    /// WebGPU's guaranteed minimum: what plans and tests assume where no device is at hand.
    pub fn minimum() -> Self {
        Self {
            name: "WebGPU minimum".into(),
            backend: "none".into(),
            driver: String::new(),
            class: AdapterClass::Hardware,
            max_binding: 128 << 20,
            max_buffer: 256 << 20,
            max_storage_buffers: 8,
            workgroup_memory: 16 << 10,
            workgroup_threads: 256,
            max_workgroups: 65_535,
            uniform_alignment: 256,
            f16: false,
            subgroups: false,
            subgroup_lanes: None,
            matrix_units: None,
            busy_threads: 8192,
            timestamps: false,
            max_rounds: u64::MAX,
            memory: MemoryPlace::Unknown,
            choices: Arc::default(),
            arithmetic: Arithmetic::default(),
        }
    }

    /// Of a device that is no GPU: memory and grids have no limits of their own.
    pub(crate) fn host(name: &str, driver: String) -> Self {
        let most = (1 << 40).min(isize::MAX as u64);
        Self {
            name: name.into(),
            backend: "CPU".into(),
            driver,
            class: AdapterClass::Software,
            max_binding: most,
            max_buffer: most,
            max_workgroups: u32::MAX,
            memory: MemoryPlace::System,
            ..Self::minimum()
        }
    }

    /// Lanes of a subgroup, which is then a workgroup, of a software adapter whose lanes had better hand numbers to each
    /// other than load them all each: where all subgroups have 4 or 8 of them.
    pub fn broadcast_lanes(&self) -> Option<u32> {
        self.subgroup_lanes.filter(|lanes| self.class == AdapterClass::Software && [4, 8].contains(lanes))
    }

    /// Whether numbers are multiplied in f16 with weights of this format. Software adapters convert to f32 and back for
    /// each product, and Mali's f32 is the faster one (github.com/ggml-org/llama.cpp/pull/18493).
    pub fn multiplies_in_f16(&self, weights: Format) -> bool {
        let name = self.name.to_lowercase();
        let gains =
            self.f16 && self.class == AdapterClass::Hardware && !name.contains("mali") && !name.contains("immortalis");
        // Models are stored in bf16 because their numbers need f32's range.
        let fits = matches!(weights, Format::F16 | Format::Int8 | Format::Int4);
        gains && self.arithmetic != Arithmetic::Exact && (fits || self.arithmetic == Arithmetic::Fast)
    }

    /// The bytes that one buffer bound whole may have.
    pub fn max_tensor_bytes(&self) -> u64 {
        self.max_binding.min(self.max_buffer)
    }

    /// Fails where a tensor of so many bytes cannot be bound whole.
    pub fn check_tensor(&self, what: &str, bytes: u64) -> Result<()> {
        let available = self.max_tensor_bytes();
        if bytes <= available {
            return Ok(());
        }
        let limit = if bytes > self.max_buffer { "max_buffer_size" } else { "max_storage_buffer_binding_size" };
        Err(Error::Limit { what: what.into(), limit, needed: bytes, available })
    }

    /// Fails where a dispatch has more workgroups along an axis than the device runs.
    pub fn check_workgroups(&self, what: &str, workgroups: [u32; 3]) -> Result<()> {
        match workgroups.into_iter().max() {
            Some(most) if most > self.max_workgroups => Err(Error::Limit {
                what: what.into(),
                limit: "max_compute_workgroups_per_dimension",
                needed: most.into(),
                available: self.max_workgroups.into(),
            }),
            _ => Ok(()),
        }
    }

    /// The row ranges into which a `[rows, …]` weight of `row_bytes` per row is split so that each part can be bound.
    /// The uploader and the kernels both ask here, so they agree.
    pub fn split_rows(&self, rows: usize, row_bytes: u64) -> Result<Vec<Range<usize>>> {
        let bytes = row_bytes.saturating_mul(rows as u64);
        if bytes > MOST_WEIGHT {
            return Err(Error::Limit {
                what: "a weight".into(),
                limit: "memory",
                needed: bytes,
                available: MOST_WEIGHT,
            });
        }
        let most = (self.max_tensor_bytes() / row_bytes.max(1)) as usize;
        if most == 0 {
            return Err(Error::Limit {
                what: "one row of a weight".into(),
                limit: "max_storage_buffer_binding_size",
                needed: row_bytes,
                available: self.max_tensor_bytes(),
            });
        }
        // A multiple of 64 keeps every part but the last whole in the kernels' tiles.
        let most = if most >= 64 { most / 64 * 64 } else { most };
        Ok((0..rows).step_by(most).map(|start| start..rows.min(start.saturating_add(most))).collect())
    }

    /// Lays `count` workgroups out over x and y, so that more than 65,535 fit. Shaders recover the index as
    /// `wid.x + wid.y * num_workgroups.x` and return early beyond the count.
    pub fn grid(&self, count: u64) -> [u32; 3] {
        let max = u64::from(self.max_workgroups).max(1);
        let y = count.div_ceil(max).max(1);
        let x = count.div_ceil(y).max(1);
        // Beyond a u32 they are beyond any device as well: see [`Caps::check_workgroups`].
        let [x, y] = [x, y].map(|along| u32::try_from(along).unwrap_or(u32::MAX));
        [x, y, 1]
    }
}

impl fmt::Display for Caps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {})", self.name, self.backend, self.driver)?;
        // Where it makes a difference, a picture is not the same without.
        match self.arithmetic {
            Arithmetic::Fast if self.multiplies_in_f16(Format::F32) => write!(f, ", multiplying in f16"),
            Arithmetic::Exact if self.f16 && self.class == AdapterClass::Hardware => write!(f, ", multiplying in f32"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_split_into_bindable_rows() {
        let caps = Caps { max_binding: 1 << 20, ..Caps::minimum() };
        let whole = caps.split_rows(100, 4096).unwrap();
        assert_eq!(whole, vec![0..100; 1]);
        let parts = caps.split_rows(1000, 4096).unwrap();
        assert_eq!(parts, [0..256, 256..512, 512..768, 768..1000]);
        let error = caps.split_rows(2, 2 << 20).unwrap_err().to_string();
        assert!(error.contains("max_storage_buffer_binding_size = 2097152"), "{error}");
    }

    #[test]
    fn what_a_device_cannot_hold_or_run_is_refused_by_name() {
        let caps = Caps { max_binding: 1 << 20, max_workgroups: 8, ..Caps::minimum() };
        caps.check_tensor("x", 1 << 20).unwrap();
        let error = caps.check_tensor("x", (1 << 20) + 1).unwrap_err().to_string();
        assert_eq!(
            error,
            "the adapter is too small: x needs max_storage_buffer_binding_size = 1048577, it has 1048576"
        );
        assert!(caps.check_tensor("x", u64::MAX).unwrap_err().to_string().contains("max_buffer_size"));
        caps.check_workgroups("x", caps.grid(64)).unwrap();
        let error = caps.check_workgroups("x", caps.grid(65)).unwrap_err().to_string();
        assert_eq!(error, "the adapter is too small: x needs max_compute_workgroups_per_dimension = 9, it has 8");
        assert!(caps.check_workgroups("x", caps.grid(u64::MAX)).is_err());
    }

    #[test]
    fn f16_is_for_gpus_that_gain_by_it_and_weights_that_fit() {
        let gpu = Caps { f16: true, name: "NVIDIA GeForce RTX 4090".into(), ..Caps::minimum() };
        let of = |caps: &Caps| Format::ALL.map(|format| caps.multiplies_in_f16(format));
        let formats = [Format::F32, Format::F16, Format::BF16, Format::Int8, Format::Int4];
        assert_eq!(Format::ALL, formats);
        assert_eq!(of(&gpu), [false, true, false, true, true]);
        assert_eq!(of(&Caps { arithmetic: Arithmetic::Fast, ..gpu.clone() }), [true; 5]);
        let name = "NVIDIA GeForce RTX 4090 (none, )";
        for (arithmetic, said) in [
            (Arithmetic::AsStored, ""),
            (Arithmetic::Exact, ", multiplying in f32"),
            (Arithmetic::Fast, ", multiplying in f16"),
        ] {
            assert_eq!(Caps { arithmetic, ..gpu.clone() }.to_string(), format!("{name}{said}"));
            assert_eq!(Caps { f16: false, arithmetic, ..gpu.clone() }.to_string(), name);
        }
        for without in [
            Caps { f16: false, arithmetic: Arithmetic::Fast, ..gpu.clone() },
            Caps { arithmetic: Arithmetic::Exact, ..gpu.clone() },
            Caps { class: AdapterClass::Software, ..gpu.clone() },
            Caps { name: "Mali-G715".into(), ..gpu.clone() },
        ] {
            assert_eq!(of(&without), [false; 5]);
        }
    }
}
