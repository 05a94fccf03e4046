"""The rows of the table: which model runs under which policy. A JSON list of

    {"name": "DiffCR-LT 20 %", "model": "runs/diffcr/lt-0.2/model", "policy": "diffcr", "ratio": 0.2,
     "otherwise": {"model": "runs/diffcr/lt-0.3/model", "note": "…"}}

`policy` and `ratio` as in `load_routed`, or a policy without training: sdtm, tome, kv. `set` and `step_cache` are what the engine takes as
`--set` and `--step-cache`, the latter written out: "every=2,first=1,last=1". `steps` is for rows that draw in fewer than STEPS.
`otherwise` replaces fields where the model's folder does not exist.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

SUBLAYERS = 3  # of a PixArt block: self-attention, cross-attention, MLP
STEPS = 20  # denoising steps of a row that does not say how many


@dataclass(frozen=True)
class Row:
    name: str
    model: Path
    policy: str
    ratio: float | None = None
    set: dict = field(default_factory=dict)
    step_cache: str = ""
    steps: int = STEPS
    note: str = ""

    @property
    def weights(self) -> Path:
        return self.model / "transformer" / "diffusion_pytorch_model.safetensors"

    def options(self) -> list[str]:
        """What the engine's commands are told of it, apart from model and policy."""
        given = [] if self.ratio is None else ["--ratio", str(self.ratio)]
        for key, value in self.set.items():
            given += ["--set", f"{key}={str(value).lower() if isinstance(value, bool) else value}"]
        return given + (["--step-cache", self.step_cache] if self.step_cache else [])

    def saved(self) -> float:
        """The share of the token rows of a dense run in STEPS steps that are not computed, over layers and a block's sublayers."""
        return 1 - self.steps / STEPS * (1 - self.saved_of_steps(self.steps))

    def saved_of_steps(self, steps: int) -> float:
        """The same, of a dense run in as many steps."""
        blocks = self.of_blocks(steps)
        if self.step_cache:
            from ..goldens.cached import StepCache

            cache = StepCache.read(self.step_cache)
            if len(blocks) != steps:
                blocks = [list(blocks[number]) for number in self.regions(steps, len(blocks))]
            for step, layers in enumerate(blocks):
                for layer in range(cache.first, len(layers) - cache.last):
                    layers[layer] = layers[layer] if step % cache.every == 0 else 1.0
        return sum(map(sum, blocks)) / sum(map(len, blocks))

    def of_blocks(self, steps: int) -> list[list[float]]:
        """The share of its rows that a block saves, [steps][layers], or of routed rows [regions][layers]: regions are equally long."""
        config = json.loads((self.model / "transformer" / "config.json").read_text())
        every_layer = lambda share: [share] * config["num_layers"]
        if self.policy in ("dense", "kv"):  # kv pools what is attended to; every row is computed
            return [every_layer(0.0) for _ in range(steps)]
        if self.policy == "mod" and self.ratio is not None:
            return [every_layer(self.ratio) for _ in range(steps)]
        if self.policy in ("sdtm", "tome"):
            return [every_layer(share) for share in self.merged_away(steps, (config["sample_size"] // config["patch_size"]) ** 2)]
        from ..diffcr import rescale, snap

        matrix, bins = config["diffcr"]["kept_ratio"], config["diffcr"]["bins"]
        if self.policy == "diffcr":
            matrix = rescale(matrix, bins, 1 - self.ratio) if self.ratio is not None else [[snap(r, bins) for r in row] for row in matrix]
        return [[1 - kept for kept in row] for row in matrix]

    def merged_away(self, steps: int, tokens: int) -> list[float]:
        from ..goldens import merged

        options = merged.options_of({"compress": self.policy, "ratio": self.ratio, "set": self.set | {"deterministic": True}})
        if self.policy == "tome":
            rows = min(int(tokens * options["ratio"]), tokens * 3 // 4)
            return [rows * (options["attn"] + options["mlp"]) / (SUBLAYERS * tokens)] * steps
        sdtm, shares, every = merged.Sdtm(options, steps), [], options["protect_every"]
        for step in range(steps):
            count = 0 if every and step % every == 0 else max(0, sdtm.counts(step, tokens)[1])
            # Windows of four in attention and MLP; single tokens in the MLP.
            shares.append(count * (3 * 2 if sdtm.structure(step) else 1) / (SUBLAYERS * tokens))
        return shares

    def regions(self, steps: int, count: int) -> list[int]:
        """Each step's timestep region."""
        from diffusers import DPMSolverMultistepScheduler

        from ..diffcr import region

        scheduler = DPMSolverMultistepScheduler.from_pretrained(self.model / "scheduler")
        scheduler.set_timesteps(steps)
        return [region(float(t), count, scheduler.config.num_train_timesteps) for t in scheduler.timesteps]


def read(path: Path) -> list[Row]:
    """The rows whose models are there."""
    rows = []
    for fields in json.loads(path.read_text()):
        otherwise = fields.pop("otherwise", {})
        for candidate in (fields, fields | otherwise):
            row = Row(**candidate | {"model": Path(candidate["model"])})
            if row.weights.exists():
                rows.append(row)
                break
        else:
            print(f"{fields['name']}: no model in {fields['model']} yet")
    return rows


def key(row: Row, settings: dict) -> str:
    """Names what was sampled: a row's pictures are used again only if weights, ratios and settings are the same."""
    parts = [row.policy, row.ratio, row.steps, sorted(settings.items()), (row.model / "transformer" / "config.json").read_text()]
    parts += [sorted(row.set.items())] if row.set else []
    parts += [row.step_cache] if row.step_cache else []
    digest = hashlib.sha256(row.weights.read_bytes() + json.dumps(parts).encode()).hexdigest()
    slug = "".join(c if c.isalnum() else "-" for c in row.name.lower().replace(" %", "")).strip("-")
    return f"{slug}-{digest[:10]}"
