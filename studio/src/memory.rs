//! How much memory a device has, as far as that can be known, what a model needs of it, and how the model is stored so
//! that it fits.
//!
//! WebGPU does not say how much memory an adapter has. A processor and an adapter without memory of its own use the
//! system's, which the system tells. Of a GPU with memory of its own, some drivers tell it (`vram.rs`). Of any other it is
//! not known.

use foveate::compress::Compression;
use foveate::low_level::graph::{Caps, Element, Graph, MemoryPlace};
use foveate::low_level::pipeline::{StepSize, TransformerSteps};
use foveate::low_level::weights::Format;
use foveate::models::Preparation;
use foveate::{LoadOptions, Model, Result, Size};

use crate::vram::vram;

/// The dtypes that a model's memory is reported for.
pub const DTYPES: [Format; 4] = [Format::F32, Format::F16, Format::Int8, Format::Int4];

/// The memory that a device has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// All of it.
    pub bytes: u64,
    /// Whether it is the system's, which other programs use too.
    pub shared: bool,
}

impl Found {
    /// What a model may take: three quarters of the system's memory, nine tenths of a GPU's own. The rest is left to the
    /// system, its windows and other programs.
    pub fn usable(&self) -> u64 {
        if self.shared { self.bytes / 4 * 3 } else { self.bytes / 10 * 9 }
    }
}

/// What drawing one picture needs of a device, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needs {
    /// The weights as the files have them.
    pub stored: u64,
    /// The weights in each of [`DTYPES`].
    pub by_dtype: Vec<(Format, u64)>,
    /// What a picture of the trained size takes beside the weights, at most, while its text is encoded, its steps run and
    /// it is decoded. The same for every dtype. What a driver takes for itself is not in it.
    pub working: u64,
}

/// How a model is stored, where nobody said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// The format; none: as in the files.
    pub dtype: Option<Format>,
    /// What it then needs.
    pub needs: u64,
    /// Whether that fits.
    pub fits: bool,
}

impl Needs {
    /// What a model needs. Reads the files' headers; no weight is loaded and no device is used.
    pub async fn of(model: &Model) -> Result<Self> {
        let stored = weights(model).await?;
        let mut by_dtype = Vec::new();
        for dtype in DTYPES {
            let options = LoadOptions { dtype: Some(dtype), ..model.options.clone() };
            by_dtype.push((dtype, weights(&Model { options, ..model.clone() }).await?));
        }
        Ok(Self { stored, by_dtype, working: working(model).await? })
    }

    /// How the model is stored in `usable` bytes: as in the files where that fits, else in the most exact format that
    /// is smaller and fits, else in the smallest.
    pub fn choose(&self, usable: u64) -> Chosen {
        let smaller = self.by_dtype.iter().filter(|(_, bytes)| *bytes < self.stored);
        let chosen = |dtype, bytes: u64| {
            let needs = bytes.saturating_add(self.working);
            Chosen { dtype, needs, fits: needs <= usable }
        };
        smaller.fold(chosen(None, self.stored), |best, (dtype, bytes)| match chosen(Some(*dtype), *bytes) {
            next if !best.fits && (next.fits || next.needs < best.needs) => next,
            _ => best,
        })
    }
}

/// The memory of a device; none where that cannot be known. Asks the system, and may run a program of the driver's.
pub fn found(caps: &Caps) -> Option<Found> {
    match &caps.memory {
        MemoryPlace::System => system().map(|bytes| Found { bytes, shared: true }),
        MemoryPlace::Own { bus } if !bus.is_empty() => vram(bus).map(|bytes| Found { bytes, shared: false }),
        MemoryPlace::Own { .. } | MemoryPlace::Unknown => None,
    }
}

/// The memory of a device in words.
pub fn described(caps: &Caps) -> String {
    match found(caps) {
        Some(Found { bytes, shared: true }) => format!("{}, the system's", size(bytes)),
        Some(Found { bytes, shared: false }) => format!("{}, its own", size(bytes)),
        None => "not known".into(),
    }
}

/// A number of bytes as people say it.
pub fn size(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    match mib {
        m if m < 10.0 => format!("{m:.1} MiB"),
        m if m < 1024.0 => format!("{m:.0} MiB"),
        m => format!("{:.1} GiB", m / 1024.0),
    }
}

async fn weights(model: &Model) -> Result<u64> {
    Ok(model.parts().await?.loaders.iter().map(|loader| loader.bytes()).sum())
}

/// The memory of the values that a run computes with. What is prepared is held all the time. Beside it, the text is
/// encoded first; then the plans of the steps and the decoder's are held together. Text is counted as long as the model
/// reads it.
async fn working(model: &Model) -> Result<u64> {
    let (habits, parts) = (model.habits(), model.parts().await?);
    let transformer = TransformerSteps::open(model).await?;
    let latents = Size::square(transformer.sizes().sample_size);
    let batch = if habits.guidance > 1.0 { 2 } else { 1 };
    let size = StepSize { batch, latents, text: habits.prompt_tokens };

    let mut text = Preparation::default();
    parts.conditioner.describe(batch, habits.prompt_tokens, &mut text)?;
    let given = transformer.given(size).await?;
    let dense = model.registry().policies.policy(&Compression::policy("dense"), &transformer.trained, 0, false)?;
    let steps = dense.steps(&[0.0], transformer.grid(latents)?.tokens());
    let mut step_bytes = 0;
    for step in &steps.distinct {
        step_bytes = step_bytes.max(transformer.step(size, &given, step)?.transient_bytes());
    }
    let decoder = parts.decoder;
    let mut graph = Graph::new();
    let shape = [1, decoder.channels(), latents.height, latents.width];
    let latents = graph.stored("latents", &shape, Element::F32);
    decoder.decode(&mut graph, latents)?;
    let drawing = step_bytes.saturating_add(graph.transient_bytes());
    let computed = drawing.max(text.graph.transient_bytes());
    Ok([given.bytes(), text.given().bytes()].into_iter().fold(computed, u64::saturating_add))
}

/// All the memory of this system, or of the container that this program runs in.
fn system() -> Option<u64> {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let limit = system.cgroup_limits().map_or(u64::MAX, |limits| limits.total_memory);
    Some(system.total_memory().min(limit)).filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use foveate::{Pipeline, Request, Source};

    use super::*;

    fn needs(stored: u64, bytes: [u64; 4]) -> Needs {
        Needs { stored, by_dtype: DTYPES.into_iter().zip(bytes).collect(), working: 10 }
    }

    #[test]
    fn the_most_exact_format_that_fits_is_chosen() {
        let half = needs(200, [400, 200, 100, 50]);
        for (usable, dtype, needs, fits) in [
            (1000, None, 210, true),
            (210, None, 210, true),
            (209, Some(Format::Int8), 110, true),
            (60, Some(Format::Int4), 60, true),
            (59, Some(Format::Int4), 60, false),
        ] {
            assert_eq!(half.choose(usable), Chosen { dtype, needs, fits }, "{usable}");
        }
        // Files in 32 bits: 16 bits come before 8.
        assert_eq!(needs(400, [400, 200, 100, 50]).choose(300).dtype, Some(Format::F16));
        // Files in 4 bits: nothing is smaller.
        let small = needs(50, [400, 200, 100, 50]).choose(20);
        assert_eq!((small.dtype, small.fits), (None, false));
    }

    #[test]
    fn bytes_are_read_out() {
        assert_eq!([5 << 20, 500 << 20, 12 << 30].map(size), ["5.0 MiB", "500 MiB", "12.0 GiB"]);
    }

    #[test]
    fn the_systems_memory_is_known_and_a_strangers_is_not() {
        let host = Caps { memory: MemoryPlace::System, ..Caps::minimum() };
        let memory = found(&host).unwrap();
        assert!(memory.shared && memory.bytes > 64 << 20 && memory.usable() < memory.bytes, "{memory:?}");
        assert!(described(&host).ends_with("the system's"), "{}", described(&host));
        for memory in [MemoryPlace::Unknown, MemoryPlace::Own { bus: String::new() }] {
            let caps = Caps { memory, ..Caps::minimum() };
            assert_eq!((found(&caps), described(&caps).as_str()), (None, "not known"));
        }
        let absent = Caps { memory: MemoryPlace::Own { bus: "ffff:ff:1f.7".into() }, ..Caps::minimum() };
        assert_eq!(found(&absent), None);
    }

    /// A run takes no more than what is said beforehand, and nearly as much where its prompt is as long as can be.
    #[test]
    fn what_is_needed_suffices_for_a_run() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/goldens/pixart_alpha/model");
        pollster::block_on(async {
            let model = Model::open(Source::Folder(folder.into()), LoadOptions::default()).await.unwrap();
            let needs = Needs::of(&model).await.unwrap();
            let bytes: Vec<u64> = needs.by_dtype.iter().map(|(_, bytes)| *bytes).collect();
            // Rows as short as these are padded to whole blocks, so int8 may take more than f16.
            assert!(bytes.iter().max() == bytes.first() && bytes.iter().min() == bytes.last(), "{bytes:?}");
            let device = crate::device::processor(Some(1)).unwrap();
            let pipeline = Pipeline::from_model(&device, model, |_| {}).await.unwrap();
            // Buffers are a little larger than what lies in them.
            let loaded = device.memory().current;
            assert!((needs.stored..needs.stored + 256).contains(&loaded), "{loaded} {needs:?}");
            pipeline.generate(&Request { steps: Some(2), ..Request::prompt("a fox") }).await.unwrap();
            let took = device.memory().peak - loaded;
            assert!(took < needs.working / 2, "{took} {needs:?}");
            // As long as the model reads it.
            pipeline.generate(&Request { steps: Some(2), ..Request::prompt("a fox ".repeat(200)) }).await.unwrap();
            let took = device.memory().peak - loaded;
            assert!((needs.working / 5 * 4..needs.working).contains(&took), "{took} {needs:?}");
        });
    }
}
