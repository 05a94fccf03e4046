"""What was measured, as Markdown: ratios first, then seconds."""

import datetime
import importlib.metadata
import os
import platform
import re
import statistics
from dataclasses import dataclass, field
from pathlib import Path

from .cases import Case
from .engines import ALL, YARDSTICK

BEGIN, END = "<!-- peers: written by python -m benches.peers --write -->", "<!-- /peers -->"
OURS = [name for name, engine in ALL.items() if engine.policies]

median = statistics.median


@dataclass
class Run:
    """What was found with one number of threads, by case, policy and engine."""

    seconds: dict = field(default_factory=dict)
    flops: dict = field(default_factory=dict)
    deviations: dict = field(default_factory=dict)
    failures: dict = field(default_factory=dict)

    def ratio(self, of: tuple, to: tuple) -> float | None:
        """The median over the rounds in which both were timed."""
        pairs = list(zip(self.seconds.get(of, []), self.seconds.get(to, [])))
        return median([a / b for a, b in pairs]) if pairs else None

    def engines(self) -> list[str]:
        return [name for name in ALL if any(key[2] == name for key in self.seconds)]


def markdown(cases: list[Case], runs: dict[int, Run], rounds: int) -> str:
    parts = [f"{machine()} Medians of {rounds} rounds, of what takes more than a second 3."]
    for threads, run in runs.items():
        parts += [f"**Time of a dense step / time of {YARDSTICK}, {words(threads)}** (below 1 is faster).", dense(cases, run)]
    parts += ["**Policies**: time and FLOPs relative to Foveate's own dense step.", policies(cases, runs)]
    if len(runs) > 1:
        parts += scaling(cases, runs)
    parts += ["**Seconds a step**", seconds(cases, runs), notes(runs)]
    return "\n\n".join(part for part in parts if part) + "\n"


def dense(cases: list[Case], run: Run) -> str:
    names = [name for name in run.engines() if name != YARDSTICK]
    rows = [
        [case.words, *(number(run.ratio((case.name, "dense", name), (case.name, "dense", YARDSTICK))) for name in names)]
        for case in cases
    ]
    return table(["", *names], rows)


def policies(cases: list[Case], runs: dict[int, Run]) -> str:
    rows = []
    for case in cases:
        for policy in case.policies:
            for threads, run in runs.items():
                for name in (name for name in OURS if run.seconds.get((case.name, policy, name))):
                    own, key = (case.name, "dense", name), (case.name, policy, name)
                    time, flops = run.ratio(key, own), run.flops[key] / run.flops[own]
                    of_peer = run.ratio(key, (case.name, "dense", YARDSTICK))
                    where = name if ALL[name].adapter else f"{name}, {words(threads)}"
                    rows.append([case.words, policy, where, number(flops), number(time), number(time and flops / time), number(of_peer)])
    return table(["", "policy", "", "FLOPs", "time", "realised", f"time / dense {YARDSTICK}"], rows)


def scaling(cases: list[Case], runs: dict[int, Run]) -> list[str]:
    (most, many), (least, few) = max(runs.items()), min(runs.items())
    names = [name for name in few.engines() if not ALL[name].adapter]
    rows = []
    for case in cases:
        keys = [(case.name, "dense", name) for name in names]
        both = [(few.seconds.get(key), many.seconds.get(key)) for key in keys]
        rows.append([case.words, *(number(median(a) / median(b) if a and b else None) for a, b in both)])
    return [f"**Time with {words(least)} / time with {words(most)}**", table(["", *names], rows)]


def seconds(cases: list[Case], runs: dict[int, Run]) -> str:
    rows = []
    for case in cases:
        for threads, run in runs.items():
            found = [run.seconds.get((case.name, "dense", name)) for name in ALL]
            rows.append([case.words, str(threads), *(f"{median(of):.4f}" if of else "–" for of in found)])
    return table(["", "threads", *ALL], rows)


def notes(runs: dict[int, Run]) -> str:
    off = max((off for run in runs.values() for off in run.deviations.values()), default=0.0)
    lines = [f"Every engine's dense prediction agrees with that of diffusers within {off:.0e} (relative L2)."]
    for threads, run in runs.items():
        lines += [f"{name}, {case}, {policy}, {words(threads)}: {why}." for (case, policy, name), why in run.failures.items()]
    return " ".join(lines)


def machine() -> str:
    """The date, the machine, and the versions."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    model = re.search(r"model name\s*: (.*)", info)
    vectors = next((words for flag, words in [("avx512f", "AVX-512"), ("avx2", "AVX2")] if f" {flag} " in info), None)
    kind = " ".join((model.group(1) if model else platform.machine()).split())
    burn = re.search(r'name = "burn"\nversion = "(.*)"', (Path(__file__).parent / "burn/Cargo.lock").read_text())
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("torch", "onnxruntime")]
    cores = f"{len(os.sched_getaffinity(0))} CPU cores ({kind}{', ' + vectors if vectors else ''})"
    date = f"{datetime.date.today():%-d %B %Y}"
    return f"{date}, {cores}, {', '.join(versions)}, burn {burn.group(1)}. f32, batch 2."


def words(threads: int) -> str:
    return "one thread" if threads == 1 else "two threads" if threads == 2 else f"{threads} threads"


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write(file: Path, text: str) -> None:
    """Replaces what stands between the two marks."""
    whole = file.read_text()
    before, after = whole.split(BEGIN)[0], whole.split(END)[1]
    file.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}")
