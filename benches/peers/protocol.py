"""What a peer is to the conductor: a program that lives long and answers lines.

    load FOLDER OUT   loads a case, runs one step and writes its `prediction` to OUT (safetensors)
    time FOLDER       one step to get warm, then steps for a quarter of a second, at least one

An answer is a line of JSON: `{"flops": N or null}`, `{"seconds": N}` (a step's, the mean), or `{"error": "…"}`.
A case's folder has `case.json`, `inputs.safetensors` and the model's files (see `cases.py`).
"""

import contextlib
import json
import select
import subprocess
import sys
import time
from pathlib import Path

#: A step is repeated for so long.
SECONDS = 0.25
#: An answer takes so many seconds at most: shaders of some engines are long in compiling.
PATIENCE = 300


def serve(load) -> None:
    """A peer in Python: `load(folder)` returns a function that runs one step and returns the prediction as an array."""
    from safetensors.numpy import save_file

    answers, sys.stdout = sys.stdout, sys.stderr  # libraries talk
    steps = {}
    for line in sys.stdin:
        verb, folder, *out = line.split()
        try:
            if verb == "load":
                steps[folder] = load(Path(folder))
                save_file({"prediction": steps[folder]()}, out[0])
                answer = {"flops": None}
            else:
                answer = {"seconds": seconds(steps[folder])}
        except Exception as error:  # whatever a library raises is this case's answer, and the next case may work
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0]}
        print(json.dumps(answer), file=answers, flush=True)


def seconds(step) -> float:
    step()
    runs, start = 0, time.perf_counter()
    while runs == 0 or time.perf_counter() - start < SECONDS:
        step()
        runs += 1
    return (time.perf_counter() - start) / runs


class Failed(Exception):
    """A peer's own words on why a case does not work."""


class Peer:
    """A peer as the conductor sees it."""

    def __init__(self, name: str, command: list, env: dict, log: Path):
        self.name, self.log = name, log
        command = [str(part) for part in command]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log.open("w"), env=env, text=True
        )

    def load(self, folder: Path, out: Path) -> float | None:
        """Loads a case and writes its prediction; returns the FLOPs of a step, where the peer counts them."""
        return self.ask("load", folder, out)["flops"]

    def time(self, folder: Path) -> float:
        return self.ask("time", folder)["seconds"]

    def ask(self, *words) -> dict:
        try:
            print(*words, file=self.process.stdin, flush=True)
            ready, _, _ = select.select([self.process.stdout], [], [], PATIENCE)
            if not ready:
                self.process.kill()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise Failed(f"it ended, or took longer than {PATIENCE} s; its words are in {self.log.name}")
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def stop(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.wait()
