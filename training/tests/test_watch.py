"""Which classifier `training.watch` looks at pictures with."""

import pytest

from training import watch


def test_a_classifier_that_was_named_must_be_there(tmp_path, monkeypatch):
    usual, named = tmp_path / "usual.safetensors", tmp_path / "named.safetensors"
    monkeypatch.setattr(watch, "CLASSIFIER", usual)
    assert watch.chosen_classifier(None) is None
    with pytest.raises(SystemExit, match="named.safetensors: there is no such file"):
        watch.chosen_classifier(named)
    usual.touch()
    assert watch.chosen_classifier(None) == usual
    named.touch()
    assert watch.chosen_classifier(named) == named
