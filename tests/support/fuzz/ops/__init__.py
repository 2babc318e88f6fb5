"""The ops that random programs are made of, by family."""

from __future__ import annotations

from tests.support.fuzz.drawing import Builder
from tests.support.fuzz.ops.folds import REDUCTIONS, SORTS
from tests.support.fuzz.ops.indexing import INDEXED, SIZED_BY_DATA
from tests.support.fuzz.ops.layers import LAYERS
from tests.support.fuzz.ops.movement import CREATIONS, VIEWS
from tests.support.fuzz.ops.pointwise import ACTIVATIONS, ARITHMETIC, CASTS, COMPARISONS, FUNCTIONS
from tests.support.fuzz.ops.writes import WRITES

FAMILIES: dict[str, list[Builder]] = {
    "activations": ACTIVATIONS,
    "arithmetic": ARITHMETIC,
    "casts": CASTS,
    "comparisons": COMPARISONS,
    "creations": CREATIONS,
    "functions": FUNCTIONS,
    "indexed": INDEXED,
    "layers": LAYERS,
    "reductions": REDUCTIONS,
    "sized by data": SIZED_BY_DATA,
    "sorts": SORTS,
    "views": VIEWS,
    "writes": WRITES,
}
