"""Mask channels: which parts are drawn anew, what the model is shown of the rest, and that it learns from it."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import DiTTransformer2DModel

from training import encode
from training.diffcr.data import Captioned, Shown, predict
from training.inpaint import widen
from training.scenes import dataset
from training.scenes.draw import draw_with_masks
from training.scenes.masks import draw_mask
from training.scenes.scene import sample_scene
from training.tests import tiny
from training.tests.tiny import command


def test_masks_are_fixed_by_seed_and_index_and_of_many_sizes():
    masks = np.stack([draw_mask(5, index, 64) for index in range(300)])
    assert np.array_equal(masks[7], draw_mask(5, 7, 64)) and not np.array_equal(masks[7], draw_mask(6, 7, 64))
    shares = masks.mean((1, 2))
    assert shares.min() > 0 and 0.05 < (shares == 1).mean() < 0.16
    assert 0.2 < (shares < 0.2).mean() < 0.8 and ((shares > 0.4) & (shares < 1)).any()


def test_some_masks_hold_a_thing():
    """At least nine tenths of one."""
    held = 0
    for index in range(60):
        covered = draw_with_masks(sample_scene(5, index), 5, index, 64, 64)[1].astype(float)
        inside = (covered * draw_mask(5, index, 64)).sum((1, 2)) / np.maximum(1, covered.sum((1, 2)))
        held += (inside > 0.9).any()
    assert held > 15


def test_what_is_left_is_encoded_with_grey_where_it_is_drawn_anew(tmp_path, monkeypatch):
    vae = tiny.autoencoder()
    vae.save_pretrained(tmp_path / "vae")
    command(dataset, monkeypatch, "--count", 66, "--seed", 5, "--workers", 1, "--size", 64, "--out", tmp_path / "data")
    words = ("--data", tmp_path / "data", "--vae", tmp_path / "vae", "--tokenizer", "assets/scenes-dense/tokenizer")
    command(encode, monkeypatch, *words, "--inpaint")
    anew, rest = np.load(tmp_path / "data" / "anew.npy"), np.load(tmp_path / "data" / "rest.npy")
    assert anew.shape == (66, 16, 16) and rest.shape == (66, 4, 16, 16)
    mask, picture = draw_mask(5, 65, 64), np.load(tmp_path / "data" / "pictures.npy")[65]
    assert np.array_equal(anew[65], mask[::4, ::4])
    shown = torch.from_numpy(np.where(mask[..., None], 0, picture / 127.5 - 1)).float().permute(2, 0, 1)[None]
    with torch.no_grad():
        expected = vae.encode(shown).latent_dist.mean[0].numpy()
    assert np.allclose(rest[65], expected, atol=4e-3)
    both = Shown(tmp_path / "data").of(np.array([3, 65]))
    assert both.shape == (2, 5, 16, 16) and np.array_equal(both[1, 0], anew[65]) and np.array_equal(both[1, 1:], rest[65].astype(np.float32))


def test_a_widened_model_draws_what_it_drew_and_learns_from_what_it_is_shown():
    plain = tiny.network(2).eval()
    wider = widen(plain)
    assert wider.config.in_channels == 9 and wider.config.out_channels == 4
    data = SimpleNamespace(extra=lambda _: {})
    text = {"encoder_hidden_states": torch.randn(3, 5, 128), "encoder_attention_mask": torch.ones(3, 5)}
    noisy, timesteps, shown = torch.randn(3, 4, 16, 16), torch.tensor([1, 500, 999]), torch.randn(3, 5, 16, 16)
    before = predict(plain, data, noisy, timesteps, text)
    after = predict(wider, data, noisy, timesteps, text | {"shown": shown})
    assert torch.equal(before, after)
    after.square().mean().backward()
    assert wider.pos_embed.proj.weight.grad[:, 4:].abs().sum() > 0


def test_only_what_can_be_trained_so_is_widened():
    with pytest.raises(SystemExit, match="not for DiTTransformer2DModel"):
        widen(DiTTransformer2DModel(num_layers=1, num_attention_heads=2, attention_head_dim=16, sample_size=16))


def test_a_data_folder_without_what_is_shown_is_refused(tmp_path):
    tiny.scenes(tmp_path, slice(0, 2), 3.0)
    pipeline = SimpleNamespace(text_encoder=torch.nn.Identity(), transformer=widen(tiny.network(1)), vae_scale_factor=4)
    with pytest.raises(SystemExit, match="training.encode --inpaint"):
        Captioned(pipeline, tmp_path, 0, "cpu")
