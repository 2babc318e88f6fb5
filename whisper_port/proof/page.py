"""The page that `scripts/lower.py` prints: how the encoder was lowered, and the proof."""

from __future__ import annotations

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from fxmax.report import Report
from whisper_port.proof.encoder import ROUNDINGS, Comparison, Proof

RANDOM = "RANDOM WEIGHTS: the numbers compare MAX with Torch, the text means nothing"


def show(console: Console, *parts: RenderableType) -> None:
    """Print the parts of a page."""
    for part in parts:
        console.print(part)
        console.print()


def heading(model: str, source: str, random: bool) -> RenderableType:
    lines = [Text(f"Whisper {model}: AudioEncoder on MAX", style="bold"), Text(f"weights: {source}")]
    if random:
        lines.append(Text(RANDOM, style="bold red"))
    return Group(*lines)


def operations(report: Report) -> RenderableType:
    """Each op, how often, and the rule that lowered it."""
    table = Table(
        title=f"{sum(report.ops().values())} nodes, {report.coverage:.0%} lowered", title_justify="left"
    )
    table.add_column("op")
    table.add_column("nodes", justify="right")
    table.add_column("lowered by")
    for op, count, how in report.rows():
        table.add_row(op, str(count), how)
    return table


def weights(report: Report) -> RenderableType:
    lines = [Text(f"weights: {report.weights_line()}")]
    lines += [Text(f"  {fqn}: stored as {layout}", style="dim") for fqn, layout in report.layouts.items()]
    return Group(*lines)


def stages(report: Report, seconds: dict[str, float] | None = None) -> RenderableType:
    """How long each stage took (default: the report's own), and whether the compile was needed."""
    table = Table(title="stages", title_justify="left")
    table.add_column("stage")
    table.add_column("seconds", justify="right")
    for stage, value in (seconds or report.seconds).items():
        table.add_row(stage.replace("_", " "), f"{value:.3f}")
    return Group(table, *(line for line in (report.kernels_line(), report.cache) if line))


def proof_page(proof: Proof) -> list[RenderableType]:
    """The whole page, top to bottom."""
    c = proof.comparison
    table = Table(title=f"MAX against Torch on {proof.audio}", title_justify="left")
    table.add_column("")
    table.add_column("measured", justify="right")
    table.add_column("allowed", justify="right")
    table.add_row("max abs error", f"{c.max_abs_error:.2e}", f"{c.allowed:.1e}")
    table.add_row("relative error", f"{c.relative_error:.2e}", f"{c.allowed / c.scale:.1e}")
    table.add_row("cosine", f"{c.cosine:.9f}", "")
    ours, theirs = proof.seconds["run_median"], proof.torch_run_median_seconds
    table.add_row("MAX, median run", f"{ours * 1e3:.0f} ms", "")
    table.add_row("Torch, median run", f"{theirs * 1e3:.0f} ms", "")
    table.add_row("MAX / Torch", f"{ours / theirs:.2f}", "")
    same = c.text["max"] == c.text["torch"]
    text = Table.grid(padding=(0, 2))
    text.add_row("from MAX's features", Text(c.text["max"]))
    text.add_row("from Torch's features", Text(c.text["torch"]))
    text.add_row("", Text("equal", style="green") if same else Text("DIFFERENT", style="bold red"))
    verdict = Text("PASS", style="bold green") if proof.ok else Text("FAIL", style="bold red")
    return [
        heading(proof.model, proof.weights_source, proof.random_weights),
        operations(proof.report),
        weights(proof.report),
        stages(proof.report, proof.seconds),
        table,
        Panel(text, title="openai-whisper's decoder, on both", title_align="left"),
        *(Text(f"note: {note}", style="yellow") for note in [*proof.notes, *rounding_notes(c)]),
        verdict,
    ]


def rounding_notes(c: Comparison) -> list[str]:
    """Why more than the fixed tolerance is allowed, if it is."""
    if c.torch_rounding is None:
        return []
    return [
        f"float32 is this coarse here: Torch's own features are {c.torch_rounding:.2e} from the same "
        f"encoder in float64, and MAX may differ from Torch by {ROUNDINGS:g} times that"
    ]


def proof_markdown(proof: Proof) -> str:
    """The same page as markdown."""
    c = proof.comparison
    head = [f"- weights: {proof.weights_source}", f"- audio: {proof.audio}"]
    if proof.random_weights:
        head.append(f"- **{RANDOM}**")
    rows = [
        f"| max abs error | {c.max_abs_error:.2e} |",
        f"| relative error | {c.relative_error:.2e} |",
        f"| cosine | {c.cosine:.9f} |",
        f"| MAX, median run | {proof.seconds['run_median'] * 1e3:.0f} ms |",
        f"| Torch, median run | {proof.torch_run_median_seconds * 1e3:.0f} ms |",
    ]
    text = [f"- from MAX's features: {c.text['max']}", f"- from Torch's features: {c.text['torch']}"]
    verdict = "**PASS**" if proof.ok else "**FAIL**"
    parts = [
        proof.report.markdown(),
        *head,
        "",
        "| against Torch | |",
        "|---|---:|",
        *rows,
        "",
        *text,
        *(f"- {note}" for note in rounding_notes(c)),
        "",
        verdict,
    ]
    return "\n".join(parts)
