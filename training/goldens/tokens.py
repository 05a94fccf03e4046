"""`tokenizer/`: prompts and the ids transformers gives them, from spiece.model and from tokenizer.json."""

from pathlib import Path

import sentencepiece
from transformers import T5Tokenizer

from . import spiece, store

LENGTH = 120
PROMPTS = [
    "",
    " ",
    "\n\t ",
    "a",
    "a red fox in the snow",
    "A Photo of a Cat on a Table.",
    "  leading and trailing  ",
    "double  spaces   and    more",
    "tabs\tand\nnew\r\nlines",
    "non breaking\u00a0space and ideographic\u3000space",
    "line\u2028separator, next\u0085line, zero\u200bwidth, soft\u00adhyphen, \ufeffmark",
    "ｆｕｌｌ ｗｉｄｔｈ Ｆｏｘ １２３！",
    "café déjà vu naïve façade",
    "cafe\u0301 de\u0301ja\u0300 vu, decomposed",
    "ﬁne ﬂags, ½ of ① and ™, Ⅷ, ㎏",
    "“curly” ‘quotes’ — and – dashes…",
    "0123456789 3.14 1,024 50% 7/8",
    "a fox 🦊 and a moon 🌙",
    "👩‍👩‍👧‍👦 family, 🇨🇭 flag, 👍🏽 skin tone",
    "红色的狐狸在雪地里",
    "红 fox 色 moon",
    "狼和熊",
    "красная лиса ёж",
    "日本語の文章です",
    "한국어 문장",
    "مرحبا بالعالم",
    "x̧͎̀ zalgo",
    "</s>",
    "a fox </s> in the snow",
    "a fox</s>in the snow",
    "<extra_id_0> red <extra_id_99>",
    "<extra_id_0><extra_id_1>",
    "<extra_id_100> is none",
    "<pad> fox <unk> moon",
    " </s> ",
    "▁fox▁moon",
    "a ▁ b",
    "foxfoxfoxfox",
    "unbelievablyextraordinarymushroomcastle",
    "zzzzqqqqxxxx",
    "!!! ??? ... ,,, ;;;",
    "https://example.org/a?b=c&d=e#f",
    "snake_case and CamelCase and kebab-case",
    "(parentheses) [brackets] {braces} <angles>",
    "\\backslash\\ and \"quotes\" and 'apostrophes'",
    "control\u0000\u0007\u001b characters",
    "İstanbul ß ẞ ſ",
    "a red fox in the snow, " * 40,
    "狼" * 200,
    "z " * 119,
    "z " * 60 + "</s> " * 70,
]


def write(out: Path) -> None:
    from_spiece = spiece.folder(out / "spiece", size=600, full_normaliser=True)
    from_spiece.save_pretrained(out / "json")
    from_json = T5Tokenizer.from_pretrained(out / "json")
    plain = sentencepiece.SentencePieceProcessor(model_file=str(out / "spiece" / "spiece.model"))
    cases = []
    for prompt in PROMPTS:
        options = {"padding": "max_length", "max_length": LENGTH, "truncation": True, "add_special_tokens": True}
        encoded = from_spiece(prompt, **options)
        assert encoded.input_ids == from_json(prompt, **options).input_ids, prompt
        cases.append({
            "prompt": prompt,
            "input_ids": encoded.input_ids,
            "attention_mask": encoded.attention_mask,
            # The library alone: no special tokens found in the text, no end token, nothing cut off or added.
            "sentencepiece": plain.encode(prompt),
        })  # fmt: skip
    store.document(out / "cases.json", cases)
