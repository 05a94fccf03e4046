//! Whether the renderer keeps its promise: of all frames with a picture in them, 99 of 100 neither kept the host nor the
//! device longer than twice their budget; all of them together took no longer than 1.5 times what the picture takes in
//! one piece; and the picture is the same to the byte.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use foveate::{Error, Gpu, Result, Run, Viewer};
use pollster::block_on;

use crate::renderer::{Frame, Renderer};
use crate::{BUDGET, draw};

/// Other work of a machine disturbs some tries.
const MOST_TRIES: usize = 10;

/// What a picture within frames was like.
struct Trial {
    frames: Vec<Frame>,
    /// From the first frame to the last.
    within_frames: Duration,
    in_one_piece: Duration,
}

/// Draws pictures within frames and in one piece, and compares.
/// `begin` prepares one. `tries`: how many, whatever comes out; none: until one is as it should be.
pub fn judge(
    renderer: &mut Renderer,
    gpu: &Gpu,
    begin: impl Fn() -> Result<(Run, Viewer)>,
    tries: Option<usize>,
) -> Result<ExitCode> {
    let (mut ratios, mut kept) = (Vec::new(), false);
    for _ in 0..tries.unwrap_or(MOST_TRIES) {
        let trial = trial(renderer, gpu, &begin)?;
        println!("{trial}");
        kept |= trial.is_kept();
        ratios.push(trial.ratio());
        if kept && tries.is_none() {
            break;
        }
    }
    ratios.sort_by(f64::total_cmp);
    let [least, median, most] = [0, ratios.len() / 2, ratios.len() - 1].map(|at| ratios[at]);
    println!("within frames it takes {median:.2} times as long as in one piece ({least:.2} to {most:.2})");
    Ok(if kept { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn trial(renderer: &mut Renderer, gpu: &Gpu, begin: impl Fn() -> Result<(Run, Viewer)>) -> Result<Trial> {
    let (mut run, mut viewer) = begin()?;
    renderer.show(None);
    renderer.idle()?;
    // The frame that showed the picture before has waited for that picture in one piece: it is not of this trial.
    renderer.take_frames();
    let clock = Instant::now();
    let texture = draw(renderer, &mut run, &mut viewer)?;
    renderer.idle()?;
    let within_frames = clock.elapsed();
    let frames = renderer.take_frames();
    renderer.show(Some(texture));
    renderer.frame(|_| Ok(()))?;
    block_on(run.check())?;
    let picture = block_on(viewer.rgba())?;

    let (mut run, viewer) = begin()?;
    // The decoder in one piece, too.
    gpu.set_slice(Duration::MAX);
    let clock = Instant::now();
    while let Some(step) = run.next_step() {
        let mut encoder = gpu.encoder();
        step.encode(&mut encoder)?;
        gpu.submit(encoder);
    }
    viewer.texture()?;
    block_on(gpu.wait())?;
    let in_one_piece = clock.elapsed();
    gpu.set_slice(BUDGET);
    match picture == block_on(viewer.rgba())? {
        true => Ok(Trial { frames, within_frames, in_one_piece }),
        false => Err(Error::Usage("the picture within frames is another than that in one piece".into())),
    }
}

impl Trial {
    fn ratio(&self) -> f64 {
        self.within_frames.as_secs_f64() / self.in_one_piece.as_secs_f64()
    }

    /// Frames that kept the host or the device too long.
    fn late(&self) -> usize {
        self.frames.iter().filter(|frame| frame.called.max(frame.ran) > 2 * BUDGET).count()
    }

    fn is_kept(&self) -> bool {
        100 * self.late() <= self.frames.len() && self.ratio() <= 1.5
    }

    /// What all but a hundredth of the frames took at most.
    fn ninety_nine(&self, what: impl Fn(&Frame) -> Duration) -> Duration {
        let mut all: Vec<Duration> = self.frames.iter().map(what).collect();
        all.sort();
        all.get((99 * all.len()).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default()
    }
}

impl std::fmt::Display for Trial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [called, ran] = [self.ninety_nine(|frame| frame.called), self.ninety_nine(|frame| frame.ran)];
        let (late, of) = (self.late(), self.frames.len());
        write!(
            f,
            "{late} of {of} frames too late; 99 of 100 calls within {called:.1?}, submissions within {ran:.1?}; "
        )?;
        write!(f, "{:.2?} within frames, {:.2?} in one piece", self.within_frames, self.in_one_piece)
    }
}
