"""KV token compression for goldens: self-attention whose keys and values are pooled over the token grid, written out as plainly
as it can be said (PixArt-Σ, arXiv 2403.04692)."""

import json
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

WEIGHTS = "diffusion_pytorch_model.safetensors"
TENSORS = ["sr.weight", "sr.bias", "norm.weight", "norm.bias"]


@dataclass
class Compression:
    """What a compressed golden adds to its recipe, in the authors' words: `kv_compress_config`."""

    sampling: str
    scale_factor: int
    kv_compress_layer: list[int] = field(default_factory=list)

    def config(self) -> dict:
        return asdict(self)


def pool(tokens, grid, sampling: str, stride: int, weights: dict):
    """tokens [B, h·w, C] → [B, ⌊h/R⌋·⌊w/R⌋, C]; weights: those of TENSORS, for "conv"."""
    h, w = (side // stride * stride for side in grid)  # the remainder is no key
    image = tokens.unflatten(1, grid).movedim(-1, 1)  # [B, C, h, w]
    if sampling == "conv":
        kernel, bias = weights["sr.weight"], weights["sr.bias"]
        pooled = F.conv2d(image, kernel, bias, stride=stride, groups=len(kernel))
    elif sampling == "uniform":
        pooled = image[:, :, :h:stride, :w:stride]
    elif sampling == "ave":  # as the authors' code has it, which is no average
        pooled = F.interpolate(image[:, :, :h, :w], scale_factor=1 / stride, mode="nearest")
    elif sampling == "average":
        pooled = F.avg_pool2d(image, stride)
    pooled = pooled.flatten(2).mT  # [B, n, C]
    if sampling == "conv":
        pooled = F.layer_norm(pooled, pooled.shape[-1:], weights["norm.weight"], weights["norm.bias"], eps=1e-5)
    return pooled


def attention(module, x, grid, sampling: str, stride: int, weights: dict):
    """Self-attention of x [B, h·w, C]: all queries, pooled keys and values."""

    def heads(rows):
        return rows.unflatten(-1, (module.heads, -1)).transpose(1, 2)  # [B, H, rows, D]

    q = heads(module.to_q(x))
    k, v = (heads(pool(project(x), grid, sampling, stride, weights)) for project in [module.to_k, module.to_v])
    mixed = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v
    return module.to_out[0](mixed.transpose(1, 2).flatten(2))


@contextmanager
def compressed(transformer, config: dict, weights: dict[int, dict]):
    """Makes a loaded transformer one with compressed keys and values; `weights` by layer."""
    grid = []

    def note_grid(_module, arguments, options):
        latents = options.get("hidden_states", arguments[0] if arguments else None)
        grid[:] = [side // transformer.config.patch_size for side in latents.shape[2:]]

    def forward_of(layer: int, module):
        def forward(x, encoder_hidden_states=None, attention_mask=None, **_unused):
            assert encoder_hidden_states is None and attention_mask is None
            return attention(module, x, grid, config["sampling"], config["scale_factor"], weights[layer])

        return forward

    hook = transformer.register_forward_pre_hook(note_grid, with_kwargs=True)
    modules = {layer: transformer.transformer_blocks[layer].attn1 for layer in config["kv_compress_layer"]}
    for layer, module in modules.items():
        module.forward = forward_of(layer, module)
    yield
    hook.remove()
    for module in modules.values():
        del module.forward


def draw(layers: list[int], width: int, stride: int, seed: int) -> dict[int, dict]:
    """Weights under which each of them matters: taps about the mean's, all of them different."""
    generator = torch.Generator("cpu").manual_seed(seed)

    def noise(*shape: int):
        return torch.randn(shape, generator=generator)

    return {
        layer: {
            "sr.weight": 1 / stride**2 + 0.5 / stride * noise(width, 1, stride, stride),
            "sr.bias": 0.3 * noise(width),
            "norm.weight": 1 + 0.3 * noise(width),
            "norm.bias": 0.3 * noise(width),
        }
        for layer in layers
    }


def store(folder: Path, compression: Compression, seed: int) -> None:
    """Puts the config into a transformer's folder, and for "conv" the weights, in the dtype of the others."""
    document = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**document, "kv_compress_config": compression.config()}, indent=2) + "\n")
    if compression.sampling == "conv":
        weights = load_file(folder / WEIGHTS)
        known = weights["transformer_blocks.0.attn1.to_q.weight"]
        drawn = draw(compression.kv_compress_layer, len(known), compression.scale_factor, seed)
        for layer, tensors in drawn.items():
            weights |= {f"transformer_blocks.{layer}.attn1.{name}": value.to(known.dtype) for name, value in tensors.items()}
        save_file(weights, str(folder / WEIGHTS), metadata={"format": "pt"})


def load(folder: Path) -> tuple[dict, dict[int, dict]]:
    """The config's entry, and the weights in f32, as rounded in the file."""
    config = json.loads((folder / "config.json").read_text())["kv_compress_config"]
    weights = load_file(folder / WEIGHTS)
    prefixes = {layer: f"transformer_blocks.{layer}.attn1." for layer in config["kv_compress_layer"]}
    found = {
        layer: {name: weights[prefix + name].float() for name in TENSORS if prefix + name in weights}
        for layer, prefix in prefixes.items()
    }
    return config, found
