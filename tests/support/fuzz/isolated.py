"""Programs run in a process of their own, since what MAX makes of one may end the process, or never end."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.support.fuzz.program import Program
from tests.support.fuzz.running import Result, run_on_max

SECONDS = 240.0  # for the process, and as many for each `SHARE` programs
SHARE = 6


def run_isolated(programs: Sequence[Program]) -> list[Result]:
    """As `run_on_max`. A process that dies is a find, of the program that it was at; the others run again."""
    known: dict[int, Result] = {}
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch:
        while len(known) < len(programs):
            died = _run(programs, known, Path(scratch))
            if not died:
                break
            at = _begun(Path(scratch))
            if at is None and len(programs) > 1:  # it died in the compiler
                half = len(programs) // 2
                return run_isolated(programs[:half]) + run_isolated(programs[half:])
            one = programs[at or 0]
            known[at or 0] = Result(one, "found", died, f"{died} of the process")
    return [known[i] for i in range(len(programs))]


def _run(programs: Sequence[Program], known: dict[int, Result], folder: Path) -> str:
    """Run those that are not known yet, and add to `known`. Returns how the process died, if it did."""
    (folder / "programs").write_bytes(pickle.dumps((list(programs), set(known))))
    (folder / "results").write_bytes(b"")
    (folder / "begun").unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.support.fuzz.isolated", str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    limit = SECONDS + SECONDS * len(programs) / SHARE
    try:
        ended = subprocess.run(
            command, env=environment, stdout=subprocess.DEVNULL, timeout=limit, check=False
        )
        code = ended.returncode
        died = "" if code == 0 else f"death by {signal.Signals(-code).name}" if code < 0 else f"exit {code}"
    except subprocess.TimeoutExpired:
        died = "no end"
    with (folder / "results").open("rb") as results:
        while True:
            try:
                i, result = pickle.load(results)
            except (EOFError, pickle.UnpicklingError):  # all, or cut off
                return died
            known[i] = result


def _begun(folder: Path) -> int | None:
    """The program that the process was at; None where it had not compiled them."""
    begun = folder / "begun"
    return int(begun.read_text()) if begun.exists() else None


def main(folder: Path) -> None:
    """The process: judge programs one by one, and write each result at once."""
    programs, known = pickle.loads((folder / "programs").read_bytes())

    def begin(i: int) -> bool:
        (folder / "begun").write_text(str(i))
        return i not in known

    with (folder / "results").open("ab") as results:
        for i, result in run_on_max(programs, begin):
            pickle.dump((i, result), results)
            results.flush()


if __name__ == "__main__":
    import logging
    import warnings

    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)  # torch's export logs what it refuses
    main(Path(sys.argv[1]))
