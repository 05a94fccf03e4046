"""The goldens by name: each a function that fills one folder."""

from . import noise, schedulers, tokens

GOLDENS = {
    "random": noise.write,
    "schedulers": schedulers.write,
    "tokenizer": tokens.write,
}
