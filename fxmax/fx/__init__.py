"""Shared tools on torch.fx graphs: editing them, reading arguments by schema, where a node came from.

Importing the package checks torch's version. So it happens once in a process, when fxmax first needs torch
(`import fxmax` does not), and before a name that an old torch lacks is looked for.
"""

from fxmax.fx.torch_version import check_torch

check_torch()
