"""The text encoder is asked what belongs together in a caption, at the right words."""

import sys

import numpy as np
import pytest
import torch
from transformers import T5EncoderModel, T5Tokenizer

from training import train_text
from training.encode import encode_captions, labels
from training.reading import NOTHING, SIDES, ReadingHead
from training.scenes.grammar import caption
from training.scenes.scene import COLOURS, KINDS, sample_scene
from training.train_dit import Examples

FOLDER = "assets/scenes-dense"
COLOUR, KIND = list(COLOURS).index, KINDS.index


@pytest.fixture(scope="module")
def tokenizer():
    return T5Tokenizer.from_pretrained(f"{FOLDER}/tokenizer")


def asked(tokenizer, caption: str, things: list[tuple[str, str]]) -> dict[str, tuple]:
    """What is asked at each word of a caption: (colour, kind, side), None where it is not."""
    row = [255] * 5
    for i, (colour, kind) in enumerate(things):
        row[2 * i : 2 * i + 2] = KIND(kind), COLOUR(colour)
    ids = tokenizer([caption], return_tensors="pt").input_ids
    targets = ReadingHead(8, tokenizer).targets(ids, torch.tensor([row]))
    answers = [tuple(None if value == NOTHING else value for value in at) for at in zip(*(target[0].tolist() for target in targets))]
    words = tokenizer.convert_ids_to_tokens(ids[0])
    return {word.strip("▁"): answer for word, answer in zip(words, answers) if answer != (None, None, None)}


def test_two_things_are_asked_about_apart(tokenizer):
    said = "in a green field, a tiny red cup on the left and one blue fish"
    left, right = map(SIDES.index, ("left", "right"))
    assert asked(tokenizer, said, [("red", "cup"), ("blue", "fish")]) == {
        "red": (None, KIND("cup"), left), "cup": (COLOUR("red"), None, left),
        "blue": (None, KIND("fish"), right), "fish": (COLOUR("blue"), None, right),
    }  # fmt: skip


def test_one_thing_is_alone_and_nothing_asks_nothing(tokenizer):
    alone = SIDES.index("alone")
    assert asked(tokenizer, "an orange ring at sea", [("orange", "ring")]) == {
        "orange": (None, KIND("ring"), alone), "ring": (COLOUR("orange"), None, alone),
    }  # fmt: skip
    assert asked(tokenizer, "", [("orange", "ring")]) == {}
    head, text = ReadingHead(8, tokenizer), torch.randn(1, 1, 8, requires_grad=True)
    loss, right = head.loss(text, torch.tensor([[1]]), torch.tensor([[3, 2, 255, 255, 0]]))
    loss.backward()
    assert loss == 0 and right == 1 and torch.isfinite(text.grad).all()


def test_the_heads_learn_from_an_encoder_that_knows(tokenizer):
    torch.manual_seed(0)
    ids = tokenizer(["red cup and blue fish", "white car"], padding=True, return_tensors="pt").input_ids
    truth = torch.tensor([[KIND("cup"), COLOUR("red"), KIND("fish"), COLOUR("blue"), 0], [KIND("car"), COLOUR("white"), 255, 255, 0]])
    head, text = ReadingHead(32, tokenizer), torch.randn(*ids.shape, 32)
    optimiser = torch.optim.Adam(head.parameters(), 0.05)
    first, _ = head.loss(text, ids, truth)
    for _ in range(60):
        loss, right = head.loss(text, ids, truth)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert right == 1 and loss < 0.1 * first


def data(folder, tokenizer, count: int = 192):
    scenes = [sample_scene(4, i) for i in range(count)]
    captions = [[caption(scene, 4, i, variant) for variant in range(2)] for i, scene in enumerate(scenes)]
    np.save(folder / "tokens.npy", encode_captions(tokenizer, captions))
    np.save(folder / "labels.npy", labels(4, count))


def test_an_encoder_learns_and_stays_near_to_what_it_said(tmp_path, tokenizer, monkeypatch, capsys):
    data(tmp_path, tokenizer)
    options = ["--data", tmp_path, "--tokenizer", f"{FOLDER}/tokenizer", "--batch", 32, "--steps", 100, "--out", tmp_path / "text"]
    drifts = []
    for keep in (0, 3):
        monkeypatch.setattr(sys, "argv", ["train_text", *map(str, options), "--init", FOLDER, "--keep", str(keep)])
        train_text.main()
        said = capsys.readouterr().out
        drifts.append(float(said.split("drift")[-1].split(";")[0]))
    assert drifts[1] < 0.5 * drifts[0]
    assert T5EncoderModel.from_pretrained(tmp_path / "text").config.d_model == 128
    monkeypatch.setattr(sys, "argv", ["train_text", *map(str, options), "--steps", "2"])
    train_text.main()  # from nothing: no folder to begin with, and none to stay near to
    assert "unseen captions of two things" in capsys.readouterr().out


def test_asking_an_encoder_leaves_it_alone(tmp_path, tokenizer, monkeypatch, capsys):
    data(tmp_path, tokenizer)
    words = ["--data", tmp_path, "--tokenizer", f"{FOLDER}/tokenizer", "--init", FOLDER, "--frozen", "--steps", 3, "--out", tmp_path / "text"]
    monkeypatch.setattr(sys, "argv", ["train_text", *map(str, words)])
    train_text.main()
    assert "drift 0.000" in capsys.readouterr().out and not (tmp_path / "text").exists()


def test_positions_learn_faster_than_matrices(tokenizer):
    encoder = T5EncoderModel.from_pretrained(f"{FOLDER}/text_encoder", dtype=torch.float32)
    groups = train_text.optimiser_for(encoder, ReadingHead(128, tokenizer)).param_groups
    fast = {id(p) for group in groups if group["factor"] > 1 for p in group["params"]}
    assert fast == {id(p) for name, p in encoder.named_parameters() if name.endswith("relative_attention_bias.weight")}


def test_pictures_with_two_things_are_shown_as_often_as_asked(tmp_path, tokenizer):
    data(tmp_path, tokenizer)
    np.save(tmp_path / "latents.npy", np.zeros((192, 1, 2, 2), np.float16))
    two = np.load(tmp_path / "labels.npy")[:, 2] != 255
    for share in (0.0, 0.8, 1.0):
        picked, _ = Examples(tmp_path, 0, share).picked(0, 4000)
        assert abs(two[picked].mean() - share) < 0.03
