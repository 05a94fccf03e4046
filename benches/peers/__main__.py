"""Foveate beside other engines, in one run:  python -m benches.peers [--write]

Every engine computes the same function of the same weights and inputs, which is checked against diffusers first. Then all
take turns, case by case and round by round, so that what else the machine does slows all alike. It prints tables in
Markdown, ratios first; `--write` puts them into docs/performance.md. README.md beside this file says what it needs.
"""

import argparse
import os
import sys
from pathlib import Path

import numpy
from safetensors.numpy import load_file

from . import engines, report
from .cases import CASES, written
from .protocol import Failed

ROOT = Path(__file__).parents[2]
#: Below it, where everything runs.
WORK = Path("target/peers")
#: Relative L2, between a peer's prediction and that of diffusers.
TOLERANCE = 1e-4
#: What takes longer than so many seconds a step is timed in so many rounds.
SLOW, SLOW_ROUNDS = 1.0, 3


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benches.peers", description=__doc__.split("\n\n")[1])
    most = len(os.sched_getaffinity(0))
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({most, 1}, reverse=True), help="of each engine on the processor")
    parser.add_argument("--rounds", type=int, default=5, help="0: check what every engine predicts, and time nothing")
    parser.add_argument("--cases", nargs="+", default=[case.name for case in CASES], choices=[case.name for case in CASES])
    parser.add_argument("--engines", nargs="+", default=list(engines.ALL), choices=list(engines.ALL))
    parser.add_argument("--write", action="store_true", help="put the tables into docs/performance.md")
    options = parser.parse_args()
    if engines.YARDSTICK not in options.engines:
        parser.error(f"every ratio is to {engines.YARDSTICK}: it cannot be left out")

    os.chdir(ROOT)
    programs = engines.build(options.engines)
    say("cases")
    folders = written(WORK, Path("assets/scenes"))
    cases = [(case, folders[case.name]) for case in CASES if case.name in options.cases]
    runs = {threads: measured(options, programs, cases, threads, adapters=threads == options.threads[0]) for threads in options.threads}
    text = report.markdown([case for case, _ in cases], runs, options.rounds)
    print(text)
    if options.write:
        report.write(Path("docs/performance.md"), text)


def measured(options, programs, cases, threads: int, adapters: bool) -> report.Run:
    """All rounds with so many threads; engines on a software adapter, which takes all cores, only where `adapters`."""
    run = report.Run()
    peers = engines.started(options.engines, programs, threads, adapters, WORK)
    try:
        for case, folders in cases:
            for peer in peers:
                load(run, peer, case, folders, threads)
        for number in range(options.rounds):
            say(f"{threads} threads, round {number + 1} of {options.rounds}")
            for case, folders in cases:
                # Nobody always comes after the same neighbour.
                for peer in peers if number % 2 == 0 else reversed(peers):
                    for policy, folder in folders:
                        time(run, peer, (case.name, policy, peer.name), folder, number)
    finally:
        for peer in peers:
            peer.stop()
    return run


def load(run: report.Run, peer, case, folders, threads: int) -> None:
    """Loads a case and checks what it predicts; only foveate has policies beside dense."""
    for policy, folder in folders:
        key = (case.name, policy, peer.name)
        if policy != "dense" and not engines.ALL[peer.name].policies:
            continue
        say(f"{threads} threads, {peer.name}: {case.name}, {policy}")
        out = WORK / "prediction.safetensors"
        try:
            run.flops[key] = peer.load(folder, out)
            if policy == "dense":
                off = deviation(load_file(out)["prediction"], load_file(folder / "expected.safetensors")["prediction"])
                if not off <= TOLERANCE:
                    raise Failed(f"predicts something else than diffusers: relative L2 {off:.1e}")
                run.deviations[key] = off
            run.seconds[key] = []
        except Failed as failed:
            say(f"  {failed}")
            run.failures[key] = str(failed)


def time(run: report.Run, peer, key, folder: Path, number: int) -> None:
    seconds = run.seconds.get(key)
    if seconds is None or (number >= SLOW_ROUNDS and report.median(seconds) > SLOW):
        return
    try:
        seconds.append(peer.time(folder))
    except Failed as failed:
        say(f"{', '.join(key)}: {failed}")
        run.failures[key] = str(failed)
        del run.seconds[key]


def deviation(found: numpy.ndarray, expected: numpy.ndarray) -> float:
    return float(numpy.linalg.norm(found.reshape(expected.shape) - expected) / numpy.linalg.norm(expected))


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
