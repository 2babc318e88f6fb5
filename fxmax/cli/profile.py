"""`fxmax profile`: what each node of a module costs on MAX."""

from __future__ import annotations

from pathlib import Path

import click

from fxmax.cli.paths import OutFile


@click.command()
@click.argument("target")
@click.option("--runs", default=20, show_default=True, help="Timed calls of each node.")
@click.option("--top", default=12, show_default=True, help="Ops and nodes to print.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, gpu or gpu:N.")
@click.option("--dtype", type=click.Choice(["int8", "int8_dynamic"]), help="As fxmax.lower's.")
@click.option("--html", type=OutFile(), metavar="OUT.html", help="Write a page, coloured by time.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def profile(
    target: str,
    runs: int,
    top: int,
    device: str,
    dtype: str | None,
    html: Path | None,
    as_json: bool,
    quiet: bool,
) -> int:
    """Time every node of a module on MAX, compiled and run alone, and the module whole."""
    import fxmax
    from fxmax.cli.target import given

    result = fxmax.profile(*given(target).call, runs=runs, device=device, dtype=dtype, quiet=quiet)
    click.echo(result.json() if as_json else result.text(top))
    if html is not None:
        result.html(html)
    return 0
