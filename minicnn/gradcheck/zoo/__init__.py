"""The zoo: every operation as an exercise, with the wrong gradients that people write for it.

A file is a family of operations. `EXERCISES` has them by the names of `gradcheck --op`.
"""

from minicnn.gradcheck.zoo import (
    classification,
    convolution,
    losses,
    normalisation,
    pooling,
    priors,
    rectifiers,
    transposed,
    windows,
    wiring,
)

FAMILIES = (
    convolution,
    transposed,
    windows,
    pooling,
    rectifiers,
    classification,
    normalisation,
    wiring,
    losses,
    priors,
)
EXERCISES = {name: one for family in FAMILIES for name, one in family.EXERCISES.items()}
