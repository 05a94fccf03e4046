"""What `cargo bench --bench processor` measures, by PyTorch eager: python3 benches/processor_torch.py [threads] [part of a name].

A line each: name, milliseconds, GFLOP/s. Milliseconds are the best of many runs.
"""

import sys
import time

import torch
from torch import nn
from torch.nn import functional

WIDTH, HEADS, DEPTH, CHANNELS = 384, 6, 12, 16
SECONDS = 1.5


class Block(nn.Module):
    """A DiT block (adaLN-Zero) over `x [B, N, C]`, conditioned on `c [B, C]`."""

    def __init__(self):
        super().__init__()
        self.ada = nn.Linear(WIDTH, 6 * WIDTH)
        self.norm1 = nn.LayerNorm(WIDTH, eps=1e-6, elementwise_affine=False)
        self.norm2 = nn.LayerNorm(WIDTH, eps=1e-6, elementwise_affine=False)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x, c):
        shift1, scale1, gate1, shift2, scale2, gate2 = (part.unsqueeze(1) for part in self.ada(functional.silu(c)).chunk(6, 1))
        x = x + gate1 * self.out(attend(self.qkv(self.norm1(x) * (1 + scale1) + shift1), HEADS))
        hidden = functional.gelu(self.up(self.norm2(x) * (1 + scale2) + shift2), approximate="tanh")
        return x + gate2 * self.down(hidden)


class DiT(nn.Module):
    """The transformer of DiT-S/2, from patches to patches."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(CHANNELS, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.ada = nn.Linear(WIDTH, 2 * WIDTH)
        self.norm = nn.LayerNorm(WIDTH, eps=1e-6, elementwise_affine=False)
        self.project = nn.Linear(WIDTH, 2 * CHANNELS)

    def forward(self, x, c):
        x = self.embed(x)
        for block in self.blocks:
            x = block(x, c)
        shift, scale = (part.unsqueeze(1) for part in self.ada(functional.silu(c)).chunk(2, 1))
        return self.project(self.norm(x) * (1 + scale) + shift)


def attend(qkv, heads):
    """Self-attention of a packed `qkv [B, N, 3·C]`."""
    batch, tokens, width = qkv.shape
    q, k, v = qkv.reshape(batch, tokens, 3, heads, width // 3 // heads).permute(2, 0, 3, 1, 4).unbind(0)
    mixed = functional.scaled_dot_product_attention(q, k, v)
    return mixed.transpose(1, 2).reshape(batch, tokens, width // 3)


def measure(name, run, flops):
    """Prints the best of many runs."""
    if ONLY not in name:
        return
    best, runs, start = float("inf"), 0, time.perf_counter()
    with torch.inference_mode():
        while runs < 5 or (time.perf_counter() - start < SECONDS and runs < 500):
            began = time.perf_counter()
            run()
            best, runs = min(best, time.perf_counter() - began), runs + 1
    print(f"{name} {best * 1e3:.3f} {flops / best / 1e9:.1f}")


if __name__ == "__main__":
    ONLY = sys.argv[2] if len(sys.argv) > 2 else ""
    if len(sys.argv) > 1:
        torch.set_num_threads(int(sys.argv[1]))
    model = DiT().eval()
    for name, tokens in [("dit_s_2", 256), ("dit_s_2_1024", 1024)]:
        x, c = torch.randn(2, tokens, CHANNELS), torch.randn(2, WIDTH)
        block = 24 * WIDTH * WIDTH * 2 * tokens + 4 * 2 * tokens * tokens * WIDTH
        measure(name, lambda: model(x, c), DEPTH * block)
    for rows, inputs, outputs in [(1024, 1024, 1024), (512, 384, 1536), (512, 1536, 384), (2048, 1152, 1152)]:
        x, linear = torch.randn(rows, inputs), nn.Linear(inputs, outputs, bias=False)
        measure(f"product_{rows}_{inputs}_{outputs}", lambda: linear(x), 2 * rows * inputs * outputs)
    for batch, heads, tokens, dim in [(2, 6, 256, 64), (2, 6, 1024, 64), (2, 16, 256, 72), (1, 1, 1024, 512)]:
        qkv = torch.randn(batch, tokens, 3 * heads * dim)
        flops = 4 * batch * heads * tokens * tokens * dim
        measure(f"attention_{batch}_{heads}_{tokens}_{dim}", lambda: attend(qkv, heads), flops)
