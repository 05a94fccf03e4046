//! The few options of the program, for tests and for people with two screens or two disks.

use std::path::PathBuf;

use foveate_desktop::disk::Places;

use crate::loss::{AFTER_LOSS, LOSE_DEVICE};

const HELP: &str = "foveate-app: Foveate in a window

Options:
  --data DIR       keep pictures, queue and settings in DIR, instead of the system's place for them
  --startup-time   print how long the window and the model took to open, then close
  --lose-device    destroy the window's device when the model is open, for tests: the app starts itself again
  --help           this
  --version        the version";

/// What the program was started with.
#[derive(Debug)]
pub struct Arguments {
    /// Where everything is kept.
    pub places: Places,
    /// Whether only the start is timed.
    pub startup_time: bool,
    /// Whether the window's device is to be lost.
    pub lose_device: bool,
    /// Whether the program has started itself after the loss of its device.
    pub after_loss: bool,
}

impl Arguments {
    /// Reads them. None where they only asked for help, which is given.
    pub fn of_program() -> Result<Option<Self>, String> {
        let mut data = None;
        let [mut startup_time, mut lose_device, mut after_loss] = [false; 3];
        let mut words = std::env::args_os().skip(1);
        while let Some(word) = words.next() {
            match word.to_str() {
                Some("--data") => data = Some(PathBuf::from(words.next().ok_or("--data needs a folder")?)),
                Some("--startup-time") => startup_time = true,
                Some(LOSE_DEVICE) => lose_device = true,
                Some(AFTER_LOSS) => after_loss = true,
                Some("--help" | "-h") => {
                    println!("{HELP}");
                    return Ok(None);
                }
                Some("--version" | "-V") => {
                    println!("foveate-app {}", env!("CARGO_PKG_VERSION"));
                    return Ok(None);
                }
                _ => return Err(format!("there is no option {word:?}; --help lists them")),
            }
        }
        let root = data.or_else(|| eframe::storage_dir("Foveate"));
        let root = root.ok_or("this system has no place for the data of programs; give --data DIR")?;
        let places = Places::below(root).map_err(|error| error.chain().join(": "))?;
        Ok(Some(Self { places, startup_time, lose_device, after_loss }))
    }
}
