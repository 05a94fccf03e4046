//! What the user fills in: a request, and how many pictures of it.

use std::hash::{BuildHasher, Hasher, RandomState};

use foveate::Request;
use foveate_studio::Origin;
use serde::{Deserialize, Serialize};

use crate::engine::ModelFacts;
use crate::input::Beginning;

/// A request under way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Form {
    /// What is asked for.
    pub request: Request,
    /// Whether the seed stays as it is; else each drawing takes a new one.
    pub keep_seed: bool,
    /// Pictures to draw, with seeds that follow each other.
    pub pictures: usize,
    /// The picture to begin with, and what becomes of it.
    pub beginning: Option<Beginning>,
    /// Whether to record which tokens are computed.
    pub traced: bool,
}

impl Default for Form {
    fn default() -> Self {
        let request = Request { seed: roll(), ..Request::prompt("a red mushroom in a meadow by day") };
        Self { request, keep_seed: false, pictures: 1, beginning: None, traced: false }
    }
}

impl Form {
    /// The requests of one press of the button, one a picture. Takes a new seed, unless it is to be kept.
    pub fn draw(&mut self, model: Option<&ModelFacts>) -> Vec<Request> {
        if !self.keep_seed {
            self.request.seed = roll();
        }
        (0..self.pictures.max(1) as u64).map(|at| self.request(self.request.seed.wrapping_add(at), model)).collect()
    }

    /// What the model is asked for: without what it does not take.
    fn request(&self, seed: u64, model: Option<&ModelFacts>) -> Request {
        let mut request = Request { seed, count: None, ..self.request.clone() };
        request.negative = request.negative.filter(|text| !text.trim().is_empty());
        if self.beginning.is_none() {
            (request.strength, request.compression.masked) = (None, None);
        }
        if let Some(model) = model {
            request.traced = self.traced && model.policy(&request.compression).is_some_and(|policy| policy.traces);
            if model.draws_prompts() {
                request.class = None;
            } else {
                (request.prompt, request.negative) = (String::new(), None);
                request.class.get_or_insert_default();
            }
        }
        request
    }

    /// Takes over everything that made a picture. The seed stays, so that the same picture can be drawn. A picture to
    /// begin with stays where one was given then.
    pub fn recall(&mut self, origin: &Origin) {
        self.beginning = self.beginning.take().filter(|_| origin.given.iter().any(|given| given == "image"));
        self.request = Request { count: None, ..origin.request.clone() };
        (self.keep_seed, self.pictures) = (true, 1);
    }
}

/// A new seed: short enough to be read out.
pub fn roll() -> u64 {
    RandomState::new().build_hasher().finish() & 0xffff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_pictures_have_seeds_in_order() {
        let mut form = Form { keep_seed: true, pictures: 3, ..Form::default() };
        (form.request.seed, form.request.negative) = (7, Some(" ".into()));
        let drawn = form.draw(None);
        assert_eq!(drawn.iter().map(|request| request.seed).collect::<Vec<_>>(), [7, 8, 9]);
        assert!(drawn.iter().all(|request| request.negative.is_none() && request.count.is_none()));
        form.keep_seed = false;
        assert_ne!(form.draw(None)[0].seed, 7);
        assert_eq!(form.draw(None).last().map(|last| last.seed), Some(form.request.seed.wrapping_add(2)));
    }

    #[test]
    fn a_recalled_picture_is_drawn_again() {
        let request = Request { seed: 9, steps: Some(4), count: Some(2), ..Request::prompt("a fox") };
        let origin = Origin::new(&request, "scenes", None, "DDIMScheduler");
        let mut form = Form::default();
        form.recall(&origin);
        assert_eq!(form.draw(None), [Request { count: None, ..request }]);
    }
}
