"""The commands of the evaluation from end to end, with pictures that no engine drew."""

import json

import numpy as np
import pytest

from training import evaluate
from training.evaluation import classifier, drawing, reference
from training.measure import HELD_OUT
from training.scenes.draw import draw_scene
from training.scenes.scene import sample_scene
from training.tests.tiny import command

SEEN = 6


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two rows, whose pictures are held-out scenes; a judge that knows nothing; few real scenes."""
    listed = (("dense", "scenes-dense", "dense"), ("LT", "scenes", "diffcr"))
    rows = [{"name": name, "model": f"assets/{model}", "policy": policy} for name, model, policy in listed]
    (tmp_path / "rows.json").write_text(json.dumps(rows))
    for place in ("", "pairs"):
        classifier.save(classifier.Classifier(), tmp_path / "judge" / place / "classifier.safetensors")
        (tmp_path / "judge" / place / "accuracy.json").write_text(json.dumps({part: {"all": 1.0} for part in ("drawn", "decoded")}))

    def pictures(engine, row, folder, asked, seed):
        folder.mkdir(parents=True, exist_ok=True)
        drawn = np.stack([draw_scene(sample_scene(HELD_OUT, i), HELD_OUT, i, 64) for i in range(len(asked))])
        np.save(folder / "00000.npy", drawn)
        return drawn

    monkeypatch.setattr(drawing, "pictures", pictures)
    monkeypatch.setattr(reference, "REAL", 8)
    return tmp_path


def test_quality_pairs_and_the_page_that_says_it(folder, monkeypatch):
    words = ("--rows", folder / "rows.json", "--out", folder / "eval")
    judged = (*words, "--classifier", folder / "judge", "--count", SEEN, "--size", 64, "--against", "dense")
    command(evaluate, monkeypatch, "quality", *judged)
    command(evaluate, monkeypatch, "pairs", *judged)
    quality = json.loads((folder / "eval" / "quality.json").read_text())
    assert [row["name"] for row in quality["rows"]] == ["real scenes", "real scenes through the autoencoder", "dense", "LT"]
    dense, routed = quality["rows"][2:]
    assert len(dense["right"]) == SEEN and set(dense["right"]) <= {"0", "1"} and dense["accuracy"][3] == dense["right"].count("1") / SEEN
    assert (routed["gain"], routed["gain_error"]) == (0, 0) and routed["saved"] == pytest.approx(0.3, abs=0.02)
    assert json.loads((folder / "eval" / "pairs.json").read_text())["rows"][1]["name"] == "LT"
    command(evaluate, monkeypatch, "table", *words, "--classifier", folder / "judge", "--results", folder / "page.md")
    page = (folder / "page.md").read_text()
    assert "| LT | 30% |" in page and "two things" in page and (folder / "page.png").exists()
    assert not (folder / "page-curves.png").exists()  # no times
