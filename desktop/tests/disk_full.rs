//! A disk without room: each thing that cannot be written is one sentence with what to do, nothing that was there is
//! lost, and once there is room everything goes on and is kept.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod common;
mod desk;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use common::{model, origin, settings};
use desk::{CTRL, Desk};
use egui::Key;
use egui_kittest::kittest::Queryable;
use foveate_desktop::state::{Queue, Settings, State};
use tempfile::TempDir;

#[test]
fn a_full_disk_loses_nothing_and_is_told() {
    with_disk(|disk| {
        let folder = Arc::new(tempfile::tempdir_in(disk.folder()).unwrap());
        let first = settings(model("pixart_alpha"), "a house", 1);
        std::fs::write(folder.path().join("settings.json"), serde_json::to_vec(&first).unwrap()).unwrap();
        let mut desk = Desk::again(folder.clone()).opened();
        desk.key(CTRL, Key::Enter);
        desk.until("the first is drawn", |desk| matches!(desk.jobs()[0].state, State::Done(_)));
        let kept = |folder: &TempDir| -> Option<Queue> {
            serde_json::from_slice(&std::fs::read(folder.path().join("queue.json")).ok()?).ok()
        };
        desk.until("the queue says so", |_| kept(&folder).is_some_and(|kept| done(kept.jobs()[0].state.clone())));
        let before = std::fs::read(&desk.pictures()[0]).unwrap();

        disk.fill();
        desk.harness.get_by_label("Prompt").focus();
        desk.harness.step();
        desk.harness.get_by_label("Prompt").type_text(" by a river");
        desk.harness.step();
        desk.key(CTRL, Key::Enter);
        desk.until("the second cannot be saved", |desk| matches!(desk.jobs()[1].state, State::Unsaved(_)));
        let State::Unsaved(reason) = desk.jobs()[1].state.clone() else { unreachable!() };
        assert!(reason.starts_with("saving the picture: "), "{reason}");
        let advice = "Make room on the disk; the picture is then saved by itself";
        assert!(reason.ends_with(advice) && reason.lines().count() == 1, "{reason}");
        desk.until("the user is told", |desk| desk.says("Saving the picture: "));
        desk.until("of the queue, too", |desk| desk.says("Keeping it for the next start: "));
        // What was there is there.
        assert_eq!(desk.pictures().len(), 1);
        assert_eq!(std::fs::read(&desk.pictures()[0]).unwrap(), before);
        assert_eq!(kept(&folder).expect("a whole queue").jobs().len(), 1);
        assert!(desk.says("Picture: a house"));
        // There is no room for the next one either, which waits; and trying is no help yet.
        desk.until("it is shown all the same", |desk| desk.says("drawn, not saved") && desk.says("The picture"));
        desk.key(CTRL, Key::Enter);
        desk.click("Save: a house by a river");
        desk.settle();
        let states = |desk: &Desk| desk.jobs().iter().map(|job| job.state.clone()).collect::<Vec<_>>();
        assert!(matches!(&states(&desk)[1..], [State::Unsaved(_), State::Waiting]), "{:?}", states(&desk));

        disk.free();
        // By itself what could not be kept is kept, and what could not be saved is saved: it is not drawn again.
        desk.until("the picture is saved", |desk| matches!(&states(desk)[1], State::Done(_)));
        desk.until("the queue is kept", |_| kept(&folder).is_some_and(|kept| kept.jobs().len() == 3));
        let form = |folder: &TempDir| -> Settings {
            serde_json::from_slice(&std::fs::read(folder.path().join("settings.json")).unwrap()).unwrap()
        };
        desk.until("so is the form", |_| form(&folder).form.request.prompt == "a house by a river");
        desk.until("nothing says otherwise", |desk| !desk.says("Keeping it for the next start: "));
        assert!(!desk.says("Saving the picture: "));
        desk.until("the next one is drawn", |desk| states(desk).into_iter().all(done));
        assert_eq!(desk.pictures().len(), 3);
        assert_eq!(origin(&desk.pictures()[1]).request.prompt, "a house by a river");
        drop(desk);
        assert!(kept(&folder).unwrap().jobs().iter().all(|job| done(job.state.clone())));
    });
}

fn done(state: State) -> bool {
    matches!(state, State::Done(_))
}

/// A disk of a few megabytes. Where nobody may mount one, files that may not grow.
enum Disk {
    Mounted(TempDir),
    Limited(TempDir),
}

impl Disk {
    fn folder(&self) -> &Path {
        match self {
            Self::Mounted(folder) | Self::Limited(folder) => folder.path(),
        }
    }

    fn filler(&self) -> PathBuf {
        self.folder().join("filler")
    }

    /// Leaves no room.
    fn fill(&self) {
        match self {
            Self::Limited(_) => limit("64:"),
            Self::Mounted(_) => {
                let mut file = std::fs::File::create(self.filler()).unwrap();
                let full = (0..).find_map(|_| file.write_all(&[0; 4096]).err()).unwrap();
                assert_eq!(full.kind(), std::io::ErrorKind::StorageFull, "{full}");
            }
        }
    }

    fn free(&self) {
        match self {
            Self::Limited(_) => limit("unlimited:"),
            Self::Mounted(_) => std::fs::remove_file(self.filler()).unwrap(),
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Self::Mounted(folder) = self {
            let unmounted = Command::new("umount").arg(folder.path()).status();
            assert!(unmounted.is_ok_and(|status| status.success()), "the disk stays mounted");
        }
    }
}

/// How large files of this process may become.
fn limit(bytes: &str) {
    let me = std::process::id().to_string();
    let limited = Command::new("prlimit").args(["--pid", &me, &format!("--fsize={bytes}")]).status();
    assert!(limited.is_ok_and(|status| status.success()), "prlimit is missing: apt-get install util-linux");
}

/// Runs a test on a small disk.
fn with_disk(test: fn(&Disk)) {
    let folder = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(folder.path()).output();
    if mounted.is_ok_and(|mounted| mounted.status.success()) {
        return test(&Disk::Mounted(folder));
    }
    foveate_studio::output::limits_are_errors().unwrap();
    test(&Disk::Limited(folder));
}
