"""Artifacts: what is saved is what is loaded, without torch, or a clear error."""

import json
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from torch import nn

import fxmax
from fxmax.artifact import check, golden, writing
from fxmax.artifact.manifest import CHECKSUMS, GOLDEN, GRAPH, KERNELS, MANIFEST, PROGRAM, WEIGHTS, checksums
from fxmax.cli import cli

pytestmark = pytest.mark.compiles

FILES = (MANIFEST, PROGRAM, WEIGHTS, GRAPH, GOLDEN, CHECKSUMS)
original = golden.compare


@dataclass
class Outcome:
    value: torch.Tensor
    pair: tuple[torch.Tensor, int]


class Net(nn.Module):
    """A filter that is stored in another layout, a 16-bit weight, a nested output, a dynamic size."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(4, 8, 3, padding=1)
        self.low = nn.Parameter(torch.randn(8, 1).bfloat16())
        self.register_buffer("offset", torch.randn(8, 1), persistent=False)

    def forward(self, x, *, ids):
        y = self.conv(x) + self.offset
        return {"y": y, "made": [Outcome(y + self.low, (ids + 1, x.shape[0]))], "n": 3}


class Counter(nn.Module):
    """A buffer that each call changes."""

    def __init__(self):
        super().__init__()
        self.register_buffer("total", torch.zeros(3))

    def forward(self, x):
        self.total.add_(x)
        return self.total + 0


class Twice(nn.Module):
    """A layer under the names that it has alone, so that both graphs hold its tensors as one."""

    def __init__(self, layer):
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias

    def forward(self, x):
        return nn.functional.linear(x, self.weight, self.bias) * 2


torch.export.register_dataclass(Outcome, serialized_type_name="tests.Outcome")


def build():
    torch.manual_seed(0)
    net = Net().eval()
    x, ids = torch.randn(2, 4, 10), torch.arange(5)
    batch = torch.export.Dim("batch", min=1, max=8)
    jobs = {
        "net": fxmax.Job(net, (x,), {"ids": ids}, dynamic_shapes={"x": {0: batch}, "ids": None}),
        "counter": fxmax.Job(Counter().eval(), (torch.ones(3),)),
    }
    return net, fxmax.lower_many(jobs, quiet=True)


@pytest.fixture(scope="module")
def made():
    return build()


@pytest.fixture(scope="module")
def artifact(made, tmp_path_factory):
    path = tmp_path_factory.mktemp("artifact") / "net.fxmax"
    return fxmax.save(path, made[1], metadata={"dims": [4, 8]})


@pytest.fixture
def copy(artifact, tmp_path):
    """A copy to damage."""
    path = tmp_path / "copy.fxmax"
    return shutil.copytree(artifact, path)


def resign(path):
    names = [f.relative_to(path).as_posix() for f in path.rglob("*") if f.is_file() and f.name != CHECKSUMS]
    (path / CHECKSUMS).write_text(checksums(path, names))


def edit_manifest(path, change):
    data = json.loads((path / MANIFEST).read_text())
    change(data)
    (path / MANIFEST).write_text(json.dumps(data))
    resign(path)


def test_a_graph_comes_back_with_its_structure_dtypes_and_sizes(made, artifact):
    net, _ = made
    loaded = fxmax.load(artifact, "net")
    for batch in (2, 5):
        x, ids = torch.randn(batch, 4, 10), torch.arange(5)
        with torch.no_grad():
            want = net(x, ids=ids)
        for got in (loaded(x.numpy(), ids=ids.numpy()), loaded(x=x, ids=ids)):
            assert set(got) == {"y", "made", "n"}
            assert got["n"] == 3
            [outcome] = got["made"]
            assert outcome.pair[1] == batch
            assert outcome.pair[0].dtype == np.int64
            np.testing.assert_array_equal(outcome.pair[0], want["made"][0].pair[0].numpy())
            np.testing.assert_allclose(got["y"], want["y"].numpy(), atol=1e-5)
            np.testing.assert_allclose(outcome["value"], want["made"][0].value.numpy(), atol=1e-5)
    assert loaded.metadata == {"dims": [4, 8]}


def test_state_lives_between_calls_and_starts_afresh(artifact):
    counter = fxmax.load_all(artifact)["counter"]
    one = np.ones(3, np.float32)
    assert [float(counter(one)[0]) for _ in range(3)] == [1, 2, 3]
    counter.reset()
    assert float(counter(one)[0]) == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"x": np.zeros((2, 4, 10), np.float64), "ids": np.arange(5)}, "x is float64; float32 was lowered"),
        ({"x": np.zeros((9, 4, 10), np.float32), "ids": np.arange(5)}, "batch was lowered for 1..8"),
        ({"x": np.zeros((2, 4, 10), np.float32)}, "missing: ids"),
        ({"x": np.zeros((2, 4, 9), np.float32), "ids": np.arange(5)}, "shape"),
        ({"x": [1.0], "ids": np.arange(5)}, "x"),
    ],
)
def test_a_wrong_call_is_refused_by_name(artifact, arguments, told):
    with pytest.raises(fxmax.InputError, match=told):
        fxmax.load(artifact, "net")(**arguments)


def test_it_runs_where_torch_is_not_installed(artifact, made, tmp_path):
    x, ids = torch.randn(2, 4, 10), torch.arange(5)
    with torch.no_grad():
        want = made[0](x, ids=ids)["y"]
    np.savez(tmp_path / "io.npz", x=x.numpy(), ids=ids.numpy(), want=want.numpy())
    program = f"""
import sys
class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "sympy"):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, NoTorch())
import numpy as np
import fxmax
assert not [m for m in sys.modules if m.startswith("max")], "import fxmax is not lazy"
io = np.load({str(tmp_path / "io.npz")!r})
y = fxmax.load({str(artifact)!r}, "net")(io["x"], ids=io["ids"])["y"]
np.testing.assert_allclose(y, io["want"], atol=1e-5)
assert not [m for m in sys.modules if m.partition(".")[0] == "torch"]
try:
    fxmax.lower
except ModuleNotFoundError as error:
    assert "pip install 'fxmax[torch]'" in str(error)
print("fine")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout == "fine\n", done.stderr


def test_the_standard_tool_checks_it(artifact):
    done = subprocess.run(["sha256sum", "--check", CHECKSUMS], cwd=artifact, capture_output=True, check=False)
    assert done.returncode == 0


@pytest.mark.parametrize("name", [*FILES, KERNELS])
def test_every_flip_and_cut_is_an_error(artifact, copy, name):
    if name == KERNELS:  # a kernel package of these graphs
        name = min(f.relative_to(copy).as_posix() for f in (copy / KERNELS).iterdir())
    whole, draw = (artifact / name).read_bytes(), random.Random(name)
    file = copy / name
    places = {0, len(whole) - 1, *(draw.randrange(len(whole)) for _ in range(40))}
    damaged = [whole[:i] + bytes([whole[i] ^ (1 << draw.randrange(8))]) + whole[i + 1 :] for i in places]
    damaged += [whole[:i] for i in places] + [whole + b"\n", b""]
    for data in damaged:
        file.write_bytes(data)
        with pytest.raises(fxmax.ArtifactError, match=r"damaged"):
            fxmax.load_all(copy)
    file.unlink()
    with pytest.raises(fxmax.ArtifactError, match=name):
        fxmax.load_all(copy)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda m: m.update(format_version=3), "format 3.*Upgrade fxmax"),
        (lambda m: m["versions"].update(max="99.1"), "compiled with MAX 99.1"),
        (lambda m: m["target"]["features"].append("avx1024f"), "lacks: avx1024f"),
        (lambda m: m["target"].update(machine="riscv64"), "riscv64"),
        (lambda m: m.update(device="gpu:7"), "can't run here"),
        (lambda m: m.pop("graphs"), "not an fxmax manifest"),
    ],
)
def test_what_this_machine_cannot_run_is_refused(copy, change, told):
    edit_manifest(copy, change)
    with pytest.raises(fxmax.ArtifactError, match=told):
        fxmax.load_all(copy)


@pytest.mark.slow
def test_it_is_compiled_again_where_asked(made, copy, monkeypatch):
    """For another CPU than this: the graph is compiled here, its kernels from the folder."""
    edit_manifest(copy, lambda m: m["target"]["features"].append("avx1024f"))
    (copy / PROGRAM).write_bytes(b"machine code of another machine")
    resign(copy)
    with pytest.raises(fxmax.ArtifactError, match="recompile=True"):
        fxmax.load(copy, "net")
    x, ids = torch.randn(3, 4, 10), torch.arange(5)
    with torch.no_grad():
        want = made[0](x, ids=ids)["y"].numpy()
    both = fxmax.load_all(copy, recompile=True)
    np.testing.assert_allclose(both["net"](x, ids=ids)["y"], want, atol=1e-5)
    assert float(both["counter"](np.ones(3, np.float32))[0]) == 1
    text = (copy / GRAPH).read_text()
    assert str(Path.home()) not in text
    monkeypatch.setenv("FXMAX_CACHE", "0")  # MAX compiles the graph itself, and changes it meanwhile
    again = fxmax.save(copy.with_name("again.fxmax"), build()[1])
    assert (again / GRAPH).read_text() == text
    (copy / GRAPH).write_text("not MLIR")
    resign(copy)
    with pytest.raises(fxmax.ArtifactError, match="can't read the graph"):
        fxmax.load(copy, "net", recompile=True)


def test_a_program_that_max_cannot_read_is_an_error(copy):
    (copy / PROGRAM).write_bytes(b"not a program")
    resign(copy)
    with pytest.raises(fxmax.ArtifactError, match="MAX can't read the program"):
        fxmax.load_all(copy)


def test_a_graph_has_to_be_named_where_there_are_several(artifact):
    with pytest.raises(fxmax.ArtifactError, match="say which"):
        fxmax.load(artifact)
    with pytest.raises(fxmax.ArtifactError, match="no graph 'decoder'; it has net, counter"):
        fxmax.load(artifact, "decoder")


def test_weights_by_reference_and_a_fine_tune_of_the_same_graph(made, tmp_path):
    net, compiled = made
    base, tuned = tmp_path / "base.safetensors", tmp_path / "tuned.safetensors"
    save_file(net.state_dict() | {"total": torch.zeros(3)}, base)
    path = fxmax.save(tmp_path / "small.fxmax", compiled, checkpoint=base)
    assert "conv.weight" not in (path / WEIGHTS).read_bytes().decode("latin-1")
    x, ids = torch.randn(2, 4, 10), torch.arange(5)
    with torch.no_grad():
        np.testing.assert_allclose(fxmax.load(path, "net")(x, ids=ids)["y"], net(x, ids=ids)["y"], atol=1e-5)

    other = Net().eval()
    other.offset.copy_(net.offset)
    save_file({f"model.{k}": v for k, v in other.state_dict().items()}, tuned)
    with torch.no_grad():
        want = other(x, ids=ids)["made"][0].value
    got = fxmax.load(path, "net", checkpoint=tuned)(x, ids=ids)["made"][0].value
    np.testing.assert_allclose(got, want, atol=1e-5)

    save_file({"conv.weight": torch.zeros(8, 4, 5)}, tuned)
    with pytest.raises(fxmax.WeightError, match=r"(?s)float32\[8, 4, 5\].*low: missing"):
        fxmax.load(path, "net", checkpoint=tuned)
    save_file(other.state_dict(), base)
    with pytest.raises(fxmax.ArtifactError, match="SHA-256 differs"):
        fxmax.load_all(path)
    with pytest.raises(fxmax.ArtifactError, match="is not the weight in use"):
        fxmax.save(tmp_path / "other.fxmax", compiled, checkpoint=base)
    base.unlink()
    with pytest.raises(fxmax.ArtifactError, match="not there"):
        fxmax.load_all(path)


def test_a_crash_leaves_the_old_artifact(made, artifact, tmp_path, monkeypatch):
    path = fxmax.save(tmp_path / "net.fxmax", made[1])
    before = {name: (path / name).read_bytes() for name in FILES}
    monkeypatch.setattr(
        "fxmax.artifact.writing.checksums", lambda *_: (_ for _ in ()).throw(OSError("disk full"))
    )
    with pytest.raises(fxmax.ArtifactError, match="disk full"):
        fxmax.save(path, made[1], metadata={"second": True})
    assert {name: (path / name).read_bytes() for name in FILES} == before
    assert [p.name for p in tmp_path.iterdir()] == ["net.fxmax"]
    monkeypatch.undo()
    fxmax.save(path, made[1], metadata={"second": True})
    assert fxmax.load(path, "net").metadata == {"second": True}
    assert [p.name for p in tmp_path.iterdir()] == ["net.fxmax"]


def test_nothing_but_an_artifact_is_replaced(made, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(fxmax.ArtifactError, match="is not an artifact"):
        fxmax.save(tmp_path / "notes.txt", made[1])
    with pytest.raises(fxmax.ArtifactError, match="make it first"):
        fxmax.save(tmp_path / "no" / "x.fxmax", made[1])
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_graphs_that_were_compiled_apart_are_refused(made, tmp_path):
    net, counter = (made[1][name].snapshot() for name in ("net", "counter"))
    apart = replace(counter, program=replace(counter.program))
    with pytest.raises(fxmax.ArtifactError, match="compiled apart"):
        writing.save(tmp_path / "x.fxmax", {"net": net, "counter": apart})


def test_it_brings_a_call_and_makes_it_once_on_a_machine(made, copy, tmp_path, monkeypatch):
    """A weight that is another one stands for all that computes otherwise: a CPU, a GPU, a MAX, a kernel."""
    monkeypatch.setenv("MODULAR_CACHE_DIR", str(tmp_path / "cache"))  # as on a machine that never saw it
    calls = []
    monkeypatch.setattr(golden, "compare", lambda *args: calls.append(args[0]) or original(*args))
    fxmax.load(copy, "counter")
    assert calls == ["counter"]
    for _ in range(2):
        fxmax.load_all(copy)
    assert calls == ["counter", "net"]
    found = check(copy)
    assert {(one.graph, one.result) for one in found} == {
        *(("net", f"result {i}") for i in range(4)),
        *(("counter", "result 0"), ("counter", "state total")),
    }
    assert all(one.error == 0 and not one.fault for one in found)
    weights = load_file(copy / WEIGHTS)
    save_file(weights | {"conv.bias": weights["conv.bias"] + 0.1}, copy / WEIGHTS)
    resign(copy)
    for _ in range(2):  # a refusal is not remembered as a proof
        with pytest.raises(fxmax.ArtifactError, match=r"net, result 0: off by 0\.1 from") as told:
            fxmax.load_all(copy)
    assert "recompile=True" in str(told.value)
    assert "counter" not in str(told.value)
    run = CliRunner().invoke(cli, ["check", str(copy)], standalone_mode=False)
    assert run.return_value == 1
    assert "DIFFERS  net, result 0" in run.output
    assert "ok       counter, state total" in run.output
    given = {name: weights[name] for name in made[1]["net"].state_dict()}
    assert fxmax.load(copy, "net", checkpoint=given | {"total": torch.zeros(3)})  # other weights: not known


def test_saving_leaves_state_and_inputs_as_they_are(tmp_path, made):
    counter = made[1]["counter"]
    counter.reset()
    counter(np.ones(3, np.float32))
    example = counter.lowered.captured.program.example_inputs[0][0].clone()
    fxmax.save(tmp_path / "saved.fxmax", made[1])
    assert float(counter(np.ones(3, np.float32))[0]) == 2
    assert torch.equal(counter.lowered.captured.program.example_inputs[0][0], example)
    counter.reset()


def test_one_of_the_first_format_has_none_and_loads(copy):
    def first(manifest):
        manifest["format_version"] = 1
        for graph in manifest["graphs"].values():
            del graph["golden"]

    edit_manifest(copy, first)
    (copy / GOLDEN).unlink()
    resign(copy)
    assert set(fxmax.load_all(copy)) == {"net", "counter"}
    assert check(copy) == []


def test_no_pickle(artifact):
    package = Path(fxmax.__file__).parent / "artifact"
    assert not any("pickle" in f.read_text() for f in package.glob("*.py"))


@pytest.mark.slow
def test_graphs_share_a_weight_that_is_stored_as_int8(tmp_path):
    layer = nn.Linear(256, 64).eval()
    jobs = {
        "once": fxmax.Job(layer, (torch.randn(3, 256),)),
        "twice": fxmax.Job(Twice(layer), (torch.randn(3, 256),)),
    }
    compiled = fxmax.lower_many(jobs, dtype="int8", quiet=True)
    path = fxmax.save(tmp_path / "int8.fxmax", compiled)
    assert (path / WEIGHTS).stat().st_size < 20_000  # once, and a byte a weight
    x = torch.randn(3, 256)
    for name, graph in fxmax.load_all(path).items():
        np.testing.assert_array_equal(graph(x), compiled[name](x))
