"""A small sentencepiece vocabulary, trained here, in the two forms in which tokeniser folders come."""

import io
import itertools
import json
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as protocol
from transformers import T5Tokenizer

COLOURS = "red green blue yellow white black orange purple golden silver".split()
OBJECTS = "fox house moon star boat tree mushroom fish ring flower cat dog lantern bicycle castle robot".split()
PLACES = ["in the snow", "on a table", "by the sea", "at night", "above the hills", "under a bridge", "in the upper left corner"]
OTHER = [
    "a painting of a lighthouse, oil on canvas, highly detailed, dramatic lighting",
    "low quality, blurry, watermark, text, deformed",
    "two small ones beside each other; the larger is on the right",
    "a café with déjà vu, a naïve jalapeño and a Zürich façade",
    "it's 12 o'clock, 3.14 metres, 50 % of 1,024 and 7/8",
    "the quick brown fox jumps over the lazy dog while five boxing wizards vex a zebra quickly",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ Abc Xyz 0 1 2 3 4 5 6 7 8 9 10 100 1000",
    "! ? . , ; : ' \" ( ) [ ] { } < > / - _ + = * & % $ # @ | ~",
    "红色的狐狸在雪地里", "月亮在房子上面", "ein großer Hund", "красная лиса",
]
# For the goldens whose subject is not the tokeniser: nmt_nfkc's character map alone weighs 240 kB.
FEW_RULES = "".join(f"{0xFF01 + i:X}\t{0x21 + i:X}\n" for i in range(94)) + "9\t20\nA\t20\nD\t20\n3000\t20\nA0\t20\n2019\t27\n"


def corpus() -> list[str]:
    captions = [f"a {c} {o} {p}" for c, o, p in itertools.product(COLOURS, OBJECTS, PLACES)]
    captions += [f"A photo of two {c} {o}s {p}." for c, o, p in itertools.product(COLOURS[:4], OBJECTS[:6], PLACES)]
    return captions + OTHER * 30


def train(folder: Path, size: int, full_normaliser: bool) -> bytes:
    """The bytes of a spiece.model with T5's special ids: pad 0, end 1, unknown 2, no beginning."""
    rules = {"normalization_rule_name": "nmt_nfkc"}
    table = folder / "rules.tsv"
    if not full_normaliser:
        table.write_text(FEW_RULES)
        rules = {"normalization_rule_tsv": str(table)}
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus()), model_writer=model, model_type="unigram", vocab_size=size, hard_vocab_limit=False,
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1, character_coverage=1.0, num_threads=1, minloglevel=2, **rules,
    )  # fmt: skip
    table.unlink(missing_ok=True)
    return nameless(model.getvalue())


def nameless(model: bytes) -> bytes:
    """The trainer writes the rule file's path into the model; a path of this machine has no place there."""
    proto = protocol.ModelProto.FromString(model)
    proto.normalizer_spec.normalization_rule_tsv = ""
    return proto.SerializeToString()


def folder(path: Path, size: int = 200, extra_ids: int = 100, full_normaliser: bool = False) -> T5Tokenizer:
    """A tokeniser folder with spiece.model and no tokenizer.json, as published PixArt checkpoints have it."""
    path.mkdir(parents=True, exist_ok=True)
    (path / "spiece.model").write_bytes(train(path, size, full_normaliser))
    names = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    extra = [f"<extra_id_{index}>" for index in range(extra_ids)]
    config = {
        **names, "extra_ids": extra_ids, "additional_special_tokens": extra,
        "model_max_length": 512, "legacy": True, "tokenizer_class": "T5Tokenizer",
    }  # fmt: skip
    (path / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    (path / "special_tokens_map.json").write_text(json.dumps({**names, "additional_special_tokens": extra}, indent=2) + "\n")
    return T5Tokenizer.from_pretrained(path)
