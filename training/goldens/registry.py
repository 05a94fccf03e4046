"""The goldens by name: each a function that fills one folder."""

from . import (
    cached_recipes, functions, kv_recipes, merged_recipes, noise, norm, pictured, pictured_recipes, pipelines, recipes, routed_recipes, schedulers, t5, tokens, vae,
)  # fmt: skip

GOLDENS = {
    "random": noise.write,
    "schedulers": schedulers.write,
    "tokenizer": tokens.write,
    "norm": norm.write,
    "functions": functions.write,
    "t5": t5.write,
    "vae": vae.write,
    **{name: pipelines.writer(recipe) for name, recipe in recipes.RECIPES.items()},
    # A folder of their own: a reader that knows no routing would take them for plain pipelines.
    **{f"routed/{name}": routed_recipes.writer(*recipe) for name, recipe in routed_recipes.RECIPES.items()},
    **{f"merged/{name}": merged_recipes.writer(*recipe) for name, recipe in merged_recipes.RECIPES.items()},
    **{f"cached/{name}": cached_recipes.writer(*recipe) for name, recipe in cached_recipes.RECIPES.items()},
    "merged/decisions": merged_recipes.write_decisions,
    **{f"kv/{name}": kv_recipes.writer(*recipe) for name, recipe in kv_recipes.RECIPES.items()},
    **{f"pictured/{name}": pictured.writer(recipe) for name, recipe in pictured_recipes.RECIPES.items()},
    "kv/dit_policy": kv_recipes.write_dit_policy,
}
