"""`t5/`: the text encoder alone, on a sequence long enough for every kind of relative position bucket.

Distances below 8 have buckets of their own, from 8 to 127 they share logarithmic ones, from 128 on all fall into the last.
"""

from pathlib import Path

import torch

from . import models, store

LENGTH = 150
CASES = {
    "gated": {"feed_forward_proj": "gated-gelu"},
    "relu": {"feed_forward_proj": "relu", "num_heads": 2, "d_kv": 9},
    "buckets": {"relative_attention_num_buckets": 20, "relative_attention_max_distance": 60, "layer_norm_epsilon": 1e-3},
}


def write(out: Path) -> None:
    for name, config in CASES.items():
        model = models.text_encoder(90, seed=21, **config)
        model.save_pretrained(out / name / "text_encoder")
        generator = torch.Generator("cpu").manual_seed(22)
        input_ids = torch.randint(0, 90, (2, LENGTH), generator=generator)
        # One row padded at its end, one full: the mask must reach the padded row's real tokens and change nothing else.
        lengths = torch.tensor([[37], [LENGTH]])
        mask = (torch.arange(LENGTH)[None] < lengths).long()
        with torch.no_grad():
            hidden = model(input_ids, attention_mask=mask).last_hidden_state
        store.tensors(out / name / "inputs.safetensors", {"input_ids": input_ids, "attention_mask": mask})
        store.tensors(out / name / "expected.safetensors", {"last_hidden_state": hidden})
    store.document(out / "cases.json", [{"name": name, "set": config} for name, config in CASES.items()])
