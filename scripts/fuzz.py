"""Run random programs on MAX against torch; shrink and print what differs. See docs/fuzz.md.

python scripts/fuzz.py --minutes 10                for ten minutes, at a seed of the day
python scripts/fuzz.py --minutes 10 --seed 3 --kind sizes special
python scripts/fuzz.py --seed 3 --only 17 18 --kind sizes   these programs alone

Exit status 1 where something was found.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import sys
import time
import warnings
from collections.abc import Iterator

import _checkout  # noqa: F401 - the checkout's own fxmax and tests

from fxmax.support.progress import Progress
from tests.support.fuzz.isolated import run_isolated
from tests.support.fuzz.kinds import KINDS, ORDER, kind_of, program
from tests.support.fuzz.program import Program
from tests.support.fuzz.reporting import Tally, repro
from tests.support.fuzz.running import Result
from tests.support.fuzz.shrinking import shrink

SHRINKING = 300.0  # seconds a find, at most


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=5.0, help="for how long (default: 5)")
    parser.add_argument("--seed", type=int, default=int(time.strftime("%y%m%d")), help="of all numbers drawn")
    parser.add_argument("--start", type=int, default=0, metavar="N", help="the number of the first program")
    parser.add_argument("--only", type=int, nargs="+", metavar="N", help="these programs")
    parser.add_argument("--kind", nargs="+", choices=list(KINDS), metavar="K", help=", ".join(KINDS))
    parser.add_argument("--batch", type=int, default=30, help="programs to a compile (default: 30)")
    parser.add_argument("--no-shrink", action="store_true", help="print what is found as it was drawn")
    parser.add_argument("--json", action="store_true", help="the summary and the finds as JSON, on stdout")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)  # torch's export logs what it refuses

    start, tally, finds = time.monotonic(), Tally(), list[Result]()
    left = drawn(args.seed, args.start, args.kind, args.only)
    progress = Progress()
    while batch := list(itertools.islice(left, args.batch)):
        first, last = batch[0].name, batch[-1].name
        with progress.stage(
            "fuzz", f"{len(batch)} programs, {first} to {last}; MAX takes a second or more for each"
        ):
            results = run_isolated(batch)
        tally.add(results)
        total, minutes = tally.total, (time.monotonic() - start) / 60
        say(f"{minutes:.1f} min: {total['run']} run, {total['compared']} compared, {total['found']} found")
        for result in results:
            if result.status == "found":
                say(f"found: {result.program}\n  {result.error}: {result.text[:300]}")
                if not args.no_shrink:
                    with progress.stage("shrink", f"{result.program.name}: parts of it, many to a compile"):
                        result = shrink(result, run_isolated, SHRINKING)
                finds.append(result)
                say(repro(result))
        if (time.monotonic() - start) / 60 > args.minutes:
            break
    if args.json:
        print(
            json.dumps(
                {"seed": args.seed, **tally.json(), "repros": [repro(found) for found in finds]}, indent=1
            )
        )
    else:
        print(tally.text())
        print(f"rules whose op no program had: {', '.join(tally.never_drawn()) or 'none'}")
    return 1 if finds else 0


def drawn(seed: int, start: int, kinds: list[str] | None, only: list[int] | None) -> Iterator[Program]:
    """The programs of a seed, those of each kind in turn."""
    for number in only or itertools.count(start):
        yield program(seed, number, kinds[number % len(kinds)] if kinds else kind_of(number))


def say(text: str) -> None:
    """Progress and finds go to stderr: stdout has the summary."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    assert set(ORDER) <= set(KINDS)
    sys.exit(main())
