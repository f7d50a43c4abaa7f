"""Fused loops on a GPU: a nest of formulas and foldings, its blocks of rows given to blocks of threads.

The threads of a block go along a row side by side, and what is folded over the row is joined by shuffles. Folds over
all rows give a partial result a block, in memory, which a second kernel joins. A thread reads back only what it has
kept or added up itself, so that nothing but folds needs the threads to wait for each other. Sums of floating dtypes
carry the errors of their additions along, as in `reduction`, save down the rows of a column, which are few in a block.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..formula import ScalarFunction
from ..nest import ELEMENT, NEST, ROW, Assign, Fold, Nest, Operand, assigned, row_places, size_names
from ..reductions import IDENTITIES
from . import launch
from .folding import Folding, joined_in_block

#: Elements of one long row that a block takes, and the least rows of a column's block.
_PIECE = 1024
_ROWS = 8
#: The most blocks, where each has a partial result, or memory of its own.
_MOST = 1024


def fold_of(combine: ScalarFunction, dtype: str) -> tuple[float, str]:
    """Give the identity of a folding, and the dtype it is accumulated in: whole numbers in 64 bits."""
    wide = dtype
    if combine.name in ("add", "mul") and not dtype.startswith("float"):
        wide = "uint64" if dtype.startswith("uint") else "int64"
    return IDENTITIES[combine.name], wide


def blocks(nest: Nest, rows: int, elements: int) -> int:
    """Give the number of blocks that a nest is cut into."""
    folds = [step for step in nest.steps if isinstance(step, Fold)]
    most = rows
    if any(fold.over == "column" for fold in folds):
        most = -(-rows // _ROWS)
    elif nest.flat:
        most = -(-elements // _PIECE)
    bounded = nest.kept or any(fold.over != "row" for fold in folds)
    return max(1, min(most, _MOST if bounded else 2**31 - 1))


def _tiled(nest: Nest) -> bool:
    """Tell whether blocks can divide a row among them: nothing is folded over it."""
    return not nest.flat and not any(isinstance(step, Fold) and step.over != "column" for step in nest.steps)


def signature(nest: Nest) -> tuple[str, ...]:
    """Give the parameters of a nest's kernels: the sizes, and the operands."""
    return ("int64*", *(f"{operand.dtype}*" for operand in nest.operands))


def loops(
    label: str, nest: Nest, sizes: Sequence[int], blocks: int, offsets: Sequence[int]
) -> list[Callable[..., None]]:
    """Compile a nest; gives functions of its operands' arrays, to be called one after the other."""
    import cupy

    table = cupy.asarray(np.array(sizes, np.int64))
    cupy.cuda.get_current_stream().synchronize()  # launches may be on other streams
    width = sizes[size_names(nest).index("width")]
    threads = min(launch.THREADS, max(32, 1 << (width - 1).bit_length() if width > 1 else 1))

    def loop(run: launch.Kernel, blocks: int, threads: int) -> Callable[..., None]:
        def call(*arrays: Any) -> None:
            run(blocks, threads, table.data.ptr, *[x.data.ptr + o for x, o in zip(arrays, offsets, strict=True)])

        return call

    tiles = -(-width // threads) if _tiled(nest) else 1
    made = [loop(launch.kernel(f"fused_{label}", source(nest), signature(nest)), blocks * max(tiles, 1), threads)]
    if nest.partials and blocks > 1:
        kernel = launch.kernel(f"joined_{label}", joining_source(nest), signature(nest))
        columns = any(isinstance(step, Fold) and step.over == "column" for step in nest.steps)
        made.append(loop(kernel, -(-width // launch.THREADS) if columns else 1, launch.THREADS))
    return made


# ---- writing the kernels --------------------------------------------------------------------------------------------


class _Writer:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.depth = 0

    def put(self, *lines: str) -> None:
        self.lines += ["    " * self.depth + line for line in lines]


def _begin(nest: Nest) -> _Writer:
    writer = _Writer()
    put = writer.put
    put(f"def kernel(sizes, {', '.join(operand.name for operand in nest.operands)}):")
    writer.depth = 1
    put("thread = int64(cuda.threadIdx.x)", "threads = int64(cuda.blockDim.x)", "block = int64(cuda.blockIdx.x)")
    put(*(f"{name} = sizes[{position}]" for position, name in enumerate(size_names(nest))))
    wides = {_folding(step).wide for step in nest.steps if isinstance(step, Fold) and _joins(step)}
    for wide in sorted(wides):
        put(*(f"shared{c}_{wide} = cuda.shared.array(32, {wide})" for c in range(2 if wide.startswith("float") else 1)))
    return writer


def _joins(fold: Fold) -> bool:
    """Tell whether the threads of a block have to bring together what each has folded."""
    return fold.over != "column" and (fold.level == ELEMENT or fold.over == "all")


def _folding(fold: Fold, exact: bool = True) -> Folding:
    return Folding(fold.name, fold.combine, fold.identity, fold.wide, fold.wide, exact)


def source(nest: Nest) -> str:
    """Write the kernel; a block of threads takes a block of rows."""
    writer = _begin(nest)
    put = writer.put
    partials = {name: operand for operand, _, name in nest.partials}
    wholes = {name: operand for _, operand, name in nest.partials}
    folds = [step for step in nest.steps if isinstance(step, Fold)]
    for operand in nest.loads:
        if operand.level == NEST:
            put(f"v_{operand.name} = {_loaded(operand, '0')}")
    for step in nest.steps:
        if isinstance(step, Assign) and step.level == NEST:
            put(*assigned(step))
    for operand, value, _ in nest.stores:
        if operand.level == NEST:
            put("if block == 0 and thread == 0:", f"    {operand.name}[0] = {operand.dtype}({value})")
    if not folds and all(operand.level == NEST for operand in nest.operands):
        return "\n".join(writer.lines) + "\n"
    put("first, last = thread, width")
    if _tiled(nest):  # neighbouring blocks take the same rows, and one column a thread
        put("tiles = (width + threads - 1) // threads", "if tiles > 1:", "    first += block % tiles * threads")
        put("    last = min(first + 1, width)", "    block = block // tiles")
    put("begin = block * rows_in_block", "end = min(begin + rows_in_block, rows)")
    for fold in folds:
        if fold.over == "all":
            put(*_folding(fold).begin())
        elif fold.over == "column":
            q = partials[fold.name]
            identity = f"{q.dtype}({_folding(fold).identity()})"
            put("j = first", "while j < last:", f"    {q.name}[block * width + j] = {identity}", "    j += threads")
    for operand, _ in nest.kept:
        put(f"{operand.name}_row = block * width")
    put("row = begin", "while row < end:")
    writer.depth += 1
    _rows(writer, nest, partials)
    put("row += 1")
    writer.depth -= 1
    for fold in folds:
        if fold.over == "all":
            put(*joined_in_block(_folding(fold)), f"{fold.name} = {_folding(fold).end()}", "if thread == 0:")
            q = partials[fold.name]
            put(f"    {q.name}[block] = {q.dtype}({fold.name})", "    if blocks == 1:")
            put(f"        {wholes[fold.name].name}[0] = {wholes[fold.name].dtype}({fold.name})")
        elif fold.over == "column":
            q, r = partials[fold.name], wholes[fold.name]
            put("if blocks == 1:", "    j = first", "    while j < last:")
            put(f"        {r.name}[j] = {r.dtype}({q.name}[j])", "        j += threads")
    return "\n".join(writer.lines) + "\n"


def _rows(writer: _Writer, nest: Nest, partials: dict[str, Operand]) -> None:
    put = writer.put
    put(*row_places(nest))
    put("n = min(width, length - row * width)" if nest.flat else "n = last")
    for operand in nest.loads:
        if operand.level == ROW:
            put(f"v_{operand.name} = {_loaded(operand, f'{operand.name}_row')}")
    for stage in range(nest.stages):
        for step in nest.steps:
            if step.level == ROW and step.stage == stage:
                if isinstance(step, Assign):
                    put(*assigned(step))
                elif step.over == "all":  # a row's value is every thread's: one of them takes it in
                    put("if thread == 0:", *(f"    {line}" for line in _folding(step).take(step.argument)))
        for operand, value, at in nest.stores:
            if operand.level == ROW and at == stage:
                put("if thread == 0:", f"    {operand.name}[{operand.name}_row] = {operand.dtype}({value})")
        _stage(writer, nest, stage, partials)


def _stage(writer: _Writer, nest: Nest, stage: int, partials: dict[str, Operand]) -> None:
    """Write one loop over the row, and what the row folds to."""
    put = writer.put
    folds, stores = nest.ends_of(stage)
    used, back, order = nest.needed(stage)
    if not (folds or stores or order):
        return
    dear = {name: operand for operand, name in nest.kept}
    for operand in used:
        if operand.inner == "0":
            put(f"v_{operand.name} = {_loaded(operand, f'{operand.name}_row')}")
    for fold in folds:
        if fold.over == "row":
            put(*_folding(fold).begin())
    put("j = first", "while j < n:")
    writer.depth += 1
    put(*(f"v_{o.name} = {_loaded(o, _place(o))}" for o in used if o.inner != "0"))
    for name in back:
        put(f"{name} = {_loaded(dear[name], f'{dear[name].name}_row + j')}")
    for step in order:
        put(*assigned(step))
        if step.name in dear:
            put(f"{dear[step.name].name}[{dear[step.name].name}_row + j] = {dear[step.name].dtype}({step.name})")
    put(*(f"{o.name}[{_place(o)}] = {o.dtype}({value})" for o, value in stores))
    for fold in folds:
        if fold.over == "column":
            place = f"{partials[fold.name].name}[block * width + j]"
            put(
                *Folding(fold.name, fold.combine, fold.identity, fold.wide, fold.wide, False).take(fold.argument, place)
            )
        else:
            put(*_folding(fold).take(fold.argument))
    put("j += threads")
    writer.depth -= 1
    for fold in folds:
        if fold.over == "row":
            folding = _folding(fold)
            put(*joined_in_block(folding), f"{fold.name} = {fold.dtype}({folding.end()})")


def joining_source(nest: Nest) -> str:
    """Write the kernel that joins the blocks' results: a thread a column, and the first block for whole folds."""
    writer = _begin(nest)
    put = writer.put
    for operand, result, name in nest.partials:
        fold = next(step for step in nest.steps if isinstance(step, Fold) and step.name == name)
        folding = _folding(fold)
        if fold.over == "column":
            put("j = block * threads + thread", "while j < width:", *(f"    {line}" for line in folding.begin()))
            put("    i = int64(0)", "    while i < blocks:")
            put(*(f"        {line}" for line in folding.take(f"{operand.name}[i * width + j]")), "        i += 1")
            put(f"    {result.name}[j] = {result.dtype}({folding.end()})")
            put("    j += int64(cuda.gridDim.x) * threads")
        else:
            put(
                "if block == 0:",
                *(f"    {line}" for line in folding.begin()),
                "    i = thread",
                "    while i < blocks:",
            )
            put(*(f"        {line}" for line in folding.take(f"{operand.name}[i]")), "        i += threads")
            put(*(f"    {line}" for line in joined_in_block(folding)), "    if thread == 0:")
            put(f"        {result.name}[0] = {result.dtype}({folding.end()})")
    return "\n".join(writer.lines) + "\n"


def _place(operand: Operand) -> str:
    return f"{operand.name}_row + j" + (f" * {operand.name}_inner" if operand.inner == "s" else "")


def _loaded(operand: Operand, place: str) -> str:
    return f"{operand.name}[{place}]" + (" != 0" if operand.dtype == "bool" else "")
