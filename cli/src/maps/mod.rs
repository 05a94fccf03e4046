//! `--maps`: where the policy computed, as pictures. Two for every layer and step, one for the run, and a sheet.
//!
//! It costs a readback of scores and kept tokens after every step; the picture is the same.

mod cells;
mod colour;
mod folder;
mod heat;
mod sheet;
mod text;
mod trail;

use std::path::PathBuf;

use foveate::{Error, Pictures, Result, Run};
use foveate_studio::About;

pub use folder::{Folder, Staged};
pub use trail::{Routing, StepTrail, Trail};

use super::cancel::Cancel;
use cells::Cells;
use heat::Scale;
use sheet::Sheet;
use trail::of_sample;

/// Refuses a run that has nothing to map.
pub fn check(run: &Run) -> Result<()> {
    match run.kept_ratios() {
        Some(_) => Ok(()),
        None => Err(Error::Usage(format!(
            "--maps: this model has no routers, so it runs {} and every layer computes every token",
            run.policy()
        ))),
    }
}

/// Writes all maps of all pictures beside their place. `about` is what the pictures say of themselves.
pub fn stage(
    folder: &Folder,
    trail: &Trail,
    run: &Run,
    pictures: &Pictures,
    about: &About,
    cancel: &Cancel,
) -> Result<Staged> {
    let mut staged = folder.stage()?;
    for index in 0..pictures.len() {
        let maps = Maps::new(trail, run, pictures, index, about)?;
        maps.write(&mut staged, folder::of_picture(index, pictures.len()), cancel)?;
    }
    Ok(staged)
}

/// The maps of one picture.
struct Maps<'a> {
    trail: &'a Trail,
    run: &'a Run,
    about: &'a About,
    index: usize,
    picture: image::RgbImage,
    /// Its row in the batch: the conditional one, where guidance has two.
    sample: usize,
    cells: Cells,
    touched: Vec<f32>,
}

impl<'a> Maps<'a> {
    fn new(trail: &'a Trail, run: &'a Run, pictures: &Pictures, index: usize, about: &'a About) -> Result<Self> {
        let (picture, sample) = (pictures.rgb(index)?, run.conditional_sample(index));
        let touched = trail.touched(sample);
        if touched.len() != run.grid().tokens() {
            return Err(Error::shape("maps", format!("{} tokens were traced, of {}", touched.len(), run.grid())));
        }
        let cells = Cells::new(run.grid(), picture.width(), picture.height())?;
        Ok(Self { trail, run, about, index, picture, sample, cells, touched })
    }

    fn write(&self, staged: &mut Staged, under: PathBuf, cancel: &Cancel) -> Result<()> {
        let mut write = |name: &str, map: &image::RgbImage, more: &[(&str, String)]| {
            staged.write(under.join(name), &self.about.png(map, self.index, more)?)
        };
        for (step, StepTrail { timestep, layers }) in self.trail.0.iter().enumerate() {
            cancel.check()?;
            for (layer, routing) in layers.iter().enumerate() {
                let [scores, kept] = [&routing.scores, &routing.kept].map(|tensor| of_sample(tensor, self.sample));
                let stem = folder::of_layer([step, layer], self.trail.size());
                let place = |map: &str, meaning: String| {
                    let place = format!("step {step}, timestep {timestep}, layer {layer}");
                    [("map", map.to_owned()), ("map-of", place), ("map-scale", meaning)]
                };
                let Scale { least, most } = Scale::of(scores);
                let about = place("router scores", format!("{least:.4} to {most:.4}"));
                write(&format!("{stem}-scores.png"), &heat::values(&self.picture, self.cells, scores), &about)?;
                let share = kept.iter().sum::<f32>();
                let about =
                    place("kept tokens", format!("{share} of {} tokens kept; the dark ones were not", kept.len()));
                write(&format!("{stem}-kept.png"), &heat::kept(&self.picture, self.cells, kept), &about)?;
            }
        }
        let touched = heat::values(&self.picture, self.cells, &self.touched);
        let Scale { least, most } = Scale::of(&self.touched);
        let [steps, layers] = self.trail.size();
        let scale = format!("{least} to {most} of {} (layer, step) pairs", layers * steps);
        write("touched.png", &touched, &[("map", "pairs that kept a token".into()), ("map-scale", scale)])?;
        write("sheet.png", &self.sheet(&touched)?, &[("map", "sheet".into())])
    }

    fn sheet(&self, touched: &image::RgbImage) -> Result<image::RgbImage> {
        let Some(ratios) = self.run.kept_ratios() else {
            return Err(Error::shape("maps", "the run has no kept ratios"));
        };
        let [steps, layers] = self.trail.size();
        let share = self.touched.iter().sum::<f32>() / (self.touched.len() * steps * layers).max(1) as f32;
        let sheet = Sheet {
            title: self.title(),
            subtitle: format!(
                "{}: {layers} layers, {steps} steps, {:.0} % of tokens kept",
                self.run.policy(),
                100.0 * share
            ),
            ratios,
            timesteps: self.trail.0.iter().map(|step| step.timestep).collect(),
            picture: heat::plain(&self.picture, self.cells),
            touched,
            scale: Scale::of(&self.touched),
            pairs: steps * layers,
        };
        sheet.draw()
    }

    /// The prompt or the class.
    fn title(&self) -> String {
        let request = &self.about.origin.request;
        request.class.map_or_else(|| request.prompt.trim().to_owned(), |class| format!("class {class}"))
    }
}
