"""Work and time of a row by the engine itself: `foveate bench`, which runs dense and compressed steps in turn."""

import json
import os
import platform
import subprocess
import time
from pathlib import Path

from .rows import Row


def bench(binary: Path, row: Row) -> dict:
    """{"adapter", "machine", "quiet", "dense", "row"} and under a cache "uncached", the same without: the last three as bench reports them,
    per step of the transformer with guidance."""
    # What else runs takes its share of a software adapter, and not the same one of every policy.
    quiet = idle() > 0.9
    policies = "dense" if row.policy == "dense" else f"dense,{row.policy}"
    command = [binary, "bench", "--model", row.model, "--policies", policies, "--json", *row.options()]
    # No Vulkan driver should find a display to talk to.
    environment = {**os.environ, "XDG_RUNTIME_DIR": "/nonexistent"}
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment)
    if result.returncode:
        raise SystemExit(f"{row.name}: {result.stderr.strip() or result.stdout.strip()}")
    quiet = quiet and idle() > 0.9
    report = json.loads(result.stdout)
    entry = {policy["policy"]: policy for policy in report["policies"]}
    found = {"adapter": report["adapter"], "machine": machine(), "quiet": quiet, "dense": entry["dense"]}
    if row.step_cache:
        return {**found, "uncached": entry[row.policy], "row": entry[f"{row.policy} + cache"]}
    return {**found, "row": entry[row.policy]}


def idle(seconds: float = 1.0) -> float:
    """Share of the processors' time that nobody takes; by the load of the last minute where there is no /proc."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return 1 - min(1.0, os.getloadavg()[0] / os.cpu_count())

    def times():
        user, nice, system, free, waiting, *rest = map(int, stat.read_text().split("\n", 1)[0].split()[1:9])
        return free + waiting, user + nice + system + free + waiting + sum(rest)

    before = times()
    time.sleep(seconds)
    after = times()
    return (after[0] - before[0]) / max(1, after[1] - before[1])


def machine() -> str:
    """Number and kind of processors."""
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    return f"{os.cpu_count()} cores of {model or platform.machine()}"
