"""Teaches a text encoder which words belong together.

T5's encoder comes to an image model having read a library; ours reads nothing but captions, and the pictures' loss alone leaves it a bag
of words: where both things of a caption are drawn, the loss hardly minds which of them is red. So two heads read from the encoder's output
what the scene knows: from the word for a thing, its colour; from the word for its colour, the kind; from both, whether the thing is
the only one, the left one or the right one. The heads leave no trace in the model that is exported.
"""

import torch
from torch import nn
from torch.nn import functional as F
from transformers import T5Tokenizer

from .scenes.scene import COLOURS, KINDS

SIDES = ("left", "right", "alone")
NOTHING = -100  # what cross_entropy passes over


class ReadingHead(nn.Module):
    """What a text encoder's output [B, S, D] says of the words that name things and their colours."""

    def __init__(self, width: int, tokenizer: T5Tokenizer):
        super().__init__()
        self.colour, self.kind, self.side = (nn.Linear(width, len(classes)) for classes in (COLOURS, KINDS, SIDES))
        for name, words in (("kind_of", KINDS), ("colour_of", COLOURS)):
            table = torch.full((len(tokenizer),), -1)  # [vocabulary]: which of the words a piece is, or -1
            for index, word in enumerate(words):
                piece, *end = tokenizer(word).input_ids
                if end != [tokenizer.eos_token_id]:
                    raise ValueError(f"the tokenizer spells {word!r} in more than one piece")
                table[piece] = index
            self.register_buffer(name, table, persistent=False)

    def targets(self, ids: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """For ids [B, S] and labels [B, ≥4] (kind and colour of two things, 255 for none): colour at the things' words, kind at the
        colours' words, side at both, each [B, S] with NOTHING elsewhere. A caption names the left thing first.
        """
        thing = self.kind_of[ids] >= 0
        second = (thing.cumsum(1) > 1).long()
        alone = (labels[:, 2] == 255)[:, None]
        of_thing = lambda column: labels[:, column : 4 : 2].gather(1, second)  # [B, S]: of the thing that a word names
        colour = of_thing(1).where(thing, NOTHING)
        side = second.where(~alone, SIDES.index("alone"))
        # The word before a thing is its colour's; elsewhere a colour may be the background's ("in a green field").
        before = lambda values: F.pad(values[:, 1:], (0, 1), value=NOTHING)
        kind = before(of_thing(0).where(thing, NOTHING)).where(self.colour_of[ids] >= 0, NOTHING)
        side = torch.where(thing, side, before(side.where(thing, NOTHING)).where(kind != NOTHING, NOTHING))
        return colour, kind, side

    def loss(self, text: torch.Tensor, ids: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, float]:
        """The mean cross-entropy of the three, and the share of the answers that are right. 0 and 1 where no caption names a thing."""
        total, right, asked = text.sum() * 0.0, 0, 0
        for head, target in zip((self.colour, self.kind, self.side), self.targets(ids, labels)):
            said, wanted = head(text[target != NOTHING]), target[target != NOTHING]
            if len(wanted):
                total = total + F.cross_entropy(said, wanted)
                right, asked = right + (said.argmax(1) == wanted).sum().item(), asked + len(wanted)
        return total / 3, right / max(asked, 1) if asked else 1.0
