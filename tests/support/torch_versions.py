"""What torch itself can't do before some version, so that an older one's suite runs all that it can."""

from __future__ import annotations

import pytest
import torch

# torch.export traces x[i], where a tensor i has no axes, from this version on; before, it wants the number.
VERSION = tuple(map(int, torch.__version__.split(".")[:2]))
NUMBER_AS_INDEX = VERSION >= (2, 13)
needs_number_as_index = pytest.mark.skipif(
    not NUMBER_AS_INDEX, reason="torch.export refuses x[i] with a tensor i without axes before torch 2.13"
)
needs_quantile = pytest.mark.skipif(
    VERSION < (2, 13), reason="torch.export traces quantile in torch 2.13, and not in 2.10"
)
needs_the_core_of_now = pytest.mark.skipif(
    VERSION < (2, 13), reason="what is left out is of torch 2.13's core ATen; 2.10's is smaller"
)
