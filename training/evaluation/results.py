"""The results page: what is between its two marks is written by the command, the reading around it by hand."""

import datetime
import json
from pathlib import Path

from . import matched, timing
from .rows import STEPS

BEGIN, END = "<!-- begin of what `python -m training.evaluate table` writes -->", "<!-- end of it -->"


def kept(path: Path) -> dict:
    return json.loads(path.read_text()) if path.exists() else {}


def keep(path: Path, value: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value, indent=1) + "\n")
    partial.replace(path)


def write(page: Path, quality: dict, times: dict[str, dict], judge: dict, pairs: dict) -> None:
    text = page.read_text() if page.exists() else f"# Results\n\n{BEGIN}\n{END}\n"
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n\n{section(quality, times, judge, pairs)}\n{END}{after}")


def section(quality: dict, times: dict[str, dict], judge: dict, pairs: dict) -> str:
    lines = conditions(quality, times, judge)
    lines += ["", *quality_table(quality["rows"], quality["against"])]
    if times:
        lines += ["", *time_table(quality["rows"], times, quality["against"])]
    if pairs:
        lines += ["", *pairs_table(pairs)]
    return "\n".join(lines) + "\n"


def conditions(quality: dict, times: dict, judge: dict) -> list[str]:
    percent = lambda part: ", ".join(f"{name} {100 * value:.1f}" for name, value in judge[part].items())
    lines = [
        f"{datetime.date.today():%-d %B %Y}. {quality['count']} pictures a row, {STEPS} steps where the row does not say how many, guidance "
        f"{quality['guidance']:g}, seed {quality['seed']}; every row draws the same prompts from the same noise. The judge on unseen scenes: {percent('drawn')} % "
        f"right; on the same through the autoencoder: {percent('decoded')} %.",
        f"*Rows saved*: the share of the token rows of a dense run in {STEPS} steps that are not computed, over layers and a block's three "
        "sublayers. Routing saves a row in all three; merging leaves cross-attention alone; a step cache saves every row of the blocks it "
        "skips; pooled keys save none.",
    ]
    if times:
        first = next(iter(times.values()))
        lines.append(
            f"Machine: {first['machine']}, adapter {first['adapter']}. Speed-up: the middle one of {timing.RUNS} runs of `foveate bench`, between "
            "the least and the greatest; where these are missing, one run. *Time of a picture*: of its steps, in dense steps. *Against dense "
            "in the same time*: more or fewer pictures all right than the dense model has in as many steps as take that time, between the "
            "rows of the dense model in a straight line."
        )
        if not all(entry.get("quiet") for entry in times.values()):
            lines.append("Times taken while the machine had other work are left out (–): `python -m training.evaluate timing --again`.")
    return lines


def quality_table(rows: list[dict], against: str) -> list[str]:
    lines = [
        f"| | rows saved | FD-scenes ↓ | object % | colour % | place % | all three % | all three, against *{against}* |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        accuracy = [f"{100 * value:.1f}" for value in row["accuracy"]]
        cells = [row["name"] + (f" ({row['note']})" if row.get("note") else ""), f"{row['saved']:.0%}" if "saved" in row else ""]
        cells += [f"{row['fd']:.2f} ± {row['fd_error']:.2f}", *accuracy[:3], f"{accuracy[3]} ± {100 * row['error'][3]:.1f}"]
        cells.append(gained(row))
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def gained(row: dict) -> str:
    """Its difference to the row that all are compared with; a tie is told as one."""
    return f"{100 * row['gain']:+.1f} ± {100 * row['gain_error']:.1f}" if "gain" in row else ""


def pairs_table(pairs: dict) -> list[str]:
    lines = [
        f"Prompts of two things, {pairs['count']} pictures a row, otherwise as above. A classifier of halves judges, which is right about "
        f"{100 * pairs['judge']['decoded']['all']:.1f} % of unseen halves through the autoencoder; where a prompt does not say which thing is "
        "left, either order is right.",
        "",
        f"| two things | both objects % | both colours % | place % | all % | all, against *{pairs['against']}* |",
        "|---|---|---|---|---|---|",
    ]
    for row in pairs["rows"]:
        cells = [row["name"], *(f"{100 * value:.1f}" for value in row["accuracy"][:3]), f"{100 * row['accuracy'][3]:.1f} ± {100 * row['error'][3]:.1f}"]
        cells.append(gained(row))
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def time_table(rows: list[dict], times: dict[str, dict], against: str) -> list[str]:
    rungs = matched.ladder(rows, against)
    lines = [
        "| | rows saved | GFLOP a step | FLOPs of a step saved | speed-up by FLOPs | ms a step | speed-up | realised | of its time routing or matching"
        " | time of a picture | all three, against dense in the same time |",
        "|" + "---|" * 11,
    ]
    for row in rows:
        if row["name"] not in times:
            continue
        entry, dense = times[row["name"]]["row"], times[row["name"]]["dense"]
        cells = [row["name"], f"{row['saved']:.0%}", f"{entry['flops'] / 1e9:.3f}", f"{1 - entry['flops'] / dense['flops']:.0%}"]
        cells.append(f"{entry['ideal_speedup']:.2f}×")
        speedup, runs = f"{entry['speedup']:.2f}×", times[row["name"]].get("speedups")
        speedup += f" ({runs[0]:.2f}–{runs[-1]:.2f})" if runs and runs[0] < runs[-1] else ""
        times_of = [f"{1e3 * entry['seconds']:.2f}", speedup, f"{entry['realised']:.0%}"]
        share = entry.get("overhead_share")
        times_of.append("–" if share is None else f"{share:.1%}")
        gain = matched.gain(row, times[row["name"]], rungs)
        times_of.append(f"{matched.duration(row, times[row['name']]):.1f}")
        times_of.append("–" if gain is None else f"{100 * gain[0]:+.1f} ± {100 * gain[1]:.1f}")
        cells += times_of if times[row["name"]].get("quiet") else ["–"] * 6
        lines.append("| " + " | ".join(cells) + " |")
    return lines
