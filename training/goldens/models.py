"""Tiny models of the real classes. Sizes are chosen odd: nothing here is a power of two by accident."""

import diffusers
from transformers import T5Config, T5EncoderModel

from .weights import randomise

# DiTPipeline fails on "out_channels": null, which the model's config would allow.
SHAPE = {"num_attention_heads": 3, "attention_head_dim": 8, "num_layers": 2, "sample_size": 8, "patch_size": 2}
DIT = {**SHAPE, "in_channels": 4, "out_channels": 4}
PIXART = {**SHAPE, "in_channels": 4, "out_channels": 8, "caption_channels": 20}
T5 = {"d_model": 20, "num_heads": 3, "d_kv": 7, "d_ff": 37, "num_layers": 2, "feed_forward_proj": "gated-gelu"}


def autoencoder(channels: tuple[int, ...] = (4, 8), seed: int = 1, **config) -> diffusers.AutoencoderKL:
    model = diffusers.AutoencoderKL(**{
        "block_out_channels": channels,
        "down_block_types": ["DownEncoderBlock2D"] * len(channels),
        "up_block_types": ["UpDecoderBlock2D"] * len(channels),
        "norm_num_groups": 2,
        "latent_channels": 4,
        "sample_size": 32,
        **config,
    })  # fmt: skip
    # Pictures should be mid-grey with contrast: a saturated pixel hides its error.
    return randomise(model, seed, {"decoder.conv_out": 0.6})


def dit(seed: int = 2, **config) -> diffusers.DiTTransformer2DModel:
    return randomise(diffusers.DiTTransformer2DModel(**{**DIT, **config}), seed)


def pixart(seed: int = 3, **config) -> diffusers.PixArtTransformer2DModel:
    config = {**PIXART, **config}
    width = config["num_attention_heads"] * config["attention_head_dim"]
    # With a caption projection the text has the model's width, without one it has the encoder's.
    config.setdefault("cross_attention_dim", width)
    return randomise(diffusers.PixArtTransformer2DModel(**config), seed)


def text_encoder(vocabulary: int, seed: int = 4, **config) -> T5EncoderModel:
    config = T5Config(vocab_size=vocabulary, dropout_rate=0.0, **{**T5, **config})
    return randomise(T5EncoderModel(config), seed)
