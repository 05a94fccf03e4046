"""The goldens of KV token compression: every way to pool, each where a mistake in it moves the result."""

from contextlib import nullcontext
from pathlib import Path

from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler

from . import kv, pipelines
from .kv import Compression
from .pipelines import Recipe
from .recipes import ALPHA, DIT, MILD, SIGMA, label

# Text comes as embeddings: what these goldens are for lies beyond it.
WORDS = {"text_encoder": None, "given": ("latents", "prompt_embeds"), "dtype": "f16"}


def transformer(layers: int, **more) -> dict:
    width = {"num_attention_heads": 2, "attention_head_dim": 8, "caption_channels": None, "cross_attention_dim": 14}
    return {**width, "num_layers": layers, **more}


def request(steps: int, seed: int, size: list[int]) -> dict:
    return {"steps": steps, "guidance": 4.5, "seed": seed, "size": size}


RECIPES = {
    "conv": (
        Recipe(
            "a convolution of stride 2 in two of three layers; a grid of 8 × 8; f32",
            SIGMA, DPMSolverMultistepScheduler(**MILD), request(3, 40, [16, 16]), transformer=transformer(3),
            autoencoder={"channels": (4,)}, **{**WORDS, "dtype": "f32"},
        ),
        Compression("conv", 2, [1, 2]),
    ),
    "conv_odd": (
        Recipe(
            "a convolution of stride 3 in layers that are no neighbours; a grid of 7 × 11, whose last row and columns are no keys",
            ALPHA, EulerDiscreteScheduler(**MILD), request(3, 41, [88, 56]), transformer=transformer(3, attention_head_dim=10),
            autoencoder={"channels": (4, 4, 4)}, **WORDS,
        ),
        Compression("conv", 3, [0, 2]),
    ),
    "uniform": (
        Recipe(
            "the top left token of each square; stride 2 on a grid of 7 × 6",
            SIGMA, DPMSolverMultistepScheduler(**MILD), request(3, 42, [48, 56]), transformer=transformer(2),
            autoencoder={"channels": (4, 4, 4)}, **WORDS,
        ),
        Compression("uniform", 2, [0, 1]),
    ),
    "ave": (
        Recipe(
            "the authors' name for resizing by nearest neighbour; stride 4 on a grid of 8 × 12",
            SIGMA, DDIMScheduler(clip_sample=False, **MILD), request(2, 43, [24, 16]), transformer=transformer(2),
            autoencoder={"channels": (4,)}, **WORDS,
        ),
        Compression("ave", 4, [1]),
    ),
    "average": (
        Recipe(
            "the mean of each square; stride 2 on a grid of 5 × 9; no biases",
            SIGMA, DPMSolverMultistepScheduler(**MILD), request(3, 44, [72, 40]), transformer=transformer(3, attention_bias=False),
            autoencoder={"channels": (4, 4, 4)}, **WORDS,
        ),
        Compression("average", 2, [1, 2]),
    ),
}  # fmt: skip

# One step without guidance: what the transformer predicts at timestep 999 for class 0.
DIT_POLICY = Recipe(
    "a model that knows nothing of compression, under the policy kv: stride 3 on a grid of 8 × 8, all layers",
    DIT, DDIMScheduler(timestep_spacing="trailing", clip_sample=False), label(0, 1, 1.0, 45, [16, 16]),
    transformer={"num_attention_heads": 2, "out_channels": 8, "num_embeds_ada_norm": 10, "patch_size": 1},
    dtype="f16",
)  # fmt: skip
DIT_COMPRESSION = Compression("average", 3, [0, 1])


def mistakes(config: dict, weights: dict) -> dict[str, tuple[dict, dict]]:
    """By name, what would be another compression: config and weights."""

    def changed(name: str, change) -> dict:
        return {layer: {**of, name: change(of[name])} for layer, of in weights.items()}

    found = {
        "none": ({**config, "kv_compress_layer": []}, weights),
        "another layer": ({**config, "kv_compress_layer": config["kv_compress_layer"][:-1]}, weights),
    }
    if config["sampling"] == "conv":
        found["taps transposed"] = config, changed("sr.weight", lambda taps: taps.mT)
        found["no bias"] = config, changed("sr.bias", lambda bias: 0 * bias)
        found["no norm's weight"] = config, changed("norm.weight", lambda weight: 1 + 0 * weight)
        found["no norm's bias"] = config, changed("norm.bias", lambda bias: 0 * bias)
    else:
        other = "uniform" if config["sampling"] == "average" else "average"
        found["another sampling"] = {**config, "sampling": other}, weights
        found["another stride"] = {**config, "scale_factor": config["scale_factor"] - 1}, weights
    return found


def off(found: dict, expected: dict) -> float:
    names = [name for name in expected if name.startswith("noise_pred.")]
    return max(((found[name] - expected[name]).norm() / expected[name].norm()).item() for name in names)


def write_golden(recipe: Recipe, out: Path, config: dict, weights: dict, **more) -> None:
    def run(config, weights):
        def within(pipe, _seen):
            return kv.compressed(pipe.transformer, config, weights) if config["kv_compress_layer"] else nullcontext()

        return pipelines.run(recipe, out / "model", within)

    given, before, expected = run(config, weights)
    for name, mistake in mistakes(config, weights).items():
        moved = off(run(*mistake)[2], expected)
        assert moved > 1e-3, f"{name} moves a noise prediction by no more than {moved:.1e}"
    pipelines.finish(recipe, out, given, before, expected, **more)


def writer(recipe: Recipe, compression: Compression):
    def write(out: Path) -> None:
        pipelines.save(recipe, out)
        folder = out / "model" / "transformer"
        kv.store(folder, compression, recipe.request["seed"])
        write_golden(recipe, out, *kv.load(folder))

    return write


def write_dit_policy(out: Path) -> None:
    pipelines.save(DIT_POLICY, out)
    config = DIT_COMPRESSION.config()
    weights = {layer: {} for layer in DIT_COMPRESSION.kv_compress_layer}
    chosen = {"stride": "3", "sampling": "average", "layers": "0-1"}
    write_golden(DIT_POLICY, out, config, weights, compress="kv", set=chosen)
