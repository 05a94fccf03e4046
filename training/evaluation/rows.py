"""The rows of the table: which model runs under which policy. A JSON list of

    {"name": "DiffCR-LT 20 %", "model": "runs/diffcr/lt-0.2/model", "policy": "diffcr", "ratio": 0.2,
     "otherwise": {"model": "runs/diffcr/lt-0.3/model", "note": "…"}}

`policy` and `ratio` as in `load_routed`; `otherwise` replaces fields where the model's folder does not exist.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    name: str
    model: Path
    policy: str
    ratio: float | None = None
    note: str = ""

    @property
    def weights(self) -> Path:
        return self.model / "transformer" / "diffusion_pytorch_model.safetensors"

    def saved(self) -> float:
        """The share of tokens that layers and timesteps leave out on average."""
        from ..diffcr import rescale, snap

        if self.policy == "dense":
            return 0.0
        settings = json.loads((self.model / "transformer" / "config.json").read_text())["diffcr"]
        matrix, bins = settings["kept_ratio"], settings["bins"]
        if self.policy == "diffcr":
            matrix = rescale(matrix, bins, 1 - self.ratio) if self.ratio is not None else [[snap(r, bins) for r in row] for row in matrix]
        kept = sum(map(sum, matrix)) / sum(map(len, matrix))
        return self.ratio if self.policy == "mod" and self.ratio is not None else 1 - kept


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
    parts = [row.policy, row.ratio, sorted(settings.items()), (row.model / "transformer" / "config.json").read_text()]
    digest = hashlib.sha256(row.weights.read_bytes() + json.dumps(parts).encode()).hexdigest()
    slug = "".join(c if c.isalnum() else "-" for c in row.name.lower().replace(" %", "")).strip("-")
    return f"{slug}-{digest[:10]}"
