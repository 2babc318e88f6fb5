"""The page that `scripts/lower.py` prints: how the encoder was lowered, and the proof."""

from __future__ import annotations

from collections.abc import Mapping

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
        title=f"{sum(report.ops().values())} nodes, {report.coverage:.0%} lowered",
        caption="aten ops are torch's; fxmax ops were put in by graph rewrites, for kernels of fxmax's own.",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("op")
    table.add_column("nodes", justify="right")
    table.add_column("lowered by (file of fxmax, line)")
    for op, count, how in report.rows():
        table.add_row(op, str(count), how)
    return table


def summary(report: Report, verbose: bool = False) -> RenderableType:
    """Weights, rewrites and the size of the MAX graph in a line each; `verbose`: with their names."""
    lines = [Text(f"weights: {report.weights_line()}"), *map(Text, report.summary_lines())]
    if verbose:
        lines += [Text(f"  {line}", style="dim") for line in report.name_lines()]
    lines += map(Text, report.check_lines())
    return Group(*lines)


STAGES = {
    "capture": "torch.export traces the module, and rewrites change its graph",
    "lower": "rules build the MAX graph",
    "compile": "MAX makes machine code, or fxmax finds it in its cache",
    "check": "the results are compared with eager torch's",
    "first_run": "the first call",
}


def stages(report: Report, seconds: Mapping[str, float] | None = None) -> RenderableType:
    """How long each stage took (default: the report's own), and whether the compile was needed."""
    table = Table(
        title="how long it took", title_justify="left", caption=report.cache, caption_justify="left"
    )
    table.add_column("stage")
    table.add_column("seconds", justify="right")
    table.add_column("what it does")
    for stage, value in (seconds or report.seconds).items():
        if stage in STAGES:
            table.add_row(stage.replace("_", " "), f"{value:.3f}", STAGES[stage])
    return table


def comparison(proof: Proof) -> RenderableType:
    """The errors and times of MAX and Torch on one clip, and what is allowed."""
    c = proof.comparison
    table = Table(
        title=f"MAX against Torch on {proof.audio}",
        caption=f"Features reach {c.scale:.3g}. The two add in different orders, in float32; a wrong weight, "
        "axis or bias is off by orders of magnitude more than is allowed.",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("")
    table.add_column("measured", justify="right")
    table.add_column("at most", justify="right")
    table.add_row("largest difference of a feature", f"{c.max_abs_error:.2e}", f"{c.allowed:.1e}")
    table.add_row("… over the largest feature", f"{c.relative_error:.2e}", f"{c.allowed / c.scale:.1e}")
    table.add_row("cosine of all features", f"{c.cosine:.9f}", "")
    ours, theirs = proof.seconds["run_median"], proof.torch_run_median_seconds
    table.add_row("MAX, median of a run", f"{ours * 1e3:.0f} ms", "")
    table.add_row("Torch, median of a run", f"{theirs * 1e3:.0f} ms", "")
    table.add_row("MAX's time over Torch's", f"{ours / theirs:.2f}", "")
    return table


def texts(proof: Proof) -> RenderableType:
    """What openai's own decoder makes of both encoders' features."""
    said = proof.comparison.text
    same = said["max"] == said["torch"]
    grid = Table.grid(padding=(0, 2))
    grid.add_row("from MAX's features", Text(said["max"]))
    grid.add_row("from Torch's features", Text(said["torch"]))
    grid.add_row("", Text("equal", style="green") if same else Text("DIFFERENT", style="bold red"))
    return Panel(grid, title="the text that openai-whisper's decoder makes of both", title_align="left")


def proof_page(proof: Proof, verbose: bool = False) -> list[RenderableType]:
    """The whole page, top to bottom."""
    notes = [*proof.notes, *rounding_notes(proof.comparison)]
    return [
        heading(proof.model, proof.weights_source, proof.random_weights),
        operations(proof.report),
        summary(proof.report, verbose),
        stages(proof.report, proof.seconds),
        comparison(proof),
        texts(proof),
        *(Text(f"note: {note}", style="yellow") for note in notes),
        Text(verdict(proof), style="bold green" if proof.ok else "bold red"),
    ]


def verdict(proof: Proof) -> str:
    """PASS or FAIL, and what it is that holds or doesn't."""
    c, report = proof.comparison, proof.report
    failed = {
        f"{len(report.missing)} of the weights without a value": bool(report.missing),
        f"{len(report.unused)} of the weights not used": bool(report.unused),
        "MAX's features differ by more than is allowed": not c.max_abs_error <= c.allowed,
        "the texts differ": c.text["max"] != c.text["torch"],
    }
    if reasons := [reason for reason, failed_so in failed.items() if failed_so]:
        return f"FAIL: {'; '.join(reasons)}. The first node that differs: the same command with --verify"
    return "PASS: every weight is bound, the features differ by no more than is allowed, the texts are equal"


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
        f"| max abs error | {c.max_abs_error:.2e} (allowed: {c.allowed:.1e}) |",
        f"| relative error | {c.relative_error:.2e} |",
        f"| cosine | {c.cosine:.9f} |",
        f"| MAX, median run | {proof.seconds['run_median'] * 1e3:.0f} ms |",
        f"| Torch, median run | {proof.torch_run_median_seconds * 1e3:.0f} ms |",
    ]
    text = [f"- from MAX's features: {c.text['max']}", f"- from Torch's features: {c.text['torch']}"]
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
        f"**{verdict(proof)}**",
    ]
    return "\n".join(parts)
