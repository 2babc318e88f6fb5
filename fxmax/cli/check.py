"""`fxmax check`: does an artifact compute here what it did where it was saved?"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@click.option("--recompile", is_flag=True, help="Compile its graph here: for another MAX or machine.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(artifact: Path, recompile: bool, as_json: bool) -> int:
    """Run an artifact on the inputs that it brings, and compare with its results where it was saved.

    fxmax.load does so by itself, once on a machine. Needs no torch. The exit status is 1 where a result
    is another one.
    """
    from fxmax.artifact import check as compared

    found = compared(artifact, recompile=recompile)
    wrong = [one for one in found if one.fault]
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
        return 1 if wrong else 0
    for one in found:
        said = one.fault or f"off by {one.error:.3g}, where {one.allowed:.3g} is allowed"
        click.echo(f"{'DIFFERS' if one.fault else 'ok':7}  {one.graph}, {one.result}: {said}")
    if not found:
        click.echo(f"{artifact} brings no results to compare with (no example inputs, or format 1)")
    return 1 if wrong else 0
