"""Which graphs were proven on this machine: the proof is kept beside the compiled graph, and goes with it.

A proof is of a program's graph, of the MAX graph made of it, and of the kernels, the MAX and the machine that
run it; not of the weights' values, which are bound by name.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from types import FunctionType
from typing import Any

import torch
from torch.export import ExportedProgram

from fxmax.compiled import Compiled
from fxmax.records import Check
from fxmax.support.digests import sha256
from fxmax.support.files import write_whole
from fxmax.verification.proof import prove

METHOD = 2
"""Counted up when more is compared: what an earlier fxmax compared is then compared again."""


def prove_once(compiled: Compiled, *, warn: bool = False) -> None:
    """`prove`, unless this machine has proven the same graph of the same program; the report says which.

    Raises:
        MismatchError: as `prove`.
    """
    file, report = _file(compiled), compiled.report
    if file is not None and (proof := _read(file)) is not None:
        report.checks, report.unchecked = proof
        report.proven = "earlier on this machine"
        return
    agrees = prove(compiled, warn=warn)
    if agrees and file is not None and report.checks:
        _write(file, report.checks, report.unchecked)


def _file(compiled: Compiled) -> Path | None:
    """Where its proof is kept; None where the graph itself is not."""
    folder, captured = compiled.kept_in, compiled.lowered.captured
    if folder is None:
        return None
    program = captured.exported or captured.program
    said = [str(METHOD), captured.name, program_text(program), program_text(captured.program)]
    return folder / "proofs" / f"{sha256(chr(0).join(said))[:32]}.json"


def program_text(program: ExportedProgram) -> str:
    """All of a program but its weights' values: nodes, arguments, shapes, dtypes, names, ranges."""
    lines = [str(program.graph_signature), str(program.range_constraints)]
    for n in program.graph.nodes:
        op = n.target.__name__ if isinstance(n.target, FunctionType) else n.target  # no address
        lines.append(f"{n.name} {n.op} {op} {n.args} {n.kwargs} {_meta(n.meta.get('val'))}")
    return "\n".join(lines)


def _meta(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return f"{value.dtype}{list(value.shape)}{list(value.stride())}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_meta, value))}]"
    return str(value)


def _read(file: Path) -> tuple[list[Check], str] | None:
    try:
        proof = json.loads(file.read_text())
        return [Check(**check) for check in proof["checks"]], str(proof["unchecked"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _write(file: Path, checks: list[Check], unchecked: str) -> None:
    """Whole or not at all; where it can't be written, the graph is proven again next time."""
    try:
        file.parent.mkdir(exist_ok=True)
        write_whole(file, json.dumps({"checks": [asdict(check) for check in checks], "unchecked": unchecked}))
    except OSError:
        return
