"""The pipeline goldens: between them every option that pipelines of these classes honour, each model a little different."""

from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler

from .pipelines import Recipe

ALPHA, SIGMA, DIT = "PixArtAlphaPipeline", "PixArtSigmaPipeline", "DiTPipeline"
PROMPT = "  A red Fox in the snow, by the sea at night "
NEGATIVE = "low quality, blurry"


def text(steps: int, seed: int, size: list[int], guidance: float = 4.5, **more) -> dict:
    return {"prompt": PROMPT, "negative": NEGATIVE, "steps": steps, "guidance": guidance, "seed": seed, "size": size, **more}


def label(number: int, steps: int, guidance: float, seed: int, size: list[int]) -> dict:
    return {"class": number, "steps": steps, "guidance": guidance, "seed": seed, "size": size}


# An untrained model predicts noise that is none, and x₀ = (x − σε)/α turns that into latents of hundreds where α is small:
# beside them a block's own contribution vanishes. A schedule that stops at α ≈ 0.2 keeps every step telling.
MILD = {"beta_end": 0.006}
# For goldens whose subject lies outside the transformer.
SMALL = {"num_attention_heads": 2, "num_layers": 1}

RECIPES = {
    "dit_ddim": Recipe(
        "guidance with null label 1000, learned sigma, a clipping scheduler, other time embeddings in every block",
        DIT, DDIMScheduler(), label(207, 4, 4.0, 0, [16, 16]),
        transformer={"out_channels": 8}, trace=True,
    ),
    "dit_nosigma_dpm": Recipe(
        "no learned sigma, patch 1, head width 12, exact gelu, no attention biases, no guidance, odd picture size",
        DIT, DPMSolverMultistepScheduler(**MILD), label(3, 6, 1.0, 42, [20, 20]),
        transformer={
            "attention_head_dim": 12, "num_layers": 1, "patch_size": 1, "sample_size": 5, "num_embeds_ada_norm": 10,
            "activation_fn": "gelu", "attention_bias": False,
        },
        autoencoder={"channels": (6, 4, 10)},
    ),
    "dit_sharded_f16": Recipe(
        "f16 weights in several shards with an index; trailing timesteps, no clipping",
        DIT, DDIMScheduler(beta_schedule="scaled_linear", timestep_spacing="trailing", clip_sample=False, **MILD),
        label(999, 3, 2.5, 1, [16, 16]),
        transformer={"num_attention_heads": 2, "num_layers": 3, "out_channels": 8}, dtype="f16", shard="40KB",
    ),
    "dit_bf16": Recipe(
        "bf16 weights; a model that predicts the sample",
        DIT, DDIMScheduler(prediction_type="sample", timestep_spacing="linspace", set_alpha_to_one=False),
        label(0, 3, 3.0, 2**32 + 5, [16, 16]),
        transformer={"num_attention_heads": 2, "attention_head_dim": 10, "out_channels": 8}, dtype="bf16",
    ),
    "dit_variant_fp16": Recipe(
        "weight files named for the variant fp16, and no others",
        DIT, DPMSolverMultistepScheduler(solver_order=3, **MILD), label(7, 5, 1.0, 5, [12, 12]),
        transformer={"num_layers": 1, "sample_size": 6, "num_embeds_ada_norm": 10, "out_channels": 8}, dtype="f16", variant="fp16",
    ),
    "dit_euler": Recipe(
        "DiTPipeline with a scheduler that scales: the first latents stay unscaled, each step starts from the scaled sample",
        DIT, EulerDiscreteScheduler(**MILD), label(4, 4, 1.0, 6, [12, 12]),
        transformer={"num_layers": 1, "sample_size": 6, "num_embeds_ada_norm": 10}, dtype="f16",
    ),
    "pixart_alpha": Recipe(
        "text path with a negative prompt, no size conditions",
        ALPHA, DPMSolverMultistepScheduler(), text(4, 7, [16, 16]), transformer={}, trace=True,
    ),
    "pixart_alpha_micro": Recipe(
        "resolution and aspect ratio conditions (sample_size 128), a picture far from the native size, higher than wide",
        ALPHA, DPMSolverMultistepScheduler(beta_schedule="scaled_linear", **MILD), text(4, 8, [16, 24]),
        transformer={"sample_size": 128}, trace=True,
    ),
    "pixart_alpha_relu": Recipe(
        "T5 without gates, f16 weights, the text encoder in shards too; initial noise scaled by Euler's first sigma",
        ALPHA, EulerDiscreteScheduler(timestep_spacing="leading", steps_offset=1, **MILD),
        text(3, 9, [16, 16], guidance=2.0),
        text_encoder={"feed_forward_proj": "relu"}, dtype="f16", shard="20KB",
    ),
    "pixart_alpha_one_step": Recipe(
        "one step: PixArt-α then decodes the predicted sample, not the stepped one",
        ALPHA, DDIMScheduler(clip_sample=False, timestep_spacing="trailing", beta_schedule="scaled_linear", **MILD),
        text(1, 10, [16, 16], guidance=3.0), transformer=SMALL, dtype="f16",
    ),
    "pixart_alpha_ddpm": Recipe(
        "a stochastic scheduler: its noise goes on with the generator that drew the latents; empty negative prompt",
        ALPHA, DDPMScheduler(variance_type="fixed_large", clip_sample=False, **MILD), {**text(4, 11, [24, 16]), "negative": ""},
        transformer=SMALL, dtype="f16",
    ),
    "pixart_alpha_sde": Recipe(
        "stochastic DPM-Solver without guidance: one row instead of two",
        ALPHA, DPMSolverMultistepScheduler(algorithm_type="sde-dpmsolver++", **MILD), text(5, 12, [16, 24], guidance=1.0),
        transformer=SMALL, dtype="f16",
    ),
    "pixart_sigma": Recipe(
        "300 tokens, stretched positions, a wide picture, three levels of autoencoder, given latents, tokenizer.json alone",
        SIGMA, DPMSolverMultistepScheduler(use_karras_sigmas=True, solver_order=3, **MILD), text(5, 13, [48, 32]),
        transformer={
            "num_attention_heads": 2, "attention_head_dim": 14, "sample_size": 16, "interpolation_scale": 2, "caption_channels": 14,
        },
        autoencoder={"channels": (4, 6, 8)}, text_encoder={"d_model": 14},
        keep_tokenizer_json=True, given=("latents",), trace=True,
    ),
    "pixart_sigma_flow": Recipe(
        "flow matching by DPM-Solver, patch 1, no learned sigma, bf16, other depth of T5",
        SIGMA, DPMSolverMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0),
        text(4, 14, [24, 16], guidance=3.0, max_sequence_length=64),
        transformer={"patch_size": 1, "out_channels": 4, "sample_size": 6, "caption_channels": 18, "num_layers": 1},
        autoencoder={"channels": (4, 4, 6)}, dtype="bf16",
        text_encoder={"d_model": 18, "num_layers": 3, "num_heads": 2, "d_kv": 11},
    ),
    "pixart_embeds": Recipe(
        "no tokeniser and no text encoder: embeddings are given; no caption projection",
        SIGMA, EulerDiscreteScheduler(use_karras_sigmas=True, beta_schedule="scaled_linear", **MILD),
        {"steps": 4, "guidance": 4.5, "seed": 15, "size": [16, 16]},
        transformer={"caption_channels": None, "cross_attention_dim": 22, "attention_bias": False}, text_encoder=None,
        given=("latents", "prompt_embeds"),
    ),
    "pixart_binning": Recipe(
        "what the pipelines do by default with an odd size: draw at the nearest size of the table, then scale and crop",
        ALPHA, DPMSolverMultistepScheduler(**MILD), text(2, 16, [60, 40], use_resolution_binning=True),
        transformer={**SMALL, "sample_size": 32}, autoencoder={"channels": (4, 4, 4, 8)}, dtype="f16",
    ),
}  # fmt: skip
