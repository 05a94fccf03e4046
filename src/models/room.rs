//! What one run may hold: asked before anything is computed or allocated.

use crate::graph::Caps;
use crate::size::bytes;
use crate::{Refusal, Result};

/// Bytes that the tensors of one run may take on the host, while they are prepared and when they come back. Far more
/// than any run needs that a device can hold, and less than most computers have. In a browser the whole address space
/// is 4 GiB.
pub const HOST_BYTES: u64 = if cfg!(target_arch = "wasm32") { 1 << 30 } else { 4 << 30 };

/// The room that is left for a run.
#[derive(Clone, Debug)]
pub struct Room {
    /// None: no device is at hand.
    caps: Option<Caps>,
    /// Bytes left on the host.
    left: u64,
}

impl Default for Room {
    /// The host's room, for any device.
    fn default() -> Self {
        Self { caps: None, left: HOST_BYTES }
    }
}

impl Room {
    /// The room of a run on such a device.
    pub fn on(caps: &Caps) -> Self {
        Self { caps: Some(caps.clone()), ..Self::default() }
    }

    /// Takes room for a tensor that is made on the host and handed to the device.
    pub fn tensor(&mut self, what: &str, shape: &[usize]) -> Result<()> {
        self.buffer(what, shape)?;
        self.host(what, shape)
    }

    /// Asks whether the device can hold a tensor.
    pub fn buffer(&self, what: &str, shape: &[usize]) -> Result<()> {
        let Some(caps) = &self.caps else { return Ok(()) };
        caps.check_tensor(&described(what, shape), bytes(shape))
    }

    /// Takes room on the host alone.
    pub fn host(&mut self, what: &str, shape: &[usize]) -> Result<()> {
        match self.left.checked_sub(bytes(shape)) {
            Some(left) => self.left = left,
            None => {
                let unit = "bytes of this computer's memory are taken by one run";
                return Err(Refusal::TooLarge { what: described(what, shape), most: HOST_BYTES, unit }.into());
            }
        }
        Ok(())
    }
}

fn described(what: &str, shape: &[usize]) -> String {
    format!("{what} {shape:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_ends_on_the_device_and_on_the_host() {
        let mut room = Room::on(&Caps::minimum());
        let error = room.tensor("the tokens", &[1 << 40, 1 << 40]).unwrap_err().to_string();
        assert!(error.contains("the tokens [1099511627776, 1099511627776] needs max_buffer_size"), "{error}");
        room.buffer("x", &[32 << 20]).unwrap();
        assert!(room.buffer("x", &[(32 << 20) + 1]).is_err());

        let gib = [256 << 20];
        for _ in 0..HOST_BYTES >> 30 {
            room.host("x", &gib).unwrap();
        }
        let error = room.host("x", &[1]).unwrap_err();
        assert!(error.is_usage() && error.to_string().contains("x [1] is too large: at most"), "{error}");
    }
}
