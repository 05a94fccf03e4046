//! The picture that drawings begin with: taken, painted on, extended, and kept for the jobs that need it.

use std::path::PathBuf;

use foveate::photo::Border;

use super::App;
use crate::disk::{Errand, Question, Staged, input_name};
use crate::engine::Trouble;
use crate::input::{Beginning, Input};
use crate::views::{Page, Shown};

impl App {
    /// Takes up what an earlier start has left, and removes what nobody needs.
    pub(super) fn restore_inputs(&mut self) {
        let form = self.settings.form.beginning.as_ref();
        // What was put aside may name inputs that nobody else does.
        if !self.places.has_put_aside() {
            let jobs = self.queue.jobs().iter().filter_map(|job| job.beginning.as_ref());
            let used = jobs.chain(form).flat_map(Beginning::files).map(str::to_owned).collect();
            self.clerk.send(Errand::Tidy { inputs: self.places.inputs(), used });
        }
        if let Some(beginning) = form.cloned() {
            self.clerk.send(Errand::BeginAgain { beginning, inputs: self.places.inputs() });
        }
    }

    pub(super) fn begin_with(&mut self, picture: PathBuf) {
        self.clerk.send(Errand::Begin { picture, inputs: self.places.inputs() });
    }

    pub(super) fn begin_without(&mut self) {
        (self.input, self.settings.form.beginning) = (None, None);
        if self.stage.shown == Shown::Mask {
            self.stage.shown = Shown::Live;
        }
    }

    /// To the mask; where there is no picture yet, one is asked for.
    pub(super) fn paint(&mut self) {
        match self.input {
            Some(_) => (self.page, self.stage.shown) = (Page::Draw, Shown::Mask),
            None => self.clerk.ask(Question::Input),
        }
    }

    /// To the picture under way. Where a mask was painted it is kept: a program may be killed at any time.
    pub(super) fn follow(&mut self) {
        if self.stage.shown == Shown::Mask {
            self.keep_mask();
        }
        self.stage.shown = Shown::Live;
    }

    pub(super) fn extend(&mut self, border: Border) {
        if let Some(input) = self.input.clone() {
            // All of the border is shown, whatever the ratio of the canvas.
            self.settings.form.beginning.get_or_insert_default().pad = true;
            self.clerk.send(Errand::Extend { input: Box::new(input), border, inputs: self.places.inputs() });
        }
    }

    /// A picture to begin with is here.
    pub(super) fn begun(&mut self, input: Input) {
        let beginning = self.settings.form.beginning.get_or_insert_default();
        beginning.picture.clone_from(&input.name);
        beginning.mask.clone_from(&input.mask);
        self.input = Some(input);
    }

    /// Whether what the form begins with is here.
    pub(super) fn can_begin(&mut self) -> bool {
        let can = self.input.is_some() || self.settings.form.beginning.is_none();
        if !can {
            let advice = Some("Press Draw again in a moment".into());
            self.notices.trouble(&Trouble { what: "the picture to begin with is still being read".into(), advice });
        }
        can
    }

    /// Keeps what jobs begin with. They join the queue once that is on the disk.
    pub(super) fn stage_jobs(&mut self, mut staged: Staged) {
        let mask = self.input.as_ref().filter(|input| !input.painting.is_empty());
        if mask.is_none() {
            staged.requests.iter_mut().for_each(|request| request.compression.masked = None);
        }
        let (mask, inputs) = (mask.map(|input| input.painting.mask().clone()), self.places.inputs());
        self.clerk.send(Errand::Stage { staged: Box::new(staged), mask, inputs });
    }

    pub(super) fn staged(&mut self, staged: Staged) {
        let Staged { choice, requests, beginning } = staged;
        if let Some(form) = self.settings.form.beginning.as_mut().filter(|form| form.picture == beginning.picture) {
            form.mask.clone_from(&beginning.mask);
        }
        for request in requests {
            self.queue.add_from(choice.clone(), request, Some(beginning.clone()));
        }
    }

    /// Keeps the mask of the form for the next start.
    pub(super) fn keep_mask(&mut self) {
        let (Some(input), Some(beginning)) = (&self.input, &mut self.settings.form.beginning) else { return };
        let mask = (!input.painting.is_empty()).then(|| input.painting.mask().clone());
        beginning.mask = mask.as_ref().map(|mask| input_name(&mask.clone().into()));
        let (choice, beginning) = (self.settings.choice.clone(), beginning.clone());
        let staged = Box::new(Staged { choice, requests: Vec::new(), beginning });
        self.clerk.send(Errand::Stage { staged, mask, inputs: self.places.inputs() });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use foveate::Request;
    use image::RgbImage;

    use super::*;
    use crate::disk::{Places, kept};
    use crate::engine::Choice;
    use crate::input::Painting;
    use crate::state::{Queue, Settings};

    #[test]
    fn what_was_asked_for_just_before_the_end_waits_for_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("settings.json"), r#"{"choice": {"model": "absent"}}"#).unwrap();
        let places = Places::below(folder.path().into()).unwrap();
        let mut app = App::new(places.clone(), None, Arc::new(|| {})).unwrap();
        let picture = RgbImage::new(8, 8);
        let mut painting = Painting::new(8, 8);
        painting.invert();
        app.begun(Input { name: "a.png".into(), shown: picture.clone(), picture, painting, mask: None });
        let beginning = app.settings.form.beginning.clone().unwrap();
        app.stage_jobs(Staged { choice: Choice::default(), requests: vec![Request::prompt("a fox")], beginning });
        drop(app);
        let queue: Queue = kept(&places.queue()).unwrap().unwrap();
        let mask = queue.jobs()[0].beginning.as_ref().unwrap().mask.clone().unwrap();
        assert!(places.inputs().join(&mask).is_file());
        // The form comes back with the same mask, and a new picture without it.
        let settings: Settings = kept(&places.settings()).unwrap().unwrap();
        assert_eq!(settings.form.beginning.unwrap().mask, Some(mask));
        let mut app = App::new(places, None, Arc::new(|| {})).unwrap();
        let picture = RgbImage::new(8, 8);
        let painting = Painting::new(8, 8);
        app.begun(Input { name: "b.png".into(), shown: picture.clone(), picture, painting, mask: None });
        assert_eq!(app.settings.form.beginning.clone().unwrap().mask, None);
    }
}
