"""The project's table: quality against work for every policy, on held-out prompts.

    python -m training.train_classifier                        # the judge, once
    python -m training.evaluate quality --count 2000           # draw and judge every row whose model is there
    python -m training.evaluate pairs                          # the same for prompts of two things
    python -m training.evaluate timing                         # work and time of every row
    python -m training.evaluate table                          # docs/results.md, from what the two have left
    python -m training.evaluate engine                         # the engine's pictures are PyTorch's

The engine draws and is timed, on the processor; `--bin` names the built program. Pictures, figures and times are kept under --out:
every command goes on where it stopped and does again only what changed.
"""

from .runtime import prepare, threads_option

if __name__ == "__main__":
    prepare(threads_option())

import argparse
import json
import os
from pathlib import Path

import diffusers
import torch
import transformers

from .encode import reduced
from .evaluation import agreement, classifier, curves, drawing, pairs, reference, results, rows, sheet, timing
from .evaluation.prompts import held_out
from .evaluation.quality import judge
from .presets import PRESETS
from .program import BUILT

SHOWN = 8  # prompts whose pictures are shown beside the table


def settings_of(arguments) -> dict:
    return {"guidance": arguments.guidance, "seed": arguments.seed}


def measure_quality(arguments) -> None:
    """Rows are judged anew every time, which costs seconds; only pictures are kept."""
    model = classifier.load(arguments.classifier / "classifier.safetensors")
    prompts, wanted = held_out(arguments.count)
    real = reference.real(model, arguments.size)
    judged = reference.floors(model, real, arguments.vae, arguments.count, arguments.size)
    engine = drawing.Engine(arguments.bin, arguments.guidance, arguments.workers)
    qualities = {}
    for row in chosen(arguments):
        name = rows.key(row, settings_of(arguments))
        pictures = drawing.pictures(engine, row, arguments.out / name, prompts, arguments.seed * 10**6)
        quality = qualities[row.name] = judge(model, reduced(pictures, arguments.size), wanted, real)
        judged.append({
            "name": row.name, "key": name, "model": str(row.model), "policy": row.policy, "ratio": row.ratio, "step_cache": row.step_cache,
            "steps": row.steps, "note": row.note, "saved": round(row.saved(), 4), "pictures": len(pictures),
            "right": "".join("01"[int(right)] for right in quality.right[:, 3]), "fd": quality.fd, "fd_error": quality.fd_error,
            "accuracy": quality.accuracy().tolist(), "error": quality.error().tolist(),
        })  # fmt: skip
        accuracy = ", ".join(f"{100 * value:.1f}" for value in quality.accuracy())
        print(f"{row.name}: FD-scenes {quality.fd:.2f} ± {quality.fd_error:.2f}, object, colour, place, all: {accuracy} %", flush=True)
        keep_judged(arguments, "quality.json", judged, qualities)  # after every row, so that a table can be made of those that are done


def measure_pairs(arguments) -> None:
    model = classifier.load(arguments.classifier / "pairs" / "classifier.safetensors")
    prompts, wanted = pairs.held_out(arguments.count)
    engine = drawing.Engine(arguments.bin, arguments.guidance, arguments.workers)
    judged, found = [], {}
    for row in chosen(arguments):
        folder = arguments.out / "pairs" / rows.key(row, settings_of(arguments))
        pictures = drawing.pictures(engine, row, folder, prompts, arguments.seed * 10**6)
        found[row.name] = accuracy = pairs.judge(model, reduced(pictures, arguments.size), prompts, wanted)
        judged.append({"name": row.name, "accuracy": accuracy.accuracy().tolist(), "error": accuracy.error().tolist()})
        told = ", ".join(f"{100 * value:.1f}" for value in accuracy.accuracy())
        print(f"{row.name}: both objects, both colours, place, all: {told} %", flush=True)
        keep_judged(arguments, "pairs.json", judged, found)


def chosen(arguments) -> list[rows.Row]:
    """The rows whose models are there, or those of them that were named."""
    found = rows.read(arguments.rows)
    if missing := set(arguments.only or ()) - {row.name for row in found}:
        raise SystemExit(f"--only: no row {', '.join(map(repr, sorted(missing)))} with a model that is there")
    return [row for row in found if not arguments.only or row.name in arguments.only]


def keep_judged(arguments, file: str, judged: list[dict], qualities: dict) -> None:
    """With every row's difference to the one it is measured against, if that is there."""
    control = qualities.get(arguments.against)
    for record in judged:
        if control is not None and record["name"] in qualities and record["name"] != arguments.against:
            record["gain"], record["gain_error"] = qualities[record["name"]].against(control)
    report = {**settings_of(arguments), "count": arguments.count, "against": arguments.against, "rows": judged}
    results.keep(arguments.out / file, report)


def measure_times(arguments) -> None:
    done = results.kept(arguments.out / "timing.json")
    for row in chosen(arguments):
        name = rows.key(row, {"adapter": arguments.adapter})
        if name not in done or arguments.again:
            done[name] = timing.bench(arguments.bin, row, arguments.adapter)
            results.keep(arguments.out / "timing.json", done)
        policy = done[name]["row"]
        print(f"{row.name}: {policy['flops'] / 1e9:.3f} GFLOP, {1e3 * policy['seconds']:.1f} ms, {policy['speedup']:.2f}× dense", flush=True)


def compare_engine(arguments) -> None:
    prompts, _ = held_out(arguments.count)
    for row in chosen(arguments):
        maximum, mean = agreement.compare(arguments.bin, row, prompts, arguments.seed * 10**6, arguments.guidance)
        print(f"{row.name}: {len(prompts)} pictures, largest difference {maximum:.1e}, mean {mean:.1e} (of 1)", flush=True)


def write_table(arguments) -> None:
    times = results.kept(arguments.out / "timing.json")
    judge_accuracy = json.loads((arguments.classifier / "accuracy.json").read_text())
    times = {row.name: times[name] for row in rows.read(arguments.rows) if (name := rows.key(row, {"adapter": arguments.adapter})) in times}
    quality = results.kept(arguments.out / "quality.json")
    two = results.kept(arguments.out / "pairs.json")
    if two:
        two["judge"] = json.loads((arguments.classifier / "pairs" / "accuracy.json").read_text())
    results.write(arguments.results, quality, times, judge_accuracy, two)
    drawn = [(row["name"], arguments.out / row["key"]) for row in quality["rows"] if "key" in row]
    sheet.write(arguments.results.with_suffix(".png"), drawn, held_out(SHOWN)[0])
    if times:
        curves.write(arguments.results.with_name(f"{arguments.results.stem}-curves.png"), quality, times)
    print(arguments.results)


def main():
    parser = argparse.ArgumentParser(prog="python -m training.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run, text: str):
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        sub.add_argument("--rows", type=Path, default=Path(__file__).parent / "evaluation/rows.json", help="see evaluation/rows.py")
        sub.add_argument("--out", type=Path, default=Path("runs/eval"), help="where pictures and figures are kept")
        sub.add_argument("--threads", type=int)
        return sub

    def sampled(sub, count: int):
        sub.add_argument("--count", type=int, default=count, help="pictures of a row")
        sub.add_argument("--guidance", type=float, default=4.0)
        sub.add_argument("--seed", type=int, default=0, help="another one draws other pictures of the same prompts")
        return sub

    def judged(sub):
        sub.add_argument("--classifier", type=Path, default=Path("runs/classifier"))
        return sub

    quality = judged(sampled(command("quality", measure_quality, "draw and judge every row"), 2000))
    quality.add_argument("--vae", type=Path, default=Path("assets/scenes/vae"), help="for the best that its decoder allows")
    two = judged(sampled(command("pairs", measure_pairs, "draw and judge prompts of two things"), 512))
    for sub in (quality, two):
        sub.add_argument("--workers", type=int, default=os.cpu_count(), help="pictures that are drawn at a time, each on one thread")
        sub.add_argument("--size", type=int, default=PRESETS["cpu"].picture, help="of the pictures that the judge sees: larger ones are reduced")
        sub.add_argument("--against", default="dense, fine-tuned as long", help="the row that the others' accuracy is compared with")
    times = command("timing", measure_times, "FLOPs and time of every row, by the engine's bench")
    times.add_argument("--again", action="store_true", help="also rows that are timed already")
    table = judged(command("table", write_table, "write the results page"))
    table.add_argument("--results", type=Path, default=Path("docs/results.md"))
    engine = sampled(command("engine", compare_engine, "the engine's pictures beside PyTorch's"), 4)
    for sub in (quality, two, times, engine):
        sub.add_argument("--only", nargs="+", metavar="ROW", help="names of rows; without it all")
    for sub in (times, table):
        sub.add_argument("--adapter", default="cpu", help="that times are of, as the engine's option")
    for sub in (quality, two, times, engine):
        sub.add_argument("--bin", type=Path, default=BUILT)

    arguments = parser.parse_args()
    # diffusers warns of every router that it leaves out of its own classes.
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    arguments.run(arguments)


if __name__ == "__main__":
    main()
