//! The system's own dialogs for folders and files, on a thread of their own: they stay open as long as people think.

use std::time::{Duration, Instant};

use rfd::AsyncFileDialog;

use super::report::{Question, Report, Voice};
use crate::engine::Trouble;

/// Nobody dismisses a dialog so soon: on Linux it was never shown.
const AT_ONCE: Duration = Duration::from_millis(300);

/// Opens the dialog. It has to begin on the window's thread, where some systems want it; its answer is waited for
/// elsewhere.
pub(super) fn ask(question: Question, voice: Voice) {
    let dialog = AsyncFileDialog::new();
    let png = |dialog: AsyncFileDialog| dialog.add_filter("PNG pictures", &["png"]);
    let answer: std::pin::Pin<Box<dyn Future<Output = Option<rfd::FileHandle>> + Send>> = match &question {
        Question::Model => Box::pin(dialog.set_title("A model folder").pick_folder()),
        Question::Picture => Box::pin(png(dialog).set_title("A picture drawn by Foveate").pick_file()),
        Question::Input => {
            let pictures = dialog.add_filter("Pictures", &["png", "jpg", "jpeg", "webp"]);
            Box::pin(pictures.set_title("A picture to begin with").pick_file())
        }
        Question::Copy(picture) => {
            let name = picture.file_name().unwrap_or_default().to_string_lossy();
            Box::pin(png(dialog).set_title("Save a copy").set_file_name(name).save_file())
        }
    };
    let wait = move || {
        let asked = Instant::now();
        match pollster::block_on(answer) {
            Some(file) => voice.say(Report::Picked(question, file.path().to_owned())),
            None if cfg!(target_os = "linux") && asked.elapsed() < AT_ONCE => {
                let what = "the system shows no dialog for files".into();
                let advice = "Drop the file on the window, or install zenity or a portal of the desktop".to_owned();
                voice.say(Report::Failed(Trouble { what, advice: Some(advice) }));
            }
            None => {}
        }
    };
    // A dialog whose answer nobody can wait for is as good as one that was dismissed.
    if let Err(error) = std::thread::Builder::new().name("dialog".into()).spawn(wait) {
        log::warn!("no thread for a dialog: {error}");
    }
}
