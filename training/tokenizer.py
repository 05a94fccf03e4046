"""Trains the tokenizer on the captions:  python -m training.tokenizer

A sentencepiece unigram with T5's conventions (pad 0, end 1, unknown 2). All letters are pieces, so that a word never seen
is spelled instead of lost.
"""

import argparse
import io
import json
import string
from pathlib import Path

import sentencepiece
from transformers import T5Tokenizer

from .presets import PRESETS


def train(captions: list[list[str]], vocabulary: int, folder: Path) -> T5Tokenizer:
    folder.mkdir(parents=True, exist_ok=True)
    sentences = [caption for variants in captions for caption in variants]
    # A piece must occur in two different words to be considered, so every word also comes with endings: else "red" is spelled.
    words = sorted({word.strip(",") for sentence in sentences for word in sentence.split()})
    sentences += [word + ending for word in words for ending in (",", ".", "s")]
    model = io.BytesIO()  # not `model_prefix`, which would write a path of this machine into the model
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=model,
        model_type="unigram",
        vocab_size=vocabulary,
        hard_vocab_limit=False,  # the grammar may have fewer pieces than asked for
        required_chars=string.ascii_lowercase + string.digits + ".,'-!?",
        normalization_rule_name="nmt_nfkc_cf",  # folds case
        pad_id=0, eos_id=1, unk_id=2, bos_id=-1,
        pad_piece="<pad>", eos_piece="</s>", unk_piece="<unk>",
        num_threads=1,
        minloglevel=2,
    )  # fmt: skip
    (folder / "spiece.model").write_bytes(model.getvalue())
    (folder / "tokenizer.json").unlink(missing_ok=True)  # a stale one would be preferred to the new pieces
    tokenizer = T5Tokenizer.from_pretrained(folder, extra_ids=0, model_max_length=300)
    tokenizer.save_pretrained(folder)  # tokenizer.json beside spiece.model
    return tokenizer


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--preset", choices=PRESETS, default="cpu")
    parser.add_argument("--data", type=Path, default=Path("runs/scenes"))
    parser.add_argument("--out", type=Path, default=Path("runs/tokenizer"))
    arguments = parser.parse_args()
    captions = json.loads((arguments.data / "captions.json").read_text())
    tokenizer = train(captions[:10_000], PRESETS[arguments.preset].vocabulary, arguments.out)
    print(f"{len(tokenizer)} pieces in {arguments.out}")


if __name__ == "__main__":
    main()
