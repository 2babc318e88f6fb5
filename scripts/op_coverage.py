"""Write docs/coverage.md and docs/coverage.json: what of PyTorch fxmax lowers, and what is proven.

python scripts/op_coverage.py                 the table part anew, the test results as they are
python scripts/op_coverage.py --run           run the OpInfo samples too (seconds each, cold)
python scripts/op_coverage.py --run --draw 200  run 200 of them, drawn at random from all
python scripts/op_coverage.py --check         exit 1 if the page is out of date with the table
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from collections import Counter
from importlib.metadata import version
from typing import Any

from _checkout import ROOT

PAGE, DATA = ROOT / "docs" / "coverage.md", ROOT / "docs" / "coverage.json"

DTYPES = ("float32", "float64", "int64", "int32", "bool")
Json = dict[str, Any]


def main() -> int:
    options = parse()
    data: Json = json.loads(DATA.read_text()) if DATA.exists() else {"samples": {}}
    table = table_part()
    if options.check:
        current = data.get("table") == table and PAGE.exists() and PAGE.read_text() == page(data)
        if not current:
            print("docs/coverage.md is out of date with the rule table: run python scripts/op_coverage.py")
        return 0 if current else 1
    data["table"] = table
    save(data)
    for dtype in (options.dtype or ["float32"]) if options.run else []:
        run(data, dtype, options)
    print(f"wrote {PAGE.relative_to(ROOT)} and {DATA.relative_to(ROOT)}")
    return 0


def save(data: Json) -> None:
    """Write both files: samples in order, less those that scope.py has put out of scope since."""
    from tests.support.opinfo import scope

    def in_scope(dtype: str) -> Json:
        samples = sorted(data["samples"][dtype].items())
        return {id: v for id, v in samples if not scope.out_of_scope(id.rpartition(f"-{dtype}-")[0])}

    data["samples"] = {dtype: in_scope(dtype) for dtype in DTYPES if dtype in data["samples"]}
    DATA.parent.mkdir(exist_ok=True)
    DATA.write_text(dumps(data))
    PAGE.write_text(page(data))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing; no compile")
    parser.add_argument("--run", action="store_true", help="run OpInfo samples and keep their outcomes")
    parser.add_argument("--dtype", action="append", choices=DTYPES, help="with --run (default: float32)")
    parser.add_argument("--limit", type=int, help="with --run: at most so many samples of an op")
    parser.add_argument("--again", action="store_true", help="with --run: only what did not pass so far")
    parser.add_argument("--ops", default="", metavar="REGEX", help="with --run: only ops that match")
    parser.add_argument(
        "--draw", type=int, metavar="N", help="with --run: N of all samples at random, for an estimate"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: 0)")
    options = parser.parse_args()
    if options.draw and (options.limit or options.again or options.ops):
        parser.error("--draw is from all samples: it goes without --limit, --again and --ops")
    return options


def table_part() -> Json:
    """The part of the data that the table alone decides."""
    from core_aten import rule_file, statuses

    import fxmax

    table = fxmax.default_table()
    return {
        "torch": version("torch").partition("+")[0],
        "max": version("max"),
        "core": {name: list(status) for name, status in statuses(table).items()},
        "rules": {str(o): rule_file(o, table) for o in sorted(table, key=str)},
    }


def dumps(data: Json) -> str:
    """JSON with one sample, or one overload, to a line: small, and it diffs well."""
    texts = {k: dumps(v).strip() if isinstance(v, dict) else json.dumps(v) for k, v in data.items()}
    lines = [f"{json.dumps(key)}: {text}" for key, text in texts.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def run(data: Json, dtype: str, options: argparse.Namespace) -> None:
    """Run the samples of one dtype into the data (id → outcome, detail, overloads), saved as it goes."""
    import torch

    from tests.support.opinfo import harness

    kept = data["samples"].setdefault(dtype, {})
    cases = harness.chosen(getattr(torch, dtype), options.limit, pattern=options.ops)
    if options.again:
        cases = [case for case in cases if kept.get(case.id, [""])[0] != "passed"]
    drawn: Json | None = None
    if options.draw:
        drawn = {"of": len(cases), "seed": options.seed, "ran": 0, "passed": 0}
        random.Random(options.seed).shuffle(cases)
        cases = cases[: options.draw]
    start = time.perf_counter()
    for i in range(0, len(cases), harness.CHUNK):
        outcomes = harness.run(cases[i : i + harness.CHUNK])
        data["samples"][dtype] |= {id: list(outcome) for id, outcome in outcomes.items()}
        if drawn:
            drawn["ran"] += len(outcomes)
            drawn["passed"] += harness.totals(outcomes).get("passed", 0)
            data.setdefault("drawn", {})[dtype] = drawn
        save(data)
        done, seconds = i + len(outcomes), time.perf_counter() - start
        print(f"{dtype}: {done} of {len(cases)}, {seconds:.0f} s, {harness.totals(outcomes)}", flush=True)


# -- the page ---------------------------------------------------------------------------------------


def page(data: Json) -> str:
    """docs/coverage.md."""
    proven = proofs(data["samples"])
    parts = [
        "# What fxmax lowers",
        "",
        "Made by `python scripts/op_coverage.py` from the rule table and from its own runs of torch's op "
        f"samples (OpInfo). torch {data['table']['torch']}, MAX {data['table']['max']}, CPU.",
        "",
        "Beside a rule's file are the platforms that it has a rule for, where that is not one for any. An op "
        "with the CPU's alone, `[cpu]`, runs on the host in a GPU's graph.",
        "",
        *samples_section(data["samples"]),
        *drawn_section(data.get("drawn", {})),
        *core_section(data["table"]["core"], proven),
        *rules_section(data["table"], proven),
        *gaps_section(data["samples"]),
        *scope_section(),
    ]
    return "\n".join(parts).rstrip() + "\n"


def proofs(samples: Json) -> dict[str, Counter[str]]:
    """Overload → dtype → how many passing samples had it in their graph."""
    proven: dict[str, Counter[str]] = {}
    for dtype, outcomes in samples.items():
        for kind, _, overloads in outcomes.values():
            for overload in overloads if kind == "passed" else ():
                proven.setdefault(overload, Counter())[dtype] += 1
    return proven


def samples_section(samples: Json) -> list[str]:
    from tests.support.opinfo import scope

    lines = ["## OpInfo samples", ""]
    lines += [
        "| dtype | ops | samples | passed | expected to fail | other failures |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for dtype, outcomes in samples.items():
        passed = sum(kind == "passed" for kind, *_ in outcomes.values())
        expected = sum(
            kind != "passed" and scope.expected_failure(id) is not None for id, (kind, *_) in outcomes.items()
        )
        ops = len({id.rpartition(f"-{dtype}-")[0] for id in outcomes})
        rate = f"{passed} ({passed / max(len(outcomes), 1):.1%})"
        left = len(outcomes) - passed - expected
        lines.append(f"| {dtype} | {ops} | {len(outcomes)} | {rate} | {expected} | {left} |")
    return [
        *lines,
        "",
        "Samples are torch's own, and direct calls of the overloads that those don't reach. One passes if",
        "shape, dtype, NaN and infinities are torch's and the rest is within 1e-5 of the output's scale",
        "(float64: 1e-8; integers and bools: equal).",
        "",
    ]


def drawn_section(drawn: Json) -> list[str]:
    """What a random draw says of all samples, most of which may not have been run."""
    lines = [
        f"- {dtype}: {d['passed']} of {d['ran']} passed, drawn from {d['of']} (seed {d['seed']}); "
        f"with a confidence of 95 % at least {least_rate(d['passed'], d['ran']):.1%} of all pass"
        for dtype, d in drawn.items()
    ]
    return ["Drawn at random from all samples in scope:", "", *lines, ""] if lines else []


def least_rate(passed: int, ran: int) -> float:
    """The one-sided 95 % lower bound of a rate, by Wilson's score (1927)."""
    z, rate = 1.6449, passed / ran
    middle, spread = rate + z * z / (2 * ran), z * math.sqrt(rate * (1 - rate) / ran + (z / (2 * ran)) ** 2)
    return (middle - spread) / (1 + z * z / ran)


def core_section(core: Json, proven: dict[str, Counter[str]]) -> list[str]:
    from core_aten import UNPROVABLE

    counts = Counter(how for how, _ in core.values())
    inference = [name for name, (how, _) in core.items() if how != "excluded"]
    shown = sum(name in proven or name in UNPROVABLE for name in inference)
    lines = ["## Core ATen", ""]
    lines.append(
        f"{len(core)} overloads: {', '.join(f'{n} {how}' for how, n in counts.most_common())}. Of the "
        f"{len(inference)} that an inference graph can hold, {shown} are proven by samples or say why not."
    )
    lines += ["", "| overload | lowered by | samples passed |", "|---|---|---|"]
    for name, (how, detail) in core.items():
        if how != "excluded":
            by = detail if how == "rule" else how
            lines.append(f"| `{name}` | {by} | {UNPROVABLE.get(name) or _counts(proven.get(name))} |")
    lines += ["", "### Left out on purpose", "", "| overload | why |", "|---|---|"]
    lines += [f"| `{name}` | {why} |" for name, (how, why) in core.items() if how == "excluded"]
    return [*lines, ""]


def rules_section(table: Json, proven: dict[str, Counter[str]]) -> list[str]:
    lines = ["## Rules beyond Core ATen", "", "| overload | rule | samples passed |", "|---|---|---|"]
    for name, file in table["rules"].items():
        if name not in table["core"]:
            lines.append(f"| `{name}` | {file} | {_counts(proven.get(name))} |")
    return [*lines, ""]


def _counts(counts: Counter[str] | None) -> str:
    return ", ".join(f"{dtype} {counts[dtype]}" for dtype in DTYPES if counts and counts[dtype]) or "–"


def gaps_section(samples: Json) -> list[str]:
    from tests.support.opinfo import scope

    lines = ["## Samples that do not pass", "", "| sample | outcome | why |", "|---|---|---|"]
    for outcomes in samples.values():
        for id, (kind, detail, _) in outcomes.items():
            if kind != "passed":
                why = (scope.expected_failure(id) or detail).replace("|", "\\|")[:160]
                lines.append(f"| `{id}` | {kind} | {why} |")
    return [*lines, ""]


def scope_section() -> list[str]:
    from tests.support.opinfo import scope

    lines = ["## Ops of torch's database out of scope", "", "| ops (regular expression) | why |", "|---|---|"]
    lines += [f"| `{p.replace('|', chr(92) + '|')}` | {why} |" for p, why in scope.OUT_OF_SCOPE.items()]
    return lines


if __name__ == "__main__":
    sys.exit(main())
