"""The goldens by name: each a function that fills one folder."""

from . import noise, schedulers

GOLDENS = {
    "random": noise.write,
    "schedulers": schedulers.write,
}
