"""The engines: how each is built, started, and told how many threads it has."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .protocol import Peer


@dataclass(frozen=True)
class Engine:
    #: The program and its arguments; THREADS stands for their number.
    command: tuple[str, ...]
    #: Whether it runs on a software adapter rather than on the processor.
    adapter: bool = False
    #: Whether it has policies beside dense.
    policies: bool = False


FOVEATE, BURN, PYTHON = "foveate", "burn", "python"
YARDSTICK = "PyTorch eager"
ALL = {
    "Foveate": Engine((FOVEATE, "cpu", "THREADS"), policies=True),
    YARDSTICK: Engine((PYTHON, "-m", "benches.peers.torch_peer", "eager", "THREADS")),
    "PyTorch compile": Engine((PYTHON, "-m", "benches.peers.torch_peer", "compile", "THREADS")),
    "onnxruntime": Engine((PYTHON, "-m", "benches.peers.onnxruntime_peer", "THREADS")),
    "burn flex": Engine((BURN, "flex")),
    "Foveate, adapter": Engine((FOVEATE, "gpu"), adapter=True, policies=True),
    "burn wgpu": Engine((BURN, "wgpu"), adapter=True),
}


def build(names: list[str]) -> dict[str, str]:
    """The programs that these engines need, built where they are not."""
    needed = {ALL[name].command[0] for name in names}
    programs = {PYTHON: sys.executable}
    if FOVEATE in needed:
        programs[FOVEATE] = cargo("-p", "foveate", "--bench", "peer")
    if BURN in needed:
        programs[BURN] = cargo("--manifest-path", "benches/peers/burn/Cargo.toml")
    return programs


def cargo(*target: str) -> str:
    """Builds as for a release; returns the program."""
    command = ["cargo", "build", "--release", "--locked", *target, "--message-format", "json-render-diagnostics"]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    executables = [json.loads(line).get("executable") for line in told.splitlines()]
    return next(path for path in executables if path)


def started(names: list[str], programs: dict[str, str], threads: int, adapters: bool, work: Path) -> list[Peer]:
    """The engines' programs, waiting for cases."""
    count = str(threads)
    environment = {**os.environ, "OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "RAYON_NUM_THREADS": count}
    peers = []
    for name in names:
        engine = ALL[name]
        if engine.adapter and not adapters:
            continue
        program, *arguments = engine.command
        command = [programs[program], *(count if word == "THREADS" else word for word in arguments)]
        log = work / f"{name.lower().replace(', ', '-').replace(' ', '-')}.log"
        peers.append(Peer(name, command, environment, log))
    return peers
