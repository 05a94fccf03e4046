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

/// Says that this process cannot mount, and has its files limited instead.
const LIMITED: &str = "FOVEATE_TEST_LIMITED";

#[test]
fn a_full_disk_loses_nothing_and_is_told() {
    with_disk("a_full_disk_loses_nothing_and_is_told", |disk| {
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
        desk.until("the second fails", |desk| matches!(desk.jobs()[1].state, State::Failed(_)));
        let State::Failed(reason) = desk.jobs()[1].state.clone() else { unreachable!() };
        assert!(reason.starts_with("saving the picture: "), "{reason}");
        assert!(reason.ends_with("Make room on the disk, then retry") && reason.lines().count() == 1, "{reason}");
        desk.until("the user is told", |desk| desk.says("Saving the picture: "));
        desk.until("of the queue, too", |desk| desk.says("Keeping it for the next start: "));
        // What was there is there.
        assert_eq!(desk.pictures().len(), 1);
        assert_eq!(std::fs::read(&desk.pictures()[0]).unwrap(), before);
        assert_eq!(kept(&folder).expect("a whole queue").jobs().len(), 1);
        assert!(desk.says("Picture: a house"));

        disk.free();
        // By itself what could not be kept is kept.
        desk.until("the queue is kept", |_| kept(&folder).is_some_and(|kept| kept.jobs().len() == 2));
        let form = |folder: &TempDir| -> Settings {
            serde_json::from_slice(&std::fs::read(folder.path().join("settings.json")).unwrap()).unwrap()
        };
        desk.until("so is the form", |_| form(&folder).form.request.prompt == "a house by a river");
        desk.until("nothing says otherwise", |desk| !desk.says("Keeping it for the next start: "));
        assert!(desk.says("Saving the picture: "), "the picture is still not there");
        desk.click("Retry: a house by a river");
        desk.until("it is drawn", |desk| done(desk.jobs().last().unwrap().state.clone()));
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

/// Runs the test of this name on a small disk.
fn with_disk(name: &str, test: fn(&Disk)) {
    let folder = tempfile::tempdir().unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(folder.path()).output();
    if mounted.is_ok_and(|mounted| mounted.status.success()) {
        return test(&Disk::Mounted(folder));
    }
    if std::env::var_os(LIMITED).is_some() {
        return test(&Disk::Limited(folder));
    }
    // Whose file becomes too large is ended by a signal. Only a shell can have a program begin with that ignored.
    let mut again = Command::new("sh");
    again.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]).arg(std::env::current_exe().unwrap());
    let status = again.args(["--exact", name, "--nocapture"]).env(LIMITED, "yes").status().unwrap();
    assert!(status.success(), "{name} fails where files are limited");
}
