"""The page: a report, a verification or a profile as one HTML file that needs no network."""

from __future__ import annotations

import html
import json
import math
from pathlib import Path

from fxmax.errors import FxmaxError
from fxmax.support.files import write_whole
from fxmax.viewer.data import Check, Node, Profile, Report, Time, Verification
from fxmax.viewer.layout import lay_out


def write_page(
    path: str | Path,
    report: Report | None,
    verification: Verification | None = None,
    profile: Profile | None = None,
) -> Path:
    """Write the page of a report, coloured by fate, by error (of a verification) or by time (of a profile).

    Raises:
        FxmaxError: there is no report, or the file can't be written.
    """
    if report is None:
        raise FxmaxError("there is no report to draw")
    path = Path(path)
    try:
        write_whole(path, page(report, verification, profile))
    except OSError as error:
        raise FxmaxError(f"{path} can't be written: {error.strerror}") from None
    return path


def page(report: Report, verification: Verification | None = None, profile: Profile | None = None) -> str:
    """The page's text."""
    from jinja2 import Environment, PackageLoader

    checks = {c.name: c for c in verification.nodes} if verification else {}
    times = {t.name: t for t in profile.nodes} if profile else {}
    # every node may take less than calling MAX does, which leaves 0 ms each
    longest = max((t.ms or 0.0 for t in times.values()), default=0.0) or 1.0
    picture = lay_out(report.nodes)
    left: dict[str, list[str]] = {}
    for skipped in report.skipped:
        left.setdefault(skipped.node, []).append(str(skipped))
    details = {
        n.name: _details(n, checks.get(n.name), times.get(n.name), left.get(n.name, [])) for n in report.nodes
    }
    colours = {
        "error": {name: _heat(c.excess) for name, c in checks.items()},
        "time": {name: _warmth(t.ms / longest) for name, t in times.items() if t.ms is not None},
    }
    environment = Environment(loader=PackageLoader("fxmax.viewer", "."), autoescape=True, trim_blocks=True)
    template = environment.get_template("page.html.j2")
    return template.render(
        report=report,
        picture=picture,
        verification=verification,
        profile=profile,
        colours={by: of for by, of in colours.items() if of},
        fates=sorted({n.fate for n in report.nodes}),
        # "</" would end the script element that holds this
        details=json.dumps(details).replace("</", "<\\/"),
    )


def report_summary(report: Report) -> str:
    """A few lines of HTML for a notebook."""
    rows = "".join(
        f"<tr><td><code>{html.escape(op)}</code></td><td>{count}</td><td>{html.escape(how)}</td></tr>"
        for op, count, how in report.rows()
    )
    gaps = f"<pre>{html.escape(report.gaps_text())}</pre>" if report.gaps else ""
    return (
        f"<b>{html.escape(report.model)}</b> on {html.escape(report.device)}: "
        f"{report.coverage:.0%} of the nodes lowered; weights: {html.escape(report.weights_line())}"
        f"<table><tr><th>op</th><th>nodes</th><th>lowered by</th></tr>{rows}</table>{gaps}"
    )


def verification_summary(verification: Verification) -> str:
    """The verdict and every watched node, as HTML for a notebook."""
    rows = "".join(
        f'<tr style="background:{_heat(n.excess)}"><td>{html.escape(n.name)}</td>'
        f"<td>{html.escape(n.path)}</td><td>{n.max_abs_error:.2g}</td><td>{n.expected_error:.2g}</td>"
        f"<td>{n.own_error:.2g}</td><td>{n.tolerance:.2g}</td></tr>"
        for n in verification.nodes
    )
    return (
        f"<pre>{html.escape(verification.text())}</pre><table><tr><th>node</th><th>module</th><th>error</th>"
        f"<th>expected</th><th>own error</th><th>allowed</th></tr>{rows}</table>"
    )


def profile_summary(profile: Profile) -> str:
    """Ops and nodes by their time alone, as HTML for a notebook."""
    return f"<pre>{html.escape(profile.text())}</pre>"


def _warmth(share: float) -> str:
    """White for no time, orange to red for that of the slowest node; the root, to tell small ones apart."""
    strength = math.sqrt(share)
    return f"hsl({45 - 40 * strength:.0f} 85% {97 - 42 * strength:.0f}%)"


def _heat(excess: float) -> str:
    """Green far below the tolerance, yellow close to it, red past it."""
    if not excess <= 1:
        return "#d64545"
    return f"hsl({120 - 70 * excess:.0f} 45% 78%)"


def _details(node: Node, check: Check | None, timed: Time | None, left: list[str]) -> dict[str, str]:
    """What the panel shows of a node, in order."""
    shown = {
        "op": node.op,
        "module": node.path or "(the module itself)",
        "result": node.shape,
        "fate": node.fate,
        "rule": node.rule,
        "made from": node.original if node.fate == "decomposed" else "",
        "source": str(node.source) if node.source else "",
        "line": node.source.code if node.source else "",
        "inputs": ", ".join(node.inputs),
        "rewrites": "; ".join(left),
    }
    if check is not None:
        shown |= {
            "error": f"{check.max_abs_error:.3g} (relative {check.relative_error:.3g})",
            "expected here": f"{check.expected_error:.3g}",
            "own error": f"{check.own_error:.3g}",
            "allowed": f"{check.tolerance:.3g}",
            "verdict": "diverges" if check.diverges else "within tolerance",
        }
    if timed is not None:
        shown["time alone"] = "not timed" if timed.ms is None else f"{timed.ms:.3f} ms"
        shown["measured on"] = timed.measured if timed.measured != node.name else ""
    return {k: v for k, v in shown.items() if v}
