"""Run small configurations of Hugging Face models on MAX against torch; keep docs/models.md.

python scripts/model_zoo.py                       every model
python scripts/model_zoo.py --only BERT Llama     some; the page keeps the others' results
python scripts/model_zoo.py --dry-run             lower without compiling: what is missing
python scripts/model_zoo.py --scaling             seconds to lower Llama with 8 to 64 layers, no weights
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
import warnings
from dataclasses import asdict
from pathlib import Path
from typing import Any

from _checkout import ROOT

PAGE, DATA = ROOT / "docs/models.md", ROOT / "docs/models.json"
TEXT = """# Hugging Face models

Made by `scripts/model_zoo.py`, which keeps the results in `models.json`: one forward of each model in a
small random configuration, float32 on the CPU, on MAX and in torch. The error is the largest of any
output, over that output's largest value; the limit is {limit:g}. Times are the least of five calls,
on sizes too small to say how fast a real model is. No rule knows of any model.

| model | nodes | distinct ops | relative error | MAX, ms | torch, ms |
|---|---:|---:|---:|---:|---:|
{rows}

Run: {count}; over the limit or failed: {failed}.{lowered}

Not lowered: FNet (a Fourier transform) and ViTMAE with masking (random numbers).
"""


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these models")
    parser.add_argument("--dry-run", action="store_true", help="lower without compiling, and list gaps")
    parser.add_argument("--scaling", action="store_true", help="time torch's steps and ours, by layers")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write this run's results as JSON too")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)

    if args.scaling:
        return scaling()
    from tests.support.zoo.families import ZOO
    from tests.support.zoo.run import TOLERANCE, run

    if unknown := set(args.only or ()) - set(ZOO):
        parser.error(f"no such model: {', '.join(sorted(unknown))}; known: {', '.join(ZOO)}")
    names = args.only or list(ZOO)
    if args.dry_run:
        return explain(names)
    found: dict[str, Any] = json.loads(DATA.read_text()) if DATA.exists() else {}
    results = []
    for result in run(names, quiet=False):
        results.append(result)
        found[result.name] = asdict(result)
        write({name: found[name] for name in ZOO if name in found}, TOLERANCE, len(ZOO))
        size = f"{result.nodes:5} nodes  {result.ops:3} ops"
        print(f"{result.name:24} {size}  error {result.error:.1e}  {result.problem[:500]}", flush=True)
    if args.json:
        args.json.write_text(json.dumps([asdict(r) for r in results], indent=1) + "\n")
    return 0 if all(r.error <= TOLERANCE for r in results) else 1


def write(found: dict[str, Any], limit: float, known: int) -> None:
    """Write the results and the page."""
    rows = "\n".join(
        f"| {r['name']} | {r['nodes']} | {r['ops']} | {r['error']:.1e} | {r['max_ms']:.1f} "
        f"| {r['torch_ms']:.1f} |"
        for r in found.values()
    )
    failed = ", ".join(r["name"] for r in found.values() if not r["error"] <= limit) or "none"
    rest = known - len(found)
    lowered = f" Of the zoo, {rest} more are not yet run here." if rest else ""
    DATA.write_text(json.dumps(found, indent=1) + "\n")
    PAGE.write_text(TEXT.format(limit=limit, rows=rows, count=len(found), failed=failed, lowered=lowered))


def explain(names: list[str]) -> int:
    """Lower without compiling, and print each model's gaps."""
    import fxmax
    from tests.support.zoo.families import ZOO

    missing = 0
    for name in names:
        module, kwargs = ZOO[name].build()
        report = fxmax.explain(module, (), kwargs, device="cpu", quiet=True)
        gaps = ", ".join(f"{g.target} ({g.kind})" for g in report.gaps) or "all lowered"
        print(f"{name:24} {len(report.nodes):5} nodes  {gaps}", flush=True)
        missing += bool(report.gaps)
    return 1 if missing else 0


def scaling() -> int:
    """Print how long each step takes on ever larger graphs, on the meta device."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from fxmax.frontend.capture import capture
    from fxmax.frontend.options import Options
    from fxmax.lowering.walk import lower
    from fxmax.passes import run_passes

    options = Options.resolve(passes=())
    ids = torch.zeros(1, 128, dtype=torch.long, device="meta")
    print("layers   nodes   export decompose  passes    rules   nodes/s of ours")
    for layers in (8, 8, 16, 32, 64):  # the first once more, since it also loads what the rules need
        with torch.device("meta"):
            model = LlamaForCausalLM(LlamaConfig(num_hidden_layers=layers)).eval()
        start = time.perf_counter()
        exported = torch.export.export(model, (), {"input_ids": ids, "use_cache": False}, strict=False)
        times = [time.perf_counter() - start]
        captured = capture(exported, options=options)
        times.append(captured.seconds)
        start = time.perf_counter()
        run_passes(captured.program, options.table)
        times.append(time.perf_counter() - start)
        lowered = lower(captured)
        times.append(lowered.report.seconds["lower"])
        nodes = len(lowered.report.nodes)
        columns = (f"{t:{w}.2f}" for t, w in zip(times, (8, 10, 8, 8), strict=True))
        rate = nodes / (times[2] + times[3])
        print(f"{layers:6} {nodes:6} {' '.join(columns)} {rate:8.0f}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
