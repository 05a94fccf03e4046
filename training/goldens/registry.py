"""The goldens by name: each a function that fills one folder."""

from . import functions, noise, norm, pipelines, recipes, schedulers, t5, tokens, vae

GOLDENS = {
    "random": noise.write,
    "schedulers": schedulers.write,
    "tokenizer": tokens.write,
    "norm": norm.write,
    "functions": functions.write,
    "t5": t5.write,
    "vae": vae.write,
    **{name: pipelines.writer(recipe) for name, recipe in recipes.RECIPES.items()},
}
