"""The results page and its curves, from figures that are known."""

from training.evaluation import curves, results

QUALITY = {"count": 4, "guidance": 4.0, "seed": 0, "against": "control"}
JUDGE = {part: {"object": 1.0, "colour": 1.0, "place": 1.0, "all": 1.0} for part in ("drawn", "decoded")}


def record(name: str, right: str, policy: str = "dense", steps: int = 20, **more) -> dict:
    share = right.count("1") / len(right)
    return {
        "name": name, "key": name, "model": "a", "policy": policy, "ratio": None, "step_cache": "", "steps": steps, "note": "", "saved": 1 - steps / 20,
        "pictures": len(right), "right": right, "fd": 5.0, "fd_error": 0.5, "accuracy": [share] * 4, "error": [0.1] * 4, **more,
    }  # fmt: skip


def timed(seconds: float, quiet: bool = True) -> dict:
    step = lambda seconds: {"flops": 2e9 * seconds, "seconds": seconds, "ideal_speedup": 1 / seconds, "speedup": 1 / seconds, "realised": 1.0}
    return {"machine": "two cores", "adapter": "cpu", "quiet": quiet, "dense": step(1.0), "row": {**step(seconds), "overhead_share": 0.01}}


def page_of(times: dict, tmp_path, pairs: dict | None = None) -> list[str]:
    floor = {"name": "real scenes", "fd": 4.0, "fd_error": 0.5, "accuracy": [1.0] * 4, "error": [0.0] * 4, "pictures": 4}
    rows = [floor, record("control", "1111"), record("dense, 10 steps", "1100", steps=10), record("DiffCR-LT 30 %", "1110", "diffcr", model="b")]
    quality = {**QUALITY, "rows": rows}
    page = tmp_path / "results.md"
    page.write_text(f"Before.\n\n{results.BEGIN}\nold\n{results.END}\n\nAfter.\n")
    results.write(page, quality, times, JUDGE, pairs or {})
    curves.write(tmp_path / "curves.png", quality, times)
    assert (tmp_path / "curves.png").stat().st_size > 10_000
    text = page.read_text()
    assert text.startswith("Before.") and text.endswith("After.\n") and "old" not in text
    return text.splitlines()


def test_each_row_stands_beside_dense_in_the_same_time(tmp_path):
    lines = page_of({"control": timed(1.0), "dense, 10 steps": timed(1.0), "DiffCR-LT 30 %": timed(0.5)}, tmp_path)
    routed = [line for line in lines if line.startswith("| DiffCR-LT 30 %")]
    assert len(routed) == 2  # quality, time
    # 20 steps of half a dense step are ten: one more of four is right than of the dense model in ten steps.
    assert routed[1].endswith("| 1.0% | 10.0 | +25.0 ± 21.7 |")
    ten = [line for line in lines if line.startswith("| dense, 10 steps")]
    assert "| 50% |" in ten[0] and ten[1].endswith("| 10.0 | +0.0 ± 0.0 |")


def test_times_of_a_busy_machine_are_left_out(tmp_path):
    lines = page_of({"control": timed(1.0), "DiffCR-LT 30 %": timed(0.5, quiet=False)}, tmp_path)
    (routed,) = [line for line in lines if line.startswith("| DiffCR-LT 30 %") and "2.00×" in line]
    assert routed.endswith("| – | – | – | – | – | – |")
    assert any("other work are left out" in line for line in lines)


def test_prompts_of_two_things_have_a_table_of_their_own(tmp_path):
    row = {"accuracy": [0.5, 1.0, 1.0, 0.5], "error": [0.25, 0.0, 0.0, 0.25]}
    rows = [{"name": "control", **row}, {"name": "DiffCR-LT 30 %", **row, "gain": -0.25, "gain_error": 0.2}]
    assert not any("two things" in line for line in page_of({}, tmp_path))
    lines = page_of({}, tmp_path, {"count": 4, "against": "control", "rows": rows, "judge": JUDGE})
    assert "| control | 50.0 | 100.0 | 100.0 | 50.0 ± 25.0 |  |" in lines
    assert "| DiffCR-LT 30 % | 50.0 | 100.0 | 100.0 | 50.0 ± 25.0 | -25.0 ± 20.0 |" in lines
    assert any("right about 100.0 % of unseen halves" in line for line in lines)


def test_a_tie_is_told_as_a_tie():
    assert results.gained({"gain": 0.0, "gain_error": 0.0}) == "+0.0 ± 0.0" and results.gained({}) == ""
