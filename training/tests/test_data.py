"""A data set grows without changing, its masks lie where things are, and its latents are those of the pictures."""

import json

import numpy as np

from training import encode
from training.presets import TEXT_LENGTH
from training.scenes import dataset
from training.scenes.draw import draw_scene, draw_with_masks
from training.scenes.scene import COLOURS, KINDS, Scene, Thing, sample_scene
from training.tests import tiny
from training.tests.tiny import command


def test_the_same_scene_at_every_size():
    for index in range(6):
        scene = sample_scene(2, index)
        large, small = draw_scene(scene, 2, index, 128), draw_scene(scene, 2, index, 64)
        assert np.abs(encode.reduced(large[None], 64)[0].astype(int) - small).max() <= 1


def test_masks_lie_where_things_are():
    things = (Thing("ball", "red", "medium", "left"), Thing("cup", "blue", "medium", "right"))
    picture, masks = draw_with_masks(Scene(things, "sea", "day"), 0, 0, 128, 16)
    bare, none = draw_with_masks(Scene((), "sea", "day"), 0, 0, 128, 16)
    assert np.array_equal(picture, draw_scene(Scene(things, "sea", "day"), 0, 0, 128)) and not none.any()
    differs = (picture.astype(int) != bare).any(-1).reshape(16, 8, 16, 8).mean((1, 3))
    covered = masks.sum(0) / 255
    assert covered.max() <= 1 and np.abs(covered - differs).max() < 0.35
    columns = masks.sum(1) @ np.arange(16) / masks.sum((1, 2))
    assert columns[0] < 7 < 8 < columns[1]


def test_a_data_set_grows_and_is_encoded_once(tmp_path, monkeypatch):
    vae = tiny.autoencoder()
    vae.save_pretrained(tmp_path / "vae")
    draw = lambda count, out: command(dataset, monkeypatch, "--count", count, "--seed", 5, "--workers", 1, "--out", tmp_path / out)
    code = lambda *words: command(
        encode, monkeypatch, "--data", tmp_path / "a", "--vae", tmp_path / "vae", "--tokenizer", "assets/scenes-dense/tokenizer",
        "--size", 64, "--out", tmp_path / "a" / "64", *words,
    )  # fmt: skip
    draw(66, "a")
    code()
    first = np.load(tmp_path / "a" / "64" / "latents.npy")
    draw(70, "a")
    draw(70, "b")
    for name in ("pictures", "masks"):
        assert np.array_equal(np.load(tmp_path / "a" / f"{name}.npy"), np.load(tmp_path / "b" / f"{name}.npy"))
    assert (tmp_path / "a" / "captions.json").read_text() == (tmp_path / "b" / "captions.json").read_text()

    monkeypatch.setattr(encode, "grow", lambda *arguments: kept.append(arguments[2]) or dataset.grow(*arguments))
    kept = []
    code()
    assert kept == [64]  # the part that was full
    latents = np.load(tmp_path / "a" / "64" / "latents.npy")
    assert latents.shape == (70, 4, 16, 16) and np.array_equal(latents[:64], first[:64])
    pictures = encode.reduced(np.load(tmp_path / "a" / "pictures.npy")[66:70], 64)
    assert np.allclose(latents[66:], encode.encode_pictures(vae, pictures, "cpu"), atol=4e-3)
    labels = np.load(tmp_path / "a" / "64" / "labels.npy")
    scene = sample_scene(5, 67)
    assert KINDS[labels[67, 0]] == scene.things[0].kind and list(COLOURS)[labels[67, 1]] == scene.things[0].colour
    assert (labels[:, 2] == 255).any() and np.load(tmp_path / "a" / "64" / "covered.npy").shape == (70, 2, 8, 8)
    assert np.load(tmp_path / "a" / "64" / "tokens.npy").shape == (70, 6, TEXT_LENGTH)
    assert json.loads((tmp_path / "a" / "64" / "latents.json").read_text())["count"] == 70
