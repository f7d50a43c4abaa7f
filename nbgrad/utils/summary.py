"""A table of a module's layers."""

from __future__ import annotations

from typing import Any

from ..grad_mode import no_grad
from ..nn.modules.module import Module


class Summary:
    """The layers of a module as they were called: names, shapes of what they gave, numbers of parameters."""

    def __init__(self, rows: list[tuple[str, str, str, int]], total: int, trainable: int, bytes: int) -> None:
        self.rows, self.total, self.trainable, self.bytes = rows, total, trainable, bytes

    def __str__(self) -> str:
        head = ("layer", "kind", "output", "parameters")
        cells = [head, *((name, kind, shape, f"{count:,}") for name, kind, shape, count in self.rows)]
        widths = [max(len(row[k]) for row in cells) for k in range(4)]
        lines = [
            "  ".join([*(c.ljust(w) for c, w in zip(row[:3], widths, strict=False)), row[3].rjust(widths[3])])
            for row in cells
        ]
        rule = "-" * len(lines[0])
        ends = f"{self.total:,} parameters, {self.trainable:,} of them trained, {self.bytes / 2**20:.2f} MiB"
        return "\n".join([lines[0], rule, *lines[1:], rule, ends])

    __repr__ = __str__


def summary(module: Module, *inputs: Any, **options: Any) -> Summary:
    """Run a module once, without recording, and give a table of its layers: shapes and numbers of parameters.

    Parameters that several layers share are counted in the first. The module is left in the mode it was in.

    >>> import nbgrad
    >>> from nbgrad import nn
    >>> nbgrad.utils.summary(nn.Sequential(nn.Linear(4, 8), nn.ReLU()), nbgrad.ones(2, 4))
    layer  kind        output  parameters
    -------------------------------------
           Sequential  (2, 8)          40
    0      Linear      (2, 8)          40
    1      ReLU        (2, 8)           0
    -------------------------------------
    40 parameters, 40 of them trained, 0.00 MiB
    """
    rows: list[tuple[str, str, str, int]] = []
    places: dict[str, int] = {}
    handles = []
    for name, part in module.named_modules():
        count = sum(int(x.size) for x in part.parameters())
        places[name] = len(rows)
        rows.append((name, type(part).__name__, "", count))

        def note(_: Any, __: Any, output: Any, name: str = name) -> None:
            row = rows[places[name]]
            rows[places[name]] = (*row[:2], _shapes(output), row[3])

        handles.append(part.register_forward_hook(note))
    modes = [(part, part.training) for part in module.modules()]
    try:
        module.eval()
        with no_grad():
            module(*inputs, **options)
    finally:
        for handle in handles:
            handle.remove()
        for part, mode in modes:
            part.training = mode
    parameters = list(module.parameters())
    trained = sum(int(x.size) for x in parameters if x.requires_grad)
    total = sum(int(x.size) for x in parameters)
    return Summary(rows, total, trained, sum(x.nbytes for x in [*parameters, *module.buffers()]))


def _shapes(output: Any) -> str:
    if hasattr(output, "shape"):
        return str(tuple(output.shape))
    if isinstance(output, list | tuple):
        return ", ".join(_shapes(part) for part in output)
    return type(output).__name__
