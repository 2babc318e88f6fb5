"""The `fxmax` command, for any module of yours. torch and MAX load on use."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fxmax._version import __version__
from fxmax.cli.bench import bench
from fxmax.cli.cache import cache
from fxmax.cli.check import check
from fxmax.cli.paths import OutFile
from fxmax.cli.profile import profile
from fxmax.support.files import write_whole

if TYPE_CHECKING:
    from fxmax.cli.target import Target

EXAMPLES = """
\b
A TARGET is `package.module:factory` or `path/to/file.py:factory`. The factory takes no arguments
and returns the module, or (module, args), or (module, args, kwargs), where args and kwargs are
example inputs:
\b
    def small():
        model = torch.nn.Linear(16, 4)
        return model, (torch.randn(2, 16),)
"""


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="""
\b
examples:
  fxmax explain mymodel.py:small                     which ops have a rule, and which don't
  fxmax lower mymodel.py:small --save small.fxmax    compile; run it without torch by fxmax.load
  fxmax lower pkg.nets:resnet --dynamic batch=1..64 --html resnet.html
  fxmax verify mymodel.py:small                      where does it first leave torch?
  fxmax bench mymodel.py:small                       MAX beside torch, in turn
  fxmax profile mymodel.py:small --html time.html    what each node costs
  fxmax check small.fxmax                            does it compute here what it did there?
  fxmax cache list                                   the compiled graphs that are kept
\b
The exit status is 0 if all is well, 1 if something can't be lowered or diverges, 2 for an error
that a message explains. Shell completion: eval "$(_FXMAX_COMPLETE=bash_source fxmax)"
""",
)
@click.version_option(__version__, prog_name="fxmax")
def cli() -> None:
    """Take a PyTorch module, run it on Modular's MAX engine, and know that it is the same model."""


def common(command: Callable[..., Any]) -> Callable[..., Any]:
    """The target and the options that explain, lower and verify share."""
    options = [
        click.argument("target"),
        click.option(
            "--dynamic",
            multiple=True,
            metavar="NAME=MIN..MAX",
            help="A size that may vary: the first axis of every tensor input, or, by x.1:time=1..99, "
            "axis 1 of input x.",
        ),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, gpu or gpu:N."),
        click.option("--html", type=OutFile(), metavar="OUT.html", help="Write a page to look at."),
        click.option("--json", "as_json", is_flag=True, help="Print JSON."),
        click.option("--quiet", is_flag=True, help="No progress on stderr."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@cli.command(epilog=EXAMPLES)
@common
@click.option("--verbose", is_flag=True, help="Name the weights and nodes that the report only counts.")
def explain(
    target: str,
    dynamic: tuple[str, ...],
    device: str,
    html: Path | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> int:
    """Say what would be lowered, by which rule, and every gap. Compiles nothing."""
    import fxmax

    given = _given(target, dynamic)
    report = fxmax.explain(
        *given.call,
        dynamic_shapes=given.dynamic_shapes,
        device=device,
        quiet=quiet,
    )
    click.echo(report.json() if as_json else report.text(verbose))
    if html is not None:
        report.html(html)
    return 0 if report.ok else 1


@cli.command(epilog=EXAMPLES)
@common
@click.option("--verbose", is_flag=True, help="Name the weights and nodes that the report only counts.")
@click.option("--save", type=click.Path(path_type=Path), metavar="OUT.fxmax", help="Write an artifact.")
@click.option("--emit", type=OutFile(), metavar="OUT.py", help="Write the graph as Python source.")
@click.option("--no-compile", is_flag=True, help="Stop before MAX's compiler.")
def lower(
    target: str,
    dynamic: tuple[str, ...],
    device: str,
    html: Path | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    save: Path | None,
    emit: Path | None,
    no_compile: bool,
) -> int:
    """Lower and compile a module; save it as an artifact that runs without torch."""
    import fxmax
    from fxmax.frontend.options import CompileOptions

    if save is not None and no_compile:
        raise click.UsageError("--save needs the compile that --no-compile leaves out")
    if save is not None:
        from fxmax.artifact.writing import check_place

        check_place(save)
    given = _given(target, dynamic)
    dims, options = given.dynamic_shapes, CompileOptions(device=device, quiet=quiet)
    compiled = None if no_compile else fxmax.lower(*given.call, dynamic_shapes=dims, **options)
    lowered = (
        fxmax.lower(*given.call, dynamic_shapes=dims, compile=False, **options)
        if compiled is None
        else compiled.lowered
    )
    click.echo(lowered.report.json() if as_json else lowered.report.text(verbose))
    if html is not None:
        lowered.report.html(html)
    if emit is not None:
        write_whole(emit, lowered.source())
    if save is not None and compiled is not None:
        compiled.save(save)
        click.echo(f"wrote {save}: fxmax.load({str(save)!r}) runs it without torch", err=True)
    return 0


@cli.command(epilog=EXAMPLES)
@common
@click.option("--level", type=click.Choice(["node", "module"]), default="node", show_default=True)
@click.option("--reference", type=click.Choice(["float32", "float64"]), default="float32", show_default=True)
@click.option(
    "--bisect", is_flag=True, help="A few nodes at a time: slow, for a fault that hides while watched."
)
@click.option("--table", is_flag=True, help="Print every node.")
def verify(
    target: str,
    dynamic: tuple[str, ...],
    device: str,
    html: Path | None,
    as_json: bool,
    quiet: bool,
    level: str,
    reference: str,
    bisect: bool,
    table: bool,
) -> int:
    """Run MAX and torch side by side, and name the first node that leaves torch."""
    import fxmax

    given = _given(target, dynamic)
    result = fxmax.verify(
        *given.call,
        level=level,  # type: ignore[arg-type]
        reference=reference,
        bisect=bisect,
        dynamic_shapes=given.dynamic_shapes,
        device=device,
        quiet=quiet,
    )
    click.echo(result.json() if as_json else result.text())
    if table and not as_json:
        click.echo(result.table())
    if html is not None:
        result.html(html)
    return 0 if result.ok else 1


cli.add_command(bench)
cli.add_command(cache)
cli.add_command(check)
cli.add_command(profile)


# -- helpers --------------------------------------------------------------------------------------


def _given(target: str, dynamic: tuple[str, ...]) -> Target:
    from fxmax.cli.target import given

    return given(target, dynamic)


def main() -> None:
    """The console script."""
    from fxmax.errors import FxmaxError, LoweringError

    try:
        status = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("\ninterrupted; nothing was written", err=True)
        sys.stderr.flush()
        os._exit(130)  # MAX's compiler can't be interrupted: leave without waiting for it
    except LoweringError as error:
        click.echo(str(error), err=True)
        status = 1
    except FxmaxError as error:
        click.echo(f"error: {error}", err=True)
        status = 2
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        click.echo("error: this needs torch, which is not installed: pip install 'fxmax[torch]'", err=True)
        status = 2
    sys.exit(status if isinstance(status, int) else 0)
