//! The stored values of the denoising loop.

/// The latents `[L, C, H, W]`, updated by every step.
pub const LATENTS: &str = "latents";
/// The model's guided output of the last step, `[L, C, H, W]`.
pub const GUIDED: &str = "guided";
/// The converted outputs of the last two steps, for schedulers that look back, `[L, C, H, W]` each.
pub const HISTORY: [&str; 2] = ["history.1", "history.2"];
/// The noise that the loop began with, before the scheduler scales it, `[L, C, H, W]`.
pub const FIRST_NOISE: &str = "noise.first";
/// This step's row of the schedule.
pub const STEP: &str = "step";
/// What a stochastic step draws, `[L, C, H, W]`.
pub const NOISE: &str = "noise";
/// The latents of the picture that is kept outside the mask, `[1, C, H, W]`.
pub const KNOWN: &str = "known";
/// Where the latents are drawn anew, `[1, 1, H, W]`.
pub const MASK: &str = "mask";
/// What a model that fills in sees beside its latents, `[1, 1 + C, H, W]`: the mask, and what is left of the picture.
pub const SHOWN: &str = "shown";
