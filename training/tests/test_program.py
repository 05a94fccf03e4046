"""What the built program is told and says."""

import sys

import pytest

from training.program import says

PROGRAM = """#!{python}
import json, sys
words = sys.argv[1:]
options = words[: words.index("--")] if "--" in words else words
if "--json" not in options:
    sys.exit("error: not asked for JSON")
if words[-1] == "broken":
    sys.exit("error: it is broken")
print(json.dumps(words))
"""


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "foveate"
    path.write_text(PROGRAM.format(python=sys.executable))
    path.chmod(0o755)
    return path


def test_json_is_asked_for_before_a_prompt_that_may_begin_with_a_dash(program):
    assert says(program, "generate", "--seed", 3, "--", "-a dash", of="it") == ["generate", "--json", "--seed", "3", "--", "-a dash"]


def test_what_fails_ends_the_run_with_its_words(program):
    with pytest.raises(SystemExit, match="a picture: error: it is broken"):
        says(program, "generate", "broken", of="a picture")
