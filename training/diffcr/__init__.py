"""DiffCR (arXiv 2412.16822) over diffusers' PixArt and DiT transformers: routed blocks, kept ratios, model folders.

    from training.diffcr import load_routed
    pipeline = load_routed("assets/scenes", policy="diffcr")          # the checkpoint's own kept ratios
    pipeline = load_routed("assets/scenes", policy="diffcr", ratio=0.5)
"""

from .blocks import route, set_kept, use_schedule
from .folder import Settings, load_routed, save_folder
from .ratios import BINS, LearnedRatios, kept_tokens, region, rescale, snap

__all__ = (
    "BINS", "LearnedRatios", "Settings", "kept_tokens", "load_routed", "region", "rescale", "route", "save_folder", "set_kept", "snap",
    "use_schedule",
)  # fmt: skip
