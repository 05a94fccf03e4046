"""The three networks and the noise schedule, as diffusers and transformers classes built from a preset."""

from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, PixArtTransformer2DModel
from transformers import T5Config, T5EncoderModel

from .presets import PATCH, Preset


def autoencoder(preset: Preset) -> AutoencoderKL:
    levels = len(preset.vae_channels)
    return AutoencoderKL(
        sample_size=preset.picture,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=preset.vae_channels,
        latent_channels=preset.latent_channels,
        layers_per_block=1,
        norm_num_groups=8,
        scaling_factor=1.0,  # train_vae.py folds the normalisation of the latents into the 1×1 convolutions
        force_upcast=False,
    )


def transformer(preset: Preset, latent: int | None = None) -> PixArtTransformer2DModel:
    """For latents of another edge than the preset's, positions are stretched so that a place in the picture keeps its position."""
    latent = latent or preset.latent
    return PixArtTransformer2DModel(
        sample_size=latent,
        interpolation_scale=None if latent == preset.latent else latent / preset.latent,
        patch_size=PATCH,
        in_channels=preset.latent_channels,
        out_channels=preset.latent_channels,
        num_layers=preset.depth,
        num_attention_heads=preset.heads,
        attention_head_dim=preset.width // preset.heads,
        cross_attention_dim=preset.width,
        caption_channels=preset.text_width,
        num_embeds_ada_norm=1000,
        use_additional_conditions=False,
    )


def text_encoder(preset: Preset) -> T5EncoderModel:
    config = T5Config(
        vocab_size=preset.vocabulary,
        d_model=preset.text_width,
        d_kv=32,
        num_heads=preset.text_width // 32,
        d_ff=2 * preset.text_width,
        num_layers=preset.text_depth,
        relative_attention_num_buckets=32,
        relative_attention_max_distance=128,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,
        initializer_factor=1.0,
        pad_token_id=0,
        eos_token_id=1,
    )
    return T5EncoderModel(config)


def scheduler() -> DPMSolverMultistepScheduler:
    """A variance-preserving schedule over 1000 timesteps; the network predicts the clean latents."""
    return DPMSolverMultistepScheduler(
        num_train_timesteps=1000,
        beta_start=0.0001,
        beta_end=0.02,
        beta_schedule="linear",
        prediction_type="sample",
        algorithm_type="dpmsolver++",
        solver_order=2,
    )
