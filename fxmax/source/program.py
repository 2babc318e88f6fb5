"""Recorded calls as a Python program: values named as in torch's graph, a function a repeated module."""

from __future__ import annotations

import re

from max.graph import BufferType

from fxmax._version import __version__
from fxmax.errors import FxmaxError
from fxmax.source.blocks import blocks_of, function, functions_of, main_lines
from fxmax.source.recording import Recording
from fxmax.source.statements import Names, kind_of, quoted, stem, value_of

HEADER = '''"""{title}

Written by fxmax {version}. It builds the graph with max.graph alone:

    session = max.engine.InferenceSession()
    model = session.init(session.compile(build()), weights_registry=weights(arrays))

where `arrays` maps each weight's name in torch to a contiguous array.
"""

{path}import numpy as np
from max.dtype import DType
from max.graph import {imports}

DEVICE = {device}
{kernels}{layouts}

def weights(arrays):
    """What MAX binds to the graph, by name: the arrays, some of them in a layout of MAX's."""
    registry = dict(arrays)
    for name, (source, shape, strides) in LAYOUTS.items():
        array = np.ascontiguousarray(arrays[source])
        steps = [s * array.itemsize for s in strides]
        registry[name] = np.ascontiguousarray(np.lib.stride_tricks.as_strided(array, shape, steps))
    return registry


def weight(name, dtype, shape):
    """A weight, bound from outside when the graph is initialized; one value for each name."""
    if name not in READ:
        READ[name] = Graph.current.add_weight(Weight(name, dtype, shape, DEVICE))
    return READ[name]


READ = {{}}  # of the graph that is being built
'''


def write(recording: Recording) -> str:
    """The program's text."""
    blocks = blocks_of(recording.calls)
    functions = functions_of(blocks, recording)
    lowered = recording.lowered
    parts = [_header(recording)]
    parts += [function(body, blocks) for body in functions]
    names = Names()
    lines = []
    kinds = []
    for i, (name, kind, value) in enumerate(recording.inputs):
        used = names.new(value, stem(name))
        lines.append(f"{used} = graph.inputs[{i}].{'buffer' if isinstance(kind, BufferType) else 'tensor'}")
        kinds.append(kind_of(kind))
    lines += main_lines(blocks, names)
    results = ", ".join(names.of(v) for v in recording.outputs)
    lines.append(f"graph.output({results})")
    extensions = ", custom_extensions=KERNELS" if recording.kernels else ""
    types = "".join(f"\n        {k}," for k in kinds)
    parts.append(
        "def build():\n"
        f'    """The graph of {lowered.captured.name}."""\n'
        "    READ.clear()\n"
        f"    types = [{types}\n    ]\n"
        f"    with Graph({quoted(lowered.captured.name)}, input_types=types{extensions}) as graph:\n"
        + "\n".join(f"        {line}".rstrip() for line in lines)
        + "\n    return graph\n"
    )
    parts.append('if __name__ == "__main__":\n    print(build())\n')
    text = "\n\n".join(parts)
    wanted = ("BufferType", "DeviceRef", "Dim", "Graph", "TensorType", "Weight", "ops")
    return text.replace("{imports}", ", ".join(n for n in wanted if re.search(rf"\b{n}\b[.(]", text)))


def _header(recording: Recording) -> str:
    lowered = recording.lowered
    layouts = []
    for call in recording.calls:
        if call.slot is not None and call.slot.transform is not None:
            strides = call.slot.strides()
            if strides is None:
                raise FxmaxError(
                    f"source() can't write the layout {call.slot.layout} of {call.slot.spec.fqn}"
                )
            origin = f"({quoted(call.slot.spec.fqn)}, {call.slot.shape}, {strides})"
            layouts.append(f"    {quoted(call.slot.name)}: {origin},")
    kernels = recording.kernels
    paths = ", ".join(f"Path({quoted(str(p))})" for p in kernels)
    listed = f"KERNELS = [{paths}]  # with the Mojo kernels that the graph calls\n" if kernels else ""
    text = "\n".join(layouts)
    return HEADER.format(
        title=f"{lowered.captured.name} on MAX.",
        version=__version__,
        imports="{imports}",  # known at the end
        device=value_of(lowered.device, Names(), device=False),
        path="from pathlib import Path\n\n" if kernels else "",
        kernels=listed,
        layouts=f"LAYOUTS = {{\n{text}\n}}\n" if layouts else "LAYOUTS = {}\n",
    )
