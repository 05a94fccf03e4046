//! The stored values of the denoising loop.

/// The latents `[L, C, H, W]`, updated by every step.
pub const LATENTS: &str = "latents";
/// The model's guided output of the last step, `[L, C, H, W]`.
pub const GUIDED: &str = "guided";
/// The converted outputs of the last two steps, for schedulers that look back, `[L, C, H, W]` each.
pub const HISTORY: [&str; 2] = ["history.1", "history.2"];
/// This step's row of the schedule.
pub const STEP: &str = "step";
/// What a stochastic step draws, `[L, C, H, W]`.
pub const NOISE: &str = "noise";
