"""What is said of masked compute is what the engine drew and reported."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from training import measure_masked
from training.evaluation import classifier
from training.measure import HELD_OUT
from training.measure_masked import Engine, across_edge, box, distance_inside, holds, measure, one_thing, other_thing, relative, table

SIZE = 64

#: Stands for the built program. Full compute paints the mask with 100. Masked compute paints it with 110, or with 105 where the
#: decoder alone follows the mask. What lies outside of the mask stays.
PROGRAM = """#!{python}
import json, sys
import numpy as np
from PIL import Image

words = sys.argv[1:]
after = lambda name: words[words.index(name) + 1]
with open({calls!r}, "a") as file:
    file.write(json.dumps(words) + "\\n")
if after("--seed") == {broken!r}:
    sys.exit("error: the seed is broken")
picture = np.asarray(Image.open(after("--image"))).copy()
masked = after("--masked") if "--masked" in words else None
value = 100 if masked is None else 105 if "decode=" in masked else 110
picture[np.asarray(Image.open(after("--mask"))) == 255] = value
Image.fromarray(picture).save(after("-o"))
work = 1.0 if masked is None else 0.25
print(json.dumps({{"flops_per_step": 8e9 * work, "seconds": {{"steps": 4 * work, "decode": 2 * work}}}}))
"""


@pytest.fixture
def engine(tmp_path):
    """An engine whose program fails for seed 99, and the words of each of its runs so far."""
    calls, program = tmp_path / "calls", tmp_path / "foveate"
    program.write_text(PROGRAM.format(python=sys.executable, calls=str(calls), broken="99"))
    program.chmod(0o755)
    arguments = SimpleNamespace(
        bin=program, model="a-model", size=SIZE, count=2, shares=[0.1, 1.0], policies=["dense", "diffcr"], masked="every=10", halos=[1, 2],
        of_class=None, steps=20, judge_size=64,
    )  # fmt: skip
    made = Engine(arguments, tmp_path)
    made.calls = lambda: [json.loads(line) for line in calls.read_text().splitlines()]
    return made


def test_boxes_have_their_share_lie_within_and_hold_the_thing():
    cells = np.zeros((16, 16), np.uint8)
    cells[2:5, 11:14] = 255  # its middle is at row 14, column 50 of 64
    rows, columns = box(cells, 0.1, SIZE)
    assert rows.stop - rows.start == columns.stop - columns.start == 20  # √0.1 · 64
    assert (rows.start, columns.start) == (4, 40)
    assert holds((rows, columns), cells, SIZE)
    assert not holds((slice(0, 12), columns), cells, SIZE)  # a third of it

    cells[:] = 0
    cells[0, 0] = 255
    assert box(cells, 0.25, SIZE) == (slice(0, 32), slice(0, 32))  # kept within the picture
    assert box(cells, 1.0, SIZE) == (slice(0, 64), slice(0, 64))
    cells[:] = 0
    assert box(cells, 0.25, SIZE) == (slice(16, 48), slice(16, 48))  # nothing there: the middle


def test_the_step_at_the_edge_is_between_neighbours_across_it():
    picture = np.zeros((8, 8, 3), np.uint8)
    where = slice(2, 6), slice(2, 6)
    assert across_edge(picture, where) == 0
    picture[where] = 30
    picture[3:5, 3:5] = 200  # deeper inside: no part of the edge
    assert across_edge(picture, where) == 30
    assert across_edge(picture, (slice(0, 8), slice(0, 8))) == 0  # a mask without an edge


def test_the_error_is_that_under_the_mask():
    expected = np.full((8, 8, 3), 100, np.uint8)
    found = expected.copy()
    where = slice(0, 4), slice(0, 4)
    found[4:] = 7  # outside
    assert relative(found, expected, where) == 0
    found[where] = 110
    assert relative(found, expected, where) == pytest.approx(0.1)


def test_another_thing_takes_the_place_of_the_old_one():
    scenes = [scene for _, scene in one_thing(40)]
    assert len(scenes) == 40 and all(len(scene.things) == 1 for scene in scenes)
    for index, scene in enumerate(scenes):
        old, new = scene.things[0], other_thing(scene, index).things[0]
        assert old.kind != new.kind and old.colour != new.colour
        assert measure_masked.replace(new, kind=old.kind, colour=old.colour) == old


def test_rows_have_what_the_engine_drew_and_reported(engine):
    rows, given = measure(engine.arguments, engine, None)
    assert set(rows) == {(policy, way, share) for policy in ("dense", "diffcr") for way in ("full", "masked") for share in (0.1, 1.0)}
    for (policy, way, share), row in rows.items():
        assert row.flops == [8e9 if way == "full" else 2e9] * 2
        assert row.seconds == [[4, 2] if way == "full" else [1, 0.5]] * 2
        assert row.error == ([] if way == "full" else pytest.approx([0.1, 0.1]))
        # Each halo by a run of its own, of the dense policy alone.
        assert set(row.decode) == ({1, 2} if (policy, way) == ("dense", "masked") else set())
        assert all(errors == pytest.approx([0.05, 0.05]) for errors in row.decode.values())
    assert len(given[0.1].edge) == len(given[1.0].edge) == 2 and given[1.0].edge == [0, 0]

    page = table(rows, given, None).splitlines()
    assert len(page) == 2 + 8
    masked = next(line for line in page if line.startswith("| 10 % | dense | masked |"))
    assert masked.startswith("| 10 % | dense | masked | 0.25 | 0.25 | 0.25 | 10.0 % | 1: 5.0 %, 2: 5.0 % |")


def test_both_ways_draw_the_same_scene_from_the_same_noise(engine):
    measure(engine.arguments, engine, None)
    calls = engine.calls()
    value = lambda words, name: words[words.index(name) + 1] if name in words else None
    fixed = ("--model", "--adapter", "--threads", "--steps")
    assert {tuple(value(words, name) for name in fixed) for words in calls} == {("a-model", "cpu", "1", "20")}
    # Two scenes; each with one prompt and one seed for all its shares, policies and ways.
    assert len({(words[2], value(words, "--seed")) for words in calls}) == 2
    ways = [(value(words, "--compress"), value(words, "--masked")) for words in calls[:6]]
    assert ways == [
        ("dense", None), ("dense", "every=10"), ("dense", "every=1,decode=1"), ("dense", "every=1,decode=2"),
        ("diffcr", None), ("diffcr", "every=10"),
    ]  # fmt: skip


def test_a_class_takes_the_place_of_the_prompt(engine):
    engine.arguments.of_class = 3
    engine.arguments.count, engine.arguments.shares, engine.arguments.policies = 1, [0.1], ["diffcr"]
    measure(engine.arguments, engine, None)
    assert all(words[:4] == ["generate", "--json", "--class", "3"] for words in engine.calls())


def test_what_the_engine_refuses_ends_the_run_with_its_words(engine):
    picture = np.zeros((SIZE, SIZE, 3), np.uint8)
    with pytest.raises(SystemExit, match="'a cat': error: the seed is broken"):
        engine.draw("a cat", 99, picture, (slice(0, 8), slice(0, 8)), [])


def test_the_judge_sees_boxes_that_hold_the_thing(engine, monkeypatch):
    seen = []

    def look(judge, pictures):
        seen.append(tuple(pictures.shape))
        right = measure_masked.wanted(scenes[len(seen) - 1])
        return None, {name: np.array([value]) for name, value in zip(measure_masked.classifier.HEADS, right)}

    monkeypatch.setattr(measure_masked.classifier, "look", look)
    scenes = [other_thing(scene, index) for index, scene in one_thing(2) for _ in ("full", "masked")]
    engine.arguments.shares, engine.arguments.policies, engine.arguments.halos, engine.arguments.judge_size = [1.0], ["dense"], [], 32
    rows, given = measure(engine.arguments, engine, object())
    assert len(seen) == 4 and all(shape[-2:] == (32, 32) for shape in seen)
    assert rows["dense", "masked", 1.0].right == [[True] * 4] * 2
    assert table(rows, given, None).splitlines()[-1].endswith("| 100, 100, 100, 100 % of 2 |")


def test_pictures_are_as_large_as_the_model_s_own():
    assert measure_masked.size_of(Path("assets/scenes-dense")) == 128


def test_the_distance_under_the_mask_is_to_the_scenes_with_the_other_thing(engine, monkeypatch):
    torch.manual_seed(0)
    judge = classifier.Classifier().eval()
    engine.arguments.policies, engine.arguments.shares, engine.arguments.count = ["dense"], [0.25], 6
    rows, given = measure(engine.arguments, engine, judge)
    row, known = rows["dense", "full", 0.25], given[0.25]
    assert row.crops[0].shape == (64, 64, 3) and (row.crops[0] == 100).all()  # what the program painted
    index, old = next(one_thing(1))
    picture, cells = measure_masked.draw_with_masks(old, HELD_OUT, index, SIZE, measure_masked.CELLS)
    where = box(cells[0], 0.25, SIZE)
    other = measure_masked.draw_with_masks(other_thing(old, index), HELD_OUT, index, SIZE, 0)[0]
    assert np.array_equal(known.crops[0], measure_masked.crop(other, where, 64)) and not np.array_equal(other[where], picture[where])
    assert distance_inside(judge, row, known) == ""  # too few
    monkeypatch.setattr(measure_masked, "FEW", 6)
    assert float(distance_inside(judge, row, known).split(" ± ")[0]) > 0
    row.crops = known.crops
    assert float(distance_inside(judge, row, known).split(" ± ")[0]) == pytest.approx(0, abs=0.01)
    assert distance_inside(None, row, known) == ""
