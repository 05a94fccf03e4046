"""What every long command shares: allocator settings, threads, the clock, checkpoints."""

import os
import signal
import sys
import time
from pathlib import Path

# glibc returns large blocks to the kernel after every step and then faults them in again; keeping them made a step up to
# five times faster. It reads these at process start only, hence the re-exec.
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(32 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(32 << 30),
    "MALLOC_ARENA_MAX": "1",
    "OMP_WAIT_POLICY": "passive",  # threads that sleep instead of spinning: kinder to whatever runs beside
}


def prepare(threads: int | None) -> None:
    """Restarts the process once with the settings above; call before importing torch, for OpenMP reads them at import."""
    wanted = dict(ALLOCATOR)
    if threads:
        wanted["OMP_NUM_THREADS"] = str(threads)
    if sys.platform == "linux" and any(os.environ.get(key) != value for key, value in wanted.items()):
        os.environ.update(wanted)
        os.execv(sys.executable, sys.orig_argv)


def threads_option() -> int | None:
    """`--threads N`, read before argparse can be: see `prepare`."""
    arguments = sys.argv[1:]
    return int(arguments[arguments.index("--threads") + 1]) if "--threads" in arguments else None


class Budget:
    """Progress through a run measured in minutes, kept across resumptions: 0 at the start, 1 at the end.

    Schedules that follow the clock end where they should on a machine of any speed.
    """

    def __init__(self, minutes: float, spent: float = 0.0):
        self.total = minutes * 60
        self.started = time.monotonic() - spent

    @property
    def spent(self) -> float:
        return time.monotonic() - self.started

    @property
    def progress(self) -> float:
        return min(1.0, self.spent / self.total)


class Interruption:
    """Set by Ctrl-C or a polite kill: the loop ends after its step, and its checkpoint is written."""

    def __init__(self):
        self.asked = False
        for kind in (signal.SIGINT, signal.SIGTERM):
            signal.signal(kind, self.ask)

    def ask(self, kind, frame) -> None:
        self.asked = True
        signal.signal(kind, signal.SIG_DFL)  # asked twice, it ends at once

    def __bool__(self) -> bool:
        return self.asked


def save_checkpoint(path: Path, **state) -> None:
    """Written aside and moved into place, so that an interruption never leaves half a file."""
    import torch

    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def load_checkpoint(path: Path) -> dict | None:
    import torch

    return torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None


def progress(items, count: int, what: str, seconds: float = 1.0):
    """Passes `items` on and says how many are done, at what pace and how long the rest takes; one line, rewritten on a terminal."""
    started = said = time.monotonic()
    on_terminal = sys.stderr.isatty()
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - said < (seconds if on_terminal else 30 * seconds) and done < count:
            continue
        said, pace = now, done / max(now - started, 1e-9)
        filled = 24 * done // count
        line = f"[{'#' * filled}{'.' * (24 - filled)}] {done} of {count} {what}, {pace:.0f} a second, {(count - done) / pace / 60:.1f} min left"
        print(("\r\x1b[K" if on_terminal else "") + line, end="" if on_terminal and done < count else "\n", file=sys.stderr, flush=True)
