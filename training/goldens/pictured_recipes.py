"""The goldens that begin with a picture: image-to-image, latent blending and mask channels, under every kind of scheduler."""

from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler

from .pictured import Pictured
from .pipelines import Recipe
from .recipes import ALPHA, DIT, MILD, SIGMA, SMALL, label, text

# Mask and masked latents beside the noisy ones.
FILLS_IN = {"in_channels": 9}

RECIPES = {
    "change_dpm": Pictured(
        Recipe(
            "image-to-image under a solver that looks back: its first step is of the first order again",
            ALPHA, DPMSolverMultistepScheduler(solver_order=3, **MILD), text(6, 30, [16, 24]), transformer=SMALL,
        ),
        0.7,
    ),
    "change_euler": Pictured(
        Recipe(
            "image-to-image in samples of unbounded noise level; a small strength",
            ALPHA, EulerDiscreteScheduler(timestep_spacing="leading", steps_offset=1, **MILD), text(5, 31, [24, 16], guidance=2.0),
            transformer=SMALL, dtype="f16",
        ),
        0.41,
    ),
    "change_flow": Pictured(
        Recipe(
            "image-to-image on the straight line from image to noise; all of the strength",
            SIGMA, DPMSolverMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=3.0),
            text(4, 32, [16, 16], guidance=3.0), transformer=SMALL,
        ),
        1.0,
    ),
    "change_dit": Pictured(
        Recipe(
            "image-to-image by a class-conditional model under a clipping scheduler",
            DIT, DDIMScheduler(**MILD), label(207, 5, 3.0, 33, [16, 16]), transformer={"out_channels": 8, "num_layers": 1},
        ),
        0.8,
    ),
    "blend_dpm": Pictured(
        Recipe(
            "latent blending from pure noise; the mask ends within latent pixels",
            ALPHA, DPMSolverMultistepScheduler(**MILD), text(4, 34, [16, 24]), transformer=SMALL,
        ),
        1.0, (slice(4, 17), slice(6, 11)),
    ),
    "blend_ddpm": Pictured(
        Recipe(
            "latent blending from a noised picture; a stochastic scheduler goes on with the generator that drew all else",
            ALPHA, DDPMScheduler(variance_type="fixed_large", clip_sample=False, **MILD), text(5, 35, [24, 16]),
            transformer=SMALL, dtype="f16",
        ),
        0.65, (slice(0, 16), slice(8, 24)),
    ),
    "blend_dit_euler": Pictured(
        Recipe(
            "latent blending by a class-conditional model with a scheduler that scales",
            DIT, EulerDiscreteScheduler(**MILD), label(4, 4, 2.0, 36, [12, 12]),
            transformer={"num_layers": 1, "sample_size": 6, "out_channels": 8},
        ),
        1.0, (slice(2, 9), slice(2, 12)),
    ),
    "masked_dpm": Pictured(
        Recipe(
            "masked compute: tokens under the mask and around it attend to a context from the last whole step",
            ALPHA, DPMSolverMultistepScheduler(**MILD), text(5, 40, [32, 24]), transformer={},
        ),
        1.0, (slice(4, 12), slice(4, 9)), (3, 1),
    ),
    "masked_dit": Pictured(
        Recipe(
            "masked compute from a noised picture, no tokens around the mask, one whole step",
            DIT, DDIMScheduler(**MILD), label(207, 5, 3.0, 41, [24, 24]), transformer={"out_channels": 8},
        ),
        0.9, (slice(8, 20), slice(0, 12)), (9, 0),
    ),
    "fill_in": Pictured(
        Recipe(
            "mask channels: mask and masked latents beside the noisy ones, from pure noise",
            ALPHA, DPMSolverMultistepScheduler(**MILD), text(4, 37, [16, 16]), transformer={**SMALL, **FILLS_IN},
        ),
        1.0, (slice(4, 12), slice(4, 16)),
    ),
    "fill_in_euler": Pictured(
        Recipe(
            "mask channels are not scaled with the sample; from a noised picture",
            SIGMA, EulerDiscreteScheduler(**MILD), text(5, 38, [24, 16], guidance=2.0), transformer={**SMALL, **FILLS_IN}, dtype="f16",
        ),
        0.8, (slice(0, 8), slice(10, 24)),
    ),
}
