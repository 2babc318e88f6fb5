"""The page: what it holds, and (slow) that it works in a browser."""

import re
import shutil
import time

import pytest
import torch
from torch import nn

import fxmax
from fxmax.profiling import NodeTime, Profile
from fxmax.records import Fate, NodeRecord
from fxmax.report import Report
from fxmax.verification import NodeCheck, Verification
from fxmax.viewer import page
from fxmax.viewer.layout import HEIGHT, WIDTH, lay_out


class Model(nn.Module):
    """One gap, and a name that would break out of a script or a tag."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x):
        y = torch.linalg.det(self.first(x))  # </script><b>
        return self.last(x * y)


@pytest.fixture(scope="module")
def report():
    return fxmax.explain(Model().eval(), (torch.randn(4, 4),), device="cpu", quiet=True)


def verification_of(report, bad):
    checks = [
        NodeCheck(n.name, n.op, n.path, n.source, "float32", (4, 4), 1e-6, 1e-6, 1.0, 1e-6, 1e-6, 2e-6,
                  50.0 if n.name == bad else 0.5)
        for n in report.nodes
    ]  # fmt: skip
    return Verification("Model", "cpu:0", "node", "float32", checks, report=report)


def test_it_is_one_file_without_a_network(report, tmp_path):
    text = report.html(tmp_path / "page.html").read_text()
    assert not re.search(r"""(src|href)\s*=|@import|https?://(?!www\.w3\.org)""", text)
    assert text.count("</script>") == 2  # the model's own text does not close one


def test_it_shows_nodes_gaps_weights_and_times(report):
    text = page(report)
    for node in report.nodes:
        assert f'id="n-{node.name}"' in text
    assert len(report.gaps) > 0
    assert text.count('class="gap-text"') == len(report.gaps)
    assert "@fxmax.rule(torch.ops.aten" in text
    assert "first.weight" in text
    assert "capture" in text


def test_a_verification_colours_by_error(report):
    bad = report.nodes[-1].name
    text = page(report, verification_of(report, bad))
    assert f"first divergence: {bad}" in text
    assert text.count('data-error="#d64545"') == 1


def test_colours_are_chosen_from_what_there_is(report):
    bad, slow = report.nodes[-1].name, report.nodes[0].name
    times = [
        NodeTime(n.name, n.op, n.path, n.source, n.shape, 2.0 if n.name == slow else 0.02, 0.1, n.name)
        for n in report.nodes
    ]
    profile = Profile("Model", "cpu:0", times, 3.0, 3.1, 0.01, 5, report=report)
    text = page(report, verification_of(report, bad), profile)
    assert re.findall("<option>(.*?)</option>", text) == ["error", "time", "fate"]
    [slowest] = re.findall(f'id="n-{slow}".*?data-time="(.*?)"', text)
    assert slowest == "hsl(5 85% 55%)"
    assert text.count(f'data-time="{slowest}"') == 1
    assert "2.000 ms" in text
    assert "<option>" not in page(report)


def test_nodes_too_fast_to_time_are_still_coloured_by_time(report):
    times = [NodeTime(n.name, n.op, n.path, n.source, n.shape, 0.0, 0.0, n.name) for n in report.nodes]
    text = page(report, profile=Profile("Model", "cpu:0", times, 0.0, 0.0, 0.01, 5, report=report))
    assert re.findall("<option>(.*?)</option>", text) == ["time", "fate"]
    assert set(re.findall('data-time="(.*?)"', text)) == {"hsl(45 85% 97%)"}


def test_a_notebook_shows_both(report):
    assert "aten.linear.default" in report._repr_html_()
    assert "first divergence" in verification_of(report, report.nodes[0].name)._repr_html_()


def test_boxes_do_not_overlap_and_edges_go_down(report):
    picture = lay_out(report.nodes)
    places = [(n.x, n.y) for n in picture.nodes]
    for i, (x, y) in enumerate(places):
        assert all(abs(x - u) >= WIDTH or abs(y - v) >= HEIGHT for u, v in places[i + 1 :])
    at = {n.record.name: n for n in picture.nodes}
    for n in picture.nodes:
        assert all(at[i].y < n.y for i in n.record.inputs if i in at)


def large(count):
    """A chain of blocks with three branches each."""
    nodes = []
    for i in range(count // 5):
        before = (f"n{i - 1}_4",) if i else ()
        fate: Fate = "gap" if i % 100 == 99 else "lowered"
        path = f"blocks.{i}.attn"
        nodes += [
            NodeRecord(f"n{i}_{k}", "aten.linear.default", fate, path, None, inputs=before) for k in range(3)
        ]
        nodes.append(
            NodeRecord(
                f"n{i}_3",
                "aten.add.Tensor",
                "lowered",
                path,
                None,
                inputs=tuple(f"n{i}_{k}" for k in range(3)),
            )
        )
        nodes.append(NodeRecord(f"n{i}_4", "aten.gelu.default", "lowered", path, None, inputs=(f"n{i}_3",)))
    return Report("Large", "cpu:0", nodes=nodes)


def test_five_thousand_nodes_take_seconds():
    start = time.perf_counter()
    assert page(large(5000)).count('class="node ') == 5000
    assert time.perf_counter() - start < 30  # about 2 s; the machine may be busy


@pytest.fixture(scope="module")
def browser():
    """Debian's chromium through selenium: apt-get install chromium-driver; pip install selenium."""
    from selenium import webdriver

    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        pytest.fail("chromium and chromedriver are needed: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1400,900"):
        options.add_argument(flag)
    options.binary_location = shutil.which("chromium")
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()


@pytest.mark.slow
def test_it_works_in_a_browser(browser, report, tmp_path):
    from selenium.webdriver.support.ui import Select

    bad = report.nodes[-1].name
    verification = verification_of(report, bad)
    browser.get(verification.html(tmp_path / "page.html").as_uri())
    find = browser.find_element

    # It opens on the divergent node.
    assert find("id", "chosen").text == bad
    assert "diverges" in find("id", "details").text

    # A click shows another node's details.
    first = report.nodes[0]
    find("css selector", "svg")
    browser.execute_script("fit()")
    find("id", f"n-{first.name}").click()
    assert find("id", "chosen").text == first.name
    assert first.op in find("id", "details").text
    assert "test_page.py:" in find("id", "details").text or first.source

    # Search and fates dim the rest.
    def lit():
        return {
            e.get_attribute("data-name") for e in browser.find_elements("css selector", ".node:not(.off)")
        }

    find("id", "search").send_keys("linear")
    assert lit() == {n.name for n in report.nodes if "linear" in n.op}
    find("id", "search").clear()
    find("id", "search").send_keys(" ")
    assert lit() == {n.name for n in report.nodes}
    find("css selector", "input[data-fate=gap]").click()
    assert lit() == {n.name for n in report.nodes if n.fate != "gap"}

    # Colours go from error to fate.
    rect = find("css selector", f"#n-{bad} rect")
    assert rect.value_of_css_property("fill") == "rgb(214, 69, 69)"
    Select(find("id", "colour")).select_by_visible_text("fate")
    assert rect.value_of_css_property("fill") != "rgb(214, 69, 69)"
    assert not [e for e in browser.get_log("browser") if e["level"] == "SEVERE"]


TIMED = "const t = performance.now(); %s return performance.now() - t"


@pytest.mark.slow
def test_five_thousand_nodes_stay_usable(browser, tmp_path):
    start = time.perf_counter()
    browser.get(large(5000).html(tmp_path / "large.html").as_uri())
    assert len(browser.find_elements("css selector", ".node")) == 5000
    assert time.perf_counter() - start < 60
    search = "document.getElementById('search').value = 'gelu'; filter();"
    assert browser.execute_script(TIMED % search) < 2000
    assert browser.execute_script(TIMED % "show(0, 50000, 1400, 900); svg.getBBox();") < 2000
