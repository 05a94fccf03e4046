"""Work and time of a row by the engine itself: `foveate bench`, which runs dense and compressed steps in turn."""

import json
import os
import platform
import subprocess
from pathlib import Path

from .rows import Row


def bench(binary: Path, row: Row) -> dict:
    """{"adapter", "machine", "quiet", "dense", "row"}: the last two as bench reports them, per step of the transformer with guidance."""
    # What else ran in the minute before takes its share of a software adapter, and not the same one of every policy.
    quiet = os.getloadavg()[0] < 0.25 * os.cpu_count()
    policies = "dense" if row.policy == "dense" else f"dense,{row.policy}"
    command = [binary, "bench", "--model", row.model, "--policies", policies, "--json"]
    if row.ratio is not None:
        command += ["--ratio", row.ratio]
    # No Vulkan driver should find a display to talk to.
    environment = {**os.environ, "XDG_RUNTIME_DIR": "/nonexistent"}
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment)
    if result.returncode:
        raise SystemExit(f"{row.name}: {result.stderr.strip() or result.stdout.strip()}")
    report = json.loads(result.stdout)
    entry = {policy["policy"]: policy for policy in report["policies"]}
    return {"adapter": report["adapter"], "machine": machine(), "quiet": quiet, "dense": entry["dense"], "row": entry[row.policy]}


def machine() -> str:
    """Number and kind of processors."""
    model = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0] if names else model
    return f"{os.cpu_count()} cores of {model or platform.machine()}"
