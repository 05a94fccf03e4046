"""A small network that says what a picture shows, and in whose features pictures are compared."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from ..scenes.scene import COLOURS, INTERIORS, KINDS, LANDSCAPES

FEATURES = 96
HEADS = {"object": KINDS, "colour": tuple(COLOURS), "place": LANDSCAPES + INTERIORS}


class Residual(nn.Sequential):
    def __init__(self, width: int):
        convolution = lambda: nn.Conv2d(width, width, 3, padding=1, bias=False)
        super().__init__(convolution(), nn.BatchNorm2d(width), nn.ReLU(), convolution(), nn.BatchNorm2d(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + super().forward(x))


def halve(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU())


class Classifier(nn.Module):
    """Pictures [B, 3, S, S] in −1…1 → logits of each head. Any size; trained at one."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            halve(3, 24), halve(24, 48), Residual(48), halve(48, FEATURES), Residual(FEATURES), Residual(FEATURES),
            # The thing covers a tenth of the picture, the place the rest: a maximum and a mean see either.
        )  # fmt: skip
        self.mix = nn.Sequential(nn.Linear(2 * FEATURES, FEATURES), nn.ReLU())
        self.heads = nn.ModuleDict({name: nn.Linear(FEATURES, len(values)) for name, values in HEADS.items()})

    def features(self, pictures: torch.Tensor) -> torch.Tensor:
        """[B, FEATURES]: what the heads read, and what the Fréchet distance is measured in."""
        x = self.body(pictures)
        return self.mix(torch.cat([x.amax((2, 3)), x.mean((2, 3))], 1))

    def forward(self, pictures: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.features(pictures)
        return {name: head(features) for name, head in self.heads.items()}


def save(model: Classifier, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, str(path))


def load(path: Path) -> Classifier:
    model = Classifier()
    model.load_state_dict(load_file(path))
    return model.eval().requires_grad_(False)


@torch.inference_mode()
def look(model: Classifier, pictures: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Features [B, FEATURES] and, per head, the index of what it sees [B]."""
    features = torch.cat([model.features(part) for part in pictures.split(64)])
    return features, {name: head(features).argmax(1) for name, head in model.heads.items()}
