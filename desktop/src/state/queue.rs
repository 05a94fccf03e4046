//! The queue: what is to be drawn, what is, and what became of it. It is kept on the disk after every change, so that a
//! program that was killed comes back with it.

use std::path::PathBuf;

use foveate::Request;
use serde::{Deserialize, Serialize};

use crate::engine::Choice;
use crate::input::Beginning;

/// Finished jobs that are remembered; the pictures themselves are in the history.
const REMEMBERED: usize = 30;

/// A picture to draw.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Unique within the queue.
    pub id: u64,
    /// What it is drawn with.
    pub choice: Choice,
    /// What is drawn.
    pub request: Request,
    /// The picture that it begins with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beginning: Option<Beginning>,
    /// How far it is.
    pub state: State,
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum State {
    /// It will be drawn.
    Waiting,
    /// It is being drawn.
    Running,
    /// It is drawn, but could not be saved, for this reason. That is tried again.
    Unsaved(String),
    /// It is drawn, and here.
    Done(PathBuf),
    /// It failed, for this reason.
    Failed(String),
    /// The user stopped it.
    Cancelled,
}

/// Jobs in their order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Queue {
    jobs: Vec<Job>,
    next: u64,
    /// Whether waiting jobs wait for the user: those of an earlier start do.
    #[serde(skip)]
    pub paused: bool,
    /// Whether it changed since it was last kept.
    #[serde(skip)]
    changed: bool,
}

impl Queue {
    /// As it comes back from the disk: what was being drawn, or could not be saved, waits again, and nothing begins by
    /// itself.
    pub fn restored(mut self) -> Self {
        self.set_all(State::is_at_work, || State::Waiting);
        self.paused = self.waiting() > 0;
        // Ids are unique even where the file was edited.
        self.next = self.jobs.iter().map(|job| job.id + 1).fold(self.next, u64::max);
        self
    }

    /// The jobs in their order.
    pub fn jobs(&self) -> &[Job] {
        &self.jobs
    }

    /// The job of this id.
    pub fn get(&self, id: u64) -> Option<&Job> {
        self.jobs.iter().find(|job| job.id == id)
    }

    /// Adds a job at the end that begins with noise; returns its id.
    pub fn add(&mut self, choice: Choice, request: Request) -> u64 {
        self.add_from(choice, request, None)
    }

    /// Adds a job at the end that may begin with a picture; returns its id.
    pub fn add_from(&mut self, choice: Choice, request: Request, beginning: Option<Beginning>) -> u64 {
        let id = self.next;
        self.next += 1;
        self.jobs.push(Job { id, choice, request, beginning, state: State::Waiting });
        (self.paused, self.changed) = (false, true);
        id
    }

    /// The job that is being drawn.
    pub fn running(&self) -> Option<&Job> {
        self.jobs.iter().find(|job| job.state == State::Running)
    }

    /// The job whose picture could not be saved yet.
    pub fn unsaved(&self) -> Option<&Job> {
        self.jobs.iter().find(|job| matches!(job.state, State::Unsaved(_)))
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.jobs.iter().filter(|job| job.state == State::Waiting).count()
    }

    /// Begins the next job that waits, where none runs or is still to be saved, and the queue is not paused.
    pub fn begin(&mut self) -> Option<&Job> {
        if self.paused || self.jobs.iter().any(|job| job.state.is_at_work()) {
            return None;
        }
        let job = self.jobs.iter_mut().find(|job| job.state == State::Waiting)?;
        job.state = State::Running;
        self.changed = true;
        Some(job)
    }

    /// Notes what became of a job. A job that was cancelled meanwhile stays so, unless it was finished all the same.
    pub fn end(&mut self, id: u64, state: State) {
        let finished = matches!(state, State::Done(_));
        if let Some(job) = self.jobs.iter_mut().find(|job| job.id == id)
            && (finished || job.state == State::Running)
        {
            job.state = state;
            self.changed = true;
        }
        self.forget_old();
    }

    /// Lets a job wait again, at the end of the queue. Returns its new id: what is still told of the first attempt is
    /// not about the second.
    pub fn retry(&mut self, id: u64) -> Option<u64> {
        let at = self.jobs.iter().position(|job| job.id == id && job.is_over())?;
        let Job { choice, request, beginning, .. } = self.jobs.remove(at);
        Some(self.add_from(choice, request, beginning))
    }

    /// Cancels a job that waits, runs or is still to be saved; returns whether it was running.
    pub fn cancel(&mut self, id: u64) -> bool {
        let Some(job) = self.jobs.iter_mut().find(|job| job.id == id && !job.is_over()) else { return false };
        let was_running = job.state == State::Running;
        job.state = State::Cancelled;
        self.changed = true;
        was_running
    }

    /// Cancels all that wait.
    pub fn cancel_waiting(&mut self) {
        self.set_all(|state| *state == State::Waiting, || State::Cancelled);
    }

    /// Moves a waiting job before the waiting job in front of it, or behind the one after it.
    pub fn shift(&mut self, id: u64, earlier: bool) {
        let waiting: Vec<usize> = (0..self.jobs.len()).filter(|&at| self.jobs[at].state == State::Waiting).collect();
        let Some(place) = waiting.iter().position(|&at| self.jobs[at].id == id) else { return };
        let other = if earlier { place.checked_sub(1) } else { Some(place + 1) };
        if let Some(&other) = other.and_then(|other| waiting.get(other)) {
            self.jobs.swap(waiting[place], other);
            self.changed = true;
        }
    }

    /// Forgets all jobs that are over.
    pub fn clear(&mut self) {
        self.jobs.retain(|job| !job.is_over());
        self.changed = true;
    }

    /// The queue as it is to be kept, where it changed since it was asked last.
    pub fn to_keep(&mut self) -> Option<Vec<u8>> {
        // Plain data with text for keys: it always serialises.
        std::mem::take(&mut self.changed).then(|| serde_json::to_vec_pretty(self).ok()).flatten()
    }

    /// What was returned last was not kept.
    pub fn forget_kept(&mut self) {
        self.changed = true;
    }

    fn set_all(&mut self, which: impl Fn(&State) -> bool, to: impl Fn() -> State) {
        for job in self.jobs.iter_mut().filter(|job| which(&job.state)) {
            job.state = to();
            self.changed = true;
        }
    }

    fn forget_old(&mut self) {
        let over = self.jobs.iter().filter(|job| job.is_over()).count();
        let mut superfluous = over.saturating_sub(REMEMBERED);
        self.jobs.retain(|job| {
            let old = job.is_over() && superfluous > 0;
            superfluous -= usize::from(old);
            !old
        });
    }
}

impl Job {
    /// Whether nothing more becomes of it by itself.
    pub fn is_over(&self) -> bool {
        self.state != State::Waiting && !self.state.is_at_work()
    }
}

impl State {
    /// Whether it is being drawn, or still to be saved: the next job begins after that.
    pub fn is_at_work(&self) -> bool {
        matches!(self, Self::Running | Self::Unsaved(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(prompts: &[&str]) -> Queue {
        let mut queue = Queue::default();
        for prompt in prompts {
            queue.add(Choice::default(), Request::prompt(*prompt));
        }
        queue
    }

    fn waiting(queue: &Queue) -> Vec<&str> {
        let waiting = queue.jobs().iter().filter(|job| job.state == State::Waiting);
        waiting.map(|job| job.request.prompt.as_str()).collect()
    }

    #[test]
    fn one_runs_at_a_time_and_the_rest_can_be_ordered() {
        let mut queue = queue(&["a", "b", "c"]);
        assert_eq!(queue.begin().map(|job| job.id), Some(0));
        assert!(queue.begin().is_none());
        queue.shift(2, true);
        queue.shift(2, true); // the first already: the running one is not passed
        assert_eq!(waiting(&queue), ["c", "b"]);
        queue.shift(2, false);
        assert_eq!(waiting(&queue), ["b", "c"]);
        queue.end(0, State::Failed("no".into()));
        queue.retry(0);
        assert_eq!(waiting(&queue), ["b", "c", "a"]);
    }

    #[test]
    fn the_first_attempt_says_nothing_about_the_second() {
        let mut queue = queue(&["a"]);
        queue.begin();
        assert!(queue.cancel(0));
        assert_eq!(queue.retry(0), Some(1));
        assert_eq!(queue.begin().map(|job| job.id), Some(1));
        queue.end(0, State::Cancelled);
        assert_eq!(queue.running().map(|job| job.id), Some(1));
        assert_eq!(queue.retry(1), None);
    }

    #[test]
    fn what_is_finished_is_kept_when_the_rest_is_cancelled() {
        let mut queue = queue(&["a", "b", "c"]);
        queue.begin();
        queue.end(0, State::Done("a.png".into()));
        assert_eq!(queue.begin().map(|job| job.id), Some(1));
        assert!(queue.cancel(1) && !queue.cancel(1) && !queue.cancel(0));
        queue.end(1, State::Failed("too late".into()));
        assert_eq!(queue.get(1).map(|job| &job.state), Some(&State::Cancelled));
        queue.cancel_waiting();
        let states: Vec<_> = queue.jobs().iter().map(|job| job.state.clone()).collect();
        assert_eq!(states, [State::Done("a.png".into()), State::Cancelled, State::Cancelled]);
        queue.clear();
        assert!(queue.jobs().is_empty());
    }

    #[test]
    fn a_picture_that_is_still_to_be_saved_holds_up_the_next_one() {
        let mut queue = queue(&["a", "b"]);
        queue.begin();
        queue.end(0, State::Unsaved("no room".into()));
        assert!(queue.begin().is_none() && queue.running().is_none());
        assert_eq!(queue.unsaved().map(|job| job.id), Some(0));
        queue.cancel_waiting();
        queue.clear();
        assert_eq!(queue.jobs().len(), 1, "what is finished is not lost");
        assert_eq!(waiting(&queue.clone().restored()), ["a"], "the next start has no picture of it");
        queue.end(0, State::Done("a.png".into()));
        queue.add(Choice::default(), Request::prompt("c"));
        assert_eq!(queue.begin().map(|job| job.id), Some(2));
        queue.end(2, State::Unsaved("no room".into()));
        assert!(!queue.cancel(2) && queue.unsaved().is_none());
    }

    #[test]
    fn a_killed_program_comes_back_with_its_queue() {
        let mut before = queue(&["a", "b"]);
        before.begin();
        let kept = before.to_keep().unwrap();
        assert!(before.to_keep().is_none());
        let mut after = serde_json::from_slice::<Queue>(&kept).unwrap().restored();
        assert_eq!(waiting(&after), ["a", "b"]);
        assert!(after.paused && after.begin().is_none());
        assert_eq!(after.add(Choice::default(), Request::prompt("c")), 2);
        assert_eq!(after.begin().map(|job| job.id), Some(0));
    }

    #[test]
    fn old_jobs_are_forgotten() {
        let mut queue = queue(&["x"; 100]);
        while let Some(id) = queue.begin().map(|job| job.id) {
            queue.end(id, State::Done("x.png".into()));
        }
        assert_eq!(queue.jobs().len(), REMEMBERED);
        assert_eq!(queue.jobs()[0].id, 70);
    }
}
