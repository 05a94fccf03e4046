"""LoRA on the blocks' matrices, by peft, and back: merged, the weights have their old names and nothing of peft is left."""

import re

from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from torch import nn

MATRICES = r"transformer_blocks\.\d+\.(attn[12]\.to_(q|k|v|out\.0)|ff\.net\.(0\.proj|2))"


def add_lora(transformer: nn.Module, rank: int) -> list[nn.Parameter]:
    """Freezes the transformer and returns what trains instead. B starts at zero: the first output is unchanged."""
    transformer.requires_grad_(False)
    targets = [name for name, _ in transformer.named_modules() if re.fullmatch(MATRICES, name)]
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=targets), transformer)
    return [p for name, p in transformer.named_parameters() if "lora_" in name]


def merge_lora(transformer: nn.Module) -> nn.Module:
    for name, layer in list(transformer.named_modules()):
        if isinstance(layer, LoraLayer):
            layer.merge()
            parent, _, child = name.rpartition(".")
            setattr(transformer.get_submodule(parent), child, layer.get_base_layer())
    if hasattr(transformer, "peft_config"):
        del transformer.peft_config
    return transformer
