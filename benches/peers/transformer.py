"""DiT and PixArt in plain PyTorch, as lean as the engine computes them: q, k and v in one product, and the text's keys and
values once. What `torch_peer.py` times, and what is exported for onnxruntime.

Shapes: B samples, N tokens, C channels, S tokens of text.
"""

import json
import math
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional


class Transformer(nn.Module):
    """A step: from `latents [1, 4, H, W]` and `timestep [1]` to the prediction `[B, 8 or 4, H, W]`."""

    def __init__(self, model: Path, given: dict[str, Tensor]):
        """The transformer of a model's folder, with what every step is given."""
        super().__init__()
        config = json.loads((model / "transformer/config.json").read_text())
        weights = load_file(model / "transformer/diffusion_pytorch_model.safetensors")
        weights = {name: tensor.float() for name, tensor in weights.items()}
        self.patch, heads, dit = config["patch_size"], config["num_attention_heads"], "classes" in given
        self.batch = len(given["classes" if dit else "text"])
        self.register_buffer("positions", given["positions"])
        self.register_buffer("frequencies", frequencies(shift=1 if dit else 0))
        patch_embed = weights["pos_embed.proj.weight"].flatten(1), weights["pos_embed.proj.bias"]
        self.embed = layer(*patch_embed)
        blocks = range(config["num_layers"])
        if dit:
            conditions = [OwnCondition(weights, f"transformer_blocks.{i}.norm1", given["classes"]) for i in blocks]
            self.shared, self.final = None, OwnCondition(weights, "transformer_blocks.0.norm1", given["classes"], "proj_out_1")
            crosses, project = [None for _ in blocks], "proj_out_2"
        else:
            self.shared = SharedCondition(weights)
            conditions = [Table(weights[f"transformer_blocks.{i}.scale_shift_table"]) for i in blocks]
            self.final = Table(weights["scale_shift_table"])
            text = given["text"]
            if "caption_projection.linear_1.weight" in weights:
                hidden = functional.gelu(named(weights, "caption_projection.linear_1")(text), approximate="tanh")
                text = named(weights, "caption_projection.linear_2")(hidden)
            crosses = [Cross(weights, f"transformer_blocks.{i}.attn2", text, heads) for i in blocks]
            project = "proj_out"
        eps = (1e-6 if dit else config["norm_eps"], config["norm_eps"])
        self.blocks = nn.ModuleList(
            Block(weights, f"transformer_blocks.{i}", heads, eps, conditions[i], crosses[i]) for i in blocks
        )
        self.project = named(weights, project)

    def forward(self, latents: Tensor, timestep: Tensor) -> Tensor:
        _, channels, height, width = latents.shape
        rows, columns, p = height // self.patch, width // self.patch, self.patch
        patches = latents.reshape(1, channels, rows, p, columns, p).permute(0, 2, 4, 1, 3, 5)
        x = self.embed(patches.reshape(1, rows * columns, channels * p * p)) + self.positions
        x = x.expand(self.batch, -1, -1)  # [B, N, C]
        angles = timestep[:, None] * self.frequencies
        waves = torch.cat([angles.cos(), angles.sin()], dim=1)
        given, final = (waves, waves) if self.shared is None else self.shared(waves)
        for block in self.blocks:
            x = block(x, given)
        shift, scale = self.final(final)
        patches = self.project(norm(x, 1e-6) * (1 + scale) + shift)
        patches = patches.reshape(self.batch, rows, columns, p, p, -1).permute(0, 5, 1, 3, 2, 4)
        return patches.reshape(self.batch, -1, height, width)


class Block(nn.Module):
    """A block over `x [B, N, C]`."""

    def __init__(self, weights, name, heads, eps, condition, cross):
        super().__init__()
        self.heads, self.eps, self.condition, self.cross = heads, eps, condition, cross
        self.qkv = named(weights, *(f"{name}.attn1.to_{part}" for part in "qkv"))
        self.out = named(weights, f"{name}.attn1.to_out.0")
        self.up, self.down = named(weights, f"{name}.ff.net.0.proj"), named(weights, f"{name}.ff.net.2")

    def forward(self, x: Tensor, given: Tensor) -> Tensor:
        shift1, scale1, gate1, shift2, scale2, gate2 = self.condition(given)
        q, k, v = self.qkv(norm(x, self.eps[0]) * (1 + scale1) + shift1).chunk(3, dim=2)
        x = x + gate1 * self.out(attend(q, k, v, self.heads))
        if self.cross is not None:
            x = x + self.cross(x)
        hidden = functional.gelu(self.up(norm(x, self.eps[1]) * (1 + scale2) + shift2), approximate="tanh")
        return x + gate2 * self.down(hidden)


class Cross(nn.Module):
    """Attention to the text, whose keys and values are the same in every step."""

    def __init__(self, weights, name, text, heads):
        super().__init__()
        self.heads = heads
        self.q, self.out = named(weights, f"{name}.to_q"), named(weights, f"{name}.to_out.0")
        keys, values = named(weights, f"{name}.to_k", f"{name}.to_v")(text).chunk(2, dim=2)
        self.register_buffer("keys", keys.contiguous())
        self.register_buffer("values", values.contiguous())
        # A real prompt masks its padding: the bias is added, though it is 0 here.
        self.register_buffer("bias", torch.zeros(len(text), 1, 1, text.shape[1]))

    def forward(self, x: Tensor) -> Tensor:
        return self.out(attend(self.q(x), self.keys, self.values, self.heads, self.bias))


class OwnCondition(nn.Module):
    """DiT: `waves [1, 256]` to a layer's chunks `[B, 1, C]`, through an embedding of timestep and class of the block's own."""

    def __init__(self, weights, name, classes, layer=None):
        super().__init__()
        self.first = named(weights, f"{name}.emb.timestep_embedder.linear_1")
        self.second = named(weights, f"{name}.emb.timestep_embedder.linear_2")
        self.register_buffer("classes", weights[f"{name}.emb.class_embedder.embedding_table.weight"][classes])
        self.linear = named(weights, layer or f"{name}.linear")

    def forward(self, waves: Tensor) -> tuple[Tensor, ...]:
        timestep = self.second(functional.silu(self.first(waves)))
        emb = self.linear(functional.silu(self.classes + timestep))
        return emb.unsqueeze(1).chunk(self.linear.out_features // self.classes.shape[1], dim=2)


class SharedCondition(nn.Module):
    """PixArt: `waves [1, 256]` to the chunks `[1, 6, C]` of all blocks, and what the output layer is given, `[1, 1, C]`."""

    def __init__(self, weights):
        super().__init__()
        self.first = named(weights, "adaln_single.emb.timestep_embedder.linear_1")
        self.second = named(weights, "adaln_single.emb.timestep_embedder.linear_2")
        self.linear = named(weights, "adaln_single.linear")

    def forward(self, waves: Tensor) -> tuple[Tensor, Tensor]:
        embedded = self.second(functional.silu(self.first(waves)))
        return self.linear(functional.silu(embedded)).unflatten(1, (6, -1)), embedded.unsqueeze(1)


class Table(nn.Module):
    """A block's own part `[M, C]` of the chunks."""

    def __init__(self, table):
        super().__init__()
        self.register_buffer("table", table)

    def forward(self, given: Tensor) -> tuple[Tensor, ...]:
        return (self.table + given).split(1, dim=1)


def attend(q, k, v, heads, bias=None):
    q, k, v = (part.unflatten(2, (heads, -1)).transpose(1, 2) for part in (q, k, v))
    mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
    return mixed.transpose(1, 2).flatten(2)


def norm(x, eps):
    return functional.layer_norm(x, x.shape[-1:], eps=eps)


def frequencies(shift):
    """Of the timestep's 128 cosines and sines, as diffusers has them."""
    return torch.exp(-math.log(10000) * torch.arange(128, dtype=torch.float32) / (128 - shift))


def named(weights, *names):
    """One layer of those with these names, their outputs side by side."""
    return layer(*(torch.cat([weights[f"{name}.{part}"] for name in names]) for part in ("weight", "bias")))


def layer(weight, bias):
    linear = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    linear.weight, linear.bias = nn.Parameter(weight, requires_grad=False), nn.Parameter(bias, requires_grad=False)
    return linear
