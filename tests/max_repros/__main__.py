"""One repro by itself: what MAX gives, and what is right. The exit status is 1 where MAX is wrong."""

from __future__ import annotations

import sys
from importlib.metadata import version

from tests.max_repros import broadcasts, kernels, special_values  # noqa: F401 - they register repros
from tests.max_repros.repro import REPROS, started


def main() -> None:
    if len(sys.argv) < 2:
        print("\n".join(REPROS))
        return
    each = REPROS[sys.argv[1]]
    print(f"MAX {version('max')}, {each.name}. {each.build.__doc__ or ''}")
    [model] = started([each]).values()  # raises where MAX can't compile or start it
    if each.right is None:
        print(f"MAX gives\n{each.run(model)}")
        return
    for what, x in zip(("MAX gives", "right is"), each.outcome(model), strict=True):
        print(f"{what}\n{x}")
    sys.exit(each.is_wrong(model))


if __name__ == "__main__":
    main()
