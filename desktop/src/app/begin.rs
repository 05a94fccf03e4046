//! The picture that drawings begin with: taken, painted on, extended, and kept for the jobs that need it.

use std::path::PathBuf;

use foveate::photo::Border;

use super::App;
use crate::disk::{Errand, Question, Staged};
use crate::engine::Trouble;
use crate::input::{Beginning, Input, Marks};
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
        let Some(input) = &self.input else { return };
        let (picture, marks) = (input.name.clone(), input.painting.marks().clone());
        // All of the border is shown, whatever the ratio of the canvas.
        self.settings.form.beginning.get_or_insert_default().pad = true;
        self.clerk.send(Errand::Extend { picture, marks, border, inputs: self.places.inputs() });
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
        let marks = self.input.as_ref().and_then(painted);
        if marks.is_none() {
            staged.requests.iter_mut().for_each(|request| request.compression.masked = None);
        }
        self.clerk.send(Errand::Stage { staged: Box::new(staged), marks, inputs: self.places.inputs() });
    }

    pub(super) fn staged(&mut self, staged: Staged) {
        let Staged { choice, requests, beginning } = staged;
        self.mask_kept(&beginning.picture, beginning.mask.clone());
        for request in requests {
            self.queue.add_from(choice.clone(), request, Some(beginning.clone()));
        }
    }

    /// Keeps the mask of the form for the next start.
    pub(super) fn keep_mask(&mut self) {
        if let Some(input) = &self.input {
            let (picture, marks) = (input.name.clone(), painted(input));
            self.clerk.send(Errand::KeepMask { picture, marks, inputs: self.places.inputs() });
        }
    }

    pub(super) fn mask_kept(&mut self, picture: &str, mask: Option<String>) {
        if let Some(form) = self.settings.form.beginning.as_mut().filter(|form| form.picture == picture) {
            form.mask = mask;
        }
    }
}

/// What is painted on a picture, where anything is.
fn painted(input: &Input) -> Option<Marks> {
    (!input.painting.is_empty()).then(|| input.painting.marks().clone())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use foveate::Request;
    use image::RgbImage;
    use tempfile::TempDir;

    use super::*;
    use crate::disk::{Places, kept};
    use crate::engine::Choice;
    use crate::input::Painting;
    use crate::state::{Queue, Settings};
    use crate::testing::busy;

    /// An app without a model, in a folder of its own.
    fn app(folder: &TempDir) -> (App, Places) {
        std::fs::write(folder.path().join("settings.json"), r#"{"choice": {"model": "absent"}}"#).unwrap();
        let places = Places::below(folder.path().into()).unwrap();
        (App::new(places.clone(), None, Arc::new(|| {})).unwrap(), places)
    }

    fn input(name: &str, side: u32, painting: Painting) -> Input {
        Input { name: name.into(), size: (side, side), shown: RgbImage::new(8, 8), painting, mask: None }
    }

    #[test]
    fn what_was_asked_for_just_before_the_end_waits_for_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let (mut app, places) = app(&folder);
        let mut painting = Painting::new(8, 8);
        painting.invert();
        app.begun(input("a.png", 8, painting));
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
        app.begun(input("b.png", 8, Painting::new(8, 8)));
        assert_eq!(app.settings.form.beginning.clone().unwrap().mask, None);
    }

    /// A picture of a hundred million pixels holds up no frame: what takes long is left to the clerk.
    #[test]
    fn a_large_picture_holds_up_no_frame() {
        const SIDE: u32 = 10_000;
        let folder = tempfile::tempdir().unwrap();
        let (mut app, places) = app(&folder);
        // No file is made of so many masks.
        std::fs::remove_dir(places.inputs()).unwrap();
        let mut painting = Painting::new(SIDE, SIDE);
        painting.stroke([1000.0, 1000.0], [9000.0, 8000.0], 700.0, true);
        app.begun(input("absent.png", SIDE, painting));
        let jobs = |app: &App| {
            let beginning = app.settings.form.beginning.clone().unwrap();
            Staged { choice: Choice::default(), requests: vec![Request::prompt("a fox")], beginning }
        };
        type Act = fn(&mut App, Staged);
        let acts: [(&str, Act); 3] = [
            ("drawing", |app, jobs| app.stage_jobs(jobs)),
            ("leaving the mask", |app, _| app.follow()),
            ("a border", |app, _| app.extend(Border::default())),
        ];
        for (what, act) in acts {
            let took = (0..2).map(|_| {
                let jobs = jobs(&app);
                app.stage.shown = Shown::Mask;
                busy(|| {
                    act(&mut app, jobs);
                    // The clerk still has what it was sent.
                    app.input.as_mut().unwrap().painting.stroke([5.0, 5.0], [900.0, 900.0], 90.0, true);
                })
            });
            let took = took.min().unwrap();
            assert!(took < Duration::from_millis(50), "{what} takes {took:?}");
        }
    }
}
