"""Work and time of a row by the engine itself: `foveate bench`, which runs dense and compressed steps in turn."""

import os
import platform
import time
from pathlib import Path

from ..program import says
from .rows import Row

RUNS, ROUNDS = 3, 15  # of bench, each of which tells the median of its rounds


def bench(binary: Path, row: Row, adapter: str) -> dict:
    """The run with the middle speed-up, and "speedups", all of them in order."""
    runs = sorted((run(binary, row, adapter) for _ in range(RUNS)), key=lambda run: run["row"]["speedup"])
    return {**runs[RUNS // 2], "quiet": all(run["quiet"] for run in runs), "speedups": [run["row"]["speedup"] for run in runs]}


def run(binary: Path, row: Row, adapter: str) -> dict:
    """{"adapter", "machine", "quiet", "dense", "row"} and under a cache "uncached", the same without: the last three as bench reports them,
    per step of the transformer with guidance."""
    policies = "dense" if row.policy == "dense" else f"dense,{row.policy}"
    words = ["bench", "--model", row.model, "--policies", policies, "--repeats", ROUNDS, *row.options(), "--adapter", adapter]
    before = taken_by_others()
    report = says(binary, *words, of=row.name)
    after = taken_by_others()
    # What else runs takes its share of a software adapter, and not the same one of every policy.
    quiet = (after[0] - before[0]) / (after[1] - before[1]) < 0.1
    entry = {policy["policy"]: policy for policy in report["policies"]}
    found = {"adapter": report["adapter"], "machine": machine(), "quiet": quiet, "dense": entry["dense"]}
    if row.step_cache:
        return {**found, "uncached": entry[row.policy], "row": entry[f"{row.policy} + cache"]}
    return {**found, "row": entry[row.policy]}


def taken_by_others() -> tuple[float, float]:
    """Seconds of all processors: those that neither this program nor what it started has taken, and all; by the load of the last minute
    where there is no /proc."""
    stat = Path("/proc/stat")
    if not stat.exists():
        all_of_them = os.cpu_count() * time.monotonic()
        return min(1.0, os.getloadavg()[0] / os.cpu_count()) * all_of_them, all_of_them
    user, nice, system, free, waiting, *rest = (int(ticks) / os.sysconf("SC_CLK_TCK") for ticks in stat.read_text().split("\n", 1)[0].split()[1:9])
    busy, own = user + nice + system + sum(rest), os.times()
    return busy - own.user - own.system - own.children_user - own.children_system, busy + free + waiting


def machine() -> str:
    """Number and kind of processors."""
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    return f"{os.cpu_count()} cores of {model or platform.machine()}"
