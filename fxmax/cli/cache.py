"""`fxmax cache`: the compiled graphs that are kept."""

from __future__ import annotations

import json
import time
from dataclasses import asdict

import click

from fxmax.runtime import graph_cache as kept


@click.group()
def cache() -> None:
    """List or clear the compiled graphs that are kept on disk.

    A graph is looked up by its content, MAX's version and the machine. FXMAX_CACHE=0 in the
    environment turns this off; MAX's own cache of kernels is another, and is left alone.
    """


@cache.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_(as_json: bool) -> int:
    """List them, newest first."""
    found = list(kept.entries())
    if as_json:
        click.echo(json.dumps([asdict(e) for e in found], indent=2))
        return 0
    for e in found:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(e.created))
        name = f"{e.key.name[:12]}  {when}  {e.bytes / 1e6:7.1f} MB  MAX {e.key.max}"
        title = e.title if len(e.title) <= 60 else f"{e.title[:59]}…"
        click.echo(f"{name}  {e.seconds:6.1f} s  {title}")
    total = sum(e.bytes for e in found)
    click.echo(f"{len(found)} graphs, {total / 1e6:.1f} MB, in {kept.graphs_folder()}")
    if broken := kept.damaged():
        click.echo(f"{len(broken)} more are damaged: fxmax cache clear removes them")
    if more := kept.artifacts():
        size = sum(used for _, used in more)
        click.echo(f"{len(more)} artifacts to start from, {size / 1e6:.1f} MB, in {kept.artifacts_folder()}")
    return 0


@cache.command()
@click.option("--older-than", type=float, default=0.0, metavar="DAYS", help="Only what is older than this.")
def clear(older_than: float) -> int:
    """Remove them. What runs already is not disturbed."""
    number, size = kept.clear(older_than)
    click.echo(f"removed {number} graphs and artifacts, {size / 1e6:.1f} MB")
    return 0
