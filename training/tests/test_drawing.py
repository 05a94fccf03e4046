"""Rows are drawn by the program, each picture from its own seed, and what is drawn is not drawn again."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from training.evaluation import drawing
from training.evaluation.drawing import Engine, pictures
from training.evaluation.rows import Row

#: Stands for the built program: paints the seed.
PROGRAM = """#!{python}
import json, sys
from PIL import Image

words = sys.argv[1:]
after = lambda name: words[words.index(name) + 1]
with open({calls!r}, "a") as file:
    file.write(json.dumps(words) + "\\n")
if "broken" in words:
    sys.exit("error: no such thing")
Image.new("RGB", (4, 4), (int(after("--seed")), 7, 7)).save(after("-o"))
print(json.dumps({{"warnings": ["nothing merges"] if after("--compress") == "sdtm" else []}}))
"""


@pytest.fixture
def engine(tmp_path, monkeypatch):
    monkeypatch.setattr(drawing, "CHUNK", 4)
    program = tmp_path / "foveate"
    program.write_text(PROGRAM.format(python=sys.executable, calls=str(tmp_path / "calls")))
    program.chmod(0o755)
    return Engine(program, 4.0, workers=2)


def calls(engine: Engine) -> list[list[str]]:
    """The words of each run so far."""
    return [json.loads(line) for line in (engine.program.parent / "calls").read_text().splitlines()]


def test_pictures_come_in_order_with_their_own_seeds(engine, tmp_path):
    row = Row("SDTM 30 %", Path("a-model"), "sdtm", 0.3, {"switch_step": 8}, steps=12)
    drawn = pictures(engine, row, tmp_path / "row", [f"prompt {i}" for i in range(6)], 100)
    assert drawn.shape == (6, 4, 4, 3) and drawn[:, 0, 0, 0].tolist() == [100, 101, 102, 103, 104, 105]
    words = next(call for call in calls(engine) if call[2] == "prompt 3")
    value = lambda name: words[words.index(name) + 1]
    told = {name: value(name) for name in ("--model", "--compress", "--ratio", "--set", "--seed", "--steps", "--guidance", "--adapter", "--threads")}
    assert told == {
        "--model": "a-model", "--compress": "sdtm", "--ratio": "0.3", "--set": "switch_step=8", "--seed": "103", "--steps": "12",
        "--guidance": "4.0", "--adapter": "cpu", "--threads": "1",
    }  # fmt: skip


def test_what_is_there_is_not_drawn_again(engine, tmp_path):
    row = Row("dense", Path("a-model"), "dense")
    prompts = [f"prompt {i}" for i in range(8)]
    pictures(engine, row, tmp_path / "row", prompts[:6], 0)  # a whole chunk, and half of one
    assert len(calls(engine)) == 6
    assert pictures(engine, row, tmp_path / "row", prompts, 0)[:, 0, 0, 0].tolist() == list(range(8))
    assert sorted(call[2] for call in calls(engine)[6:]) == prompts[4:]


def test_a_warning_is_said_once(engine, tmp_path, capsys):
    pictures(engine, Row("SDTM 30 %", Path("a-model"), "sdtm", 0.3), tmp_path / "row", ["a"] * 6, 0)
    assert capsys.readouterr().out.count("SDTM 30 %: nothing merges") == 1


def test_what_the_program_refuses_ends_the_run_and_leaves_no_part(engine, tmp_path):
    with pytest.raises(SystemExit, match="dense, 'broken': error: no such thing"):
        pictures(engine, Row("dense", Path("a-model"), "dense"), tmp_path / "row", ["fine", "broken", "fine"], 0)
    assert not list((tmp_path / "row").iterdir())
    assert np.array_equal(pictures(engine, Row("dense", Path("a-model"), "dense"), tmp_path / "row", ["fine"], 9)[0, 0, 0], [9, 7, 7])
