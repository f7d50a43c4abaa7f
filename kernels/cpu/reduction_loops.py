"""Loops of reductions, generated from `kernels.reductions` and wrapped as generalised ufuncs.

Every stage accumulates in lanes: 64 neighbouring elements of a row, or 64 neighbouring columns of a block, so that
LLVM vectorises any combination and the order of additions is written here and not chosen by a compiler. Float32 is
accumulated in float64. Float64 sums are added up in two levels (lanes for 128 rows, then totals), which keeps the
error growth far under that of one running sum (superblock summation: Castaldo, Whaley, Chronopoulos, SIAM J. Sci.
Comput. 31, 2008).
"""

from __future__ import annotations

from functools import cache as once

import numpy as np

from ..formula import source as write
from ..reductions import Reduction, Stage
from . import codegen, threads, ufunc
from .sizes import LANES

_ROWS = 128  # of lanes, before they are added to the totals
_INTEGERS = "bhilqBHILQ"


@once
def row_kernel(reduction: Reduction) -> np.ufunc:
    """Give the ufunc that reduces (or spreads) over the last axis."""
    return _kernel(reduction, columns=False)


@once
def block_kernel(reduction: Reduction) -> np.ufunc:
    """Give the ufunc that reduces (or spreads) over the last axis but one, for each of the last axis's columns."""
    return _kernel(reduction, columns=True)


def _kernel(reduction: Reduction, columns: bool) -> np.ufunc:
    core = "(k,n)" if columns else "(k)"
    result = core if reduction.spreads else "(n)" if columns else "()"
    signature = ",".join([core] * reduction.arity) + "->" + result

    def compile_loop(codes: ufunc.Types) -> tuple[int, int]:
        text = source(reduction, np.dtype(codes[0]).name, np.dtype(codes[-1]).name, columns)
        name = f"{reduction.name}-{'block' if columns else 'row'}-{''.join(codes)}"
        return codegen.address(name, text), threads.SHARE_ABOVE // (3 if "_float" in text else 1)

    return ufunc.make(reduction.name, list(_types(reduction)), 1, compile_loop, signature)


def _types(reduction: Reduction) -> list[str]:
    """List the dtypes with loops; integers add up in 64 bits, as NumPy's do."""
    types = []
    if not reduction.floating:
        for code in "?" + _INTEGERS:
            wide = np.dtype(np.uint64 if code in "BHILQ" else np.int64).char
            result = wide if reduction.accumulates else code
            types.append(code * reduction.arity + result)
    return [*types, "f" * (reduction.arity + 1), "d" * (reduction.arity + 1)]


class _Writer:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def put(self, depth: int, *lines: str) -> None:
        self.lines += ["    " * depth + line for line in lines]


def source(reduction: Reduction, number: str, result: str, columns: bool) -> str:
    """Write the loop of a reduction for one dtype and one layout."""
    inputs = range(reduction.arity)
    stages = reduction.stages
    floating = np.dtype(number).kind == "f"
    wide = "float64" if floating and reduction.accumulates else result
    size = np.dtype(number).itemsize
    writer = _Writer()
    put = writer.put
    operands = reduction.arity + 1
    core_steps = 2 if columns else 1
    put(0, "def loop(args, dims, steps, data):")
    put(1, "align_stack()", "outer = dims[0]", "k = dims[1]", f"n = {'dims[2]' if columns else '1'}")
    put(
        1,
        "if outer > 1 and outer * k * n >= int64_pointer(data)[0]:",
        "    share(args, dims, steps, data)",
        "    return",
    )
    for i in inputs:
        put(1, f"p{i} = {number}_pointer(args[{i}])", f"b{i} = steps[{i}] // {size}")
        put(1, f"k{i} = steps[{operands + i * core_steps}] // {size}")
        put(1, f"n{i} = {f'steps[{operands + i * core_steps + 1}] // {size}' if columns else '0'}")
    out_size = np.dtype(result).itemsize
    put(1, f"o = {result}_pointer(args[{reduction.arity}])", f"bo = steps[{reduction.arity}] // {out_size}")
    out_steps = operands + reduction.arity * core_steps
    if reduction.spreads:
        put(1, f"ko = steps[{out_steps}] // {out_size}")
        put(1, f"no = {f'steps[{out_steps + 1}] // {out_size}' if columns else '0'}")
    elif columns:
        put(1, f"no = steps[{out_steps}] // {out_size}")
    else:
        put(1, "no = 0")
    for s in range(len(stages)):
        put(1, f"lanes{s} = {wide}_lanes()", f"totals{s} = {wide}_lanes()")
    put(1, "for b in range(outer):")
    if columns:
        # lanes are columns, unless the axis to reduce is the contiguous one
        put(2, "if n == 1 or abs(k0) < abs(n0):", "    for j in range(n):")
        _rows(writer, 4, reduction, number, result, wide)
        put(2, "else:", f"    for first in range(0, n, {LANES}):")
        _columns(writer, 4, reduction, number, result, wide)
    else:
        put(2, "j = 0")
        _rows(writer, 2, reduction, number, result, wide)
    put(1, "clear_exceptions()")
    return "\n".join(writer.lines) + "\n"


def _identity_text(stage_identity: float, wide: str) -> str:
    if np.isfinite(stage_identity):
        return f"{wide}({int(stage_identity)})"
    if np.dtype(wide).kind == "f":
        return f"{wide}(float('{stage_identity}'))"
    if wide == "bool":
        return f"bool({int(stage_identity > 0)})"
    limits = np.iinfo(wide)
    return f"{wide}({limits.max if stage_identity > 0 else limits.min})"


def _combined(reduction: Reduction, s: int, number: str, wide: str, old: str) -> list[str]:
    """Write: lane = combine(lane, value)."""
    stage = reduction.stages[s]
    names = {reduction.arity + r: f"r{r}" for r in range(s)}
    lines, (value,) = write([stage.value], number, names)
    names = {0: "old", 1: "new"}
    steps, (combined,) = write([stage.combine.expression], wide, names)
    store = [f"kept = {value}", "o[oi] = kept"] if stage.kept else []
    value = "kept" if stage.kept else value
    return [*lines, *store, f"old = {old}", f"new = {wide}({value})", *steps, f"{old} = {wide}({combined})"]


def _rows(writer: _Writer, depth: int, reduction: Reduction, number: str, result: str, wide: str) -> None:
    """Reduce one line of k elements in 64 lanes, then fold the lanes."""
    put = writer.put
    for i in range(reduction.arity):
        put(depth, f"q{i} = b * b{i} + j * n{i}")
    put(depth, "qo = b * bo + j * no")
    for s, stage in enumerate(reduction.stages):
        identity = _identity_text(stage.identity, wide)
        tests = [f"k{i} == 1" for i in range(reduction.arity)] + (["ko == 1"] if stage.kept else [])

        def accumulate(inner: int, index: str, lane: str, s: int = s, contiguous: bool = False) -> None:
            load = [f"x{i} = p{i}[q{i} + {index} {'' if contiguous else f'* k{i}'}]" for i in range(reduction.arity)]
            kept = ["oi = qo + " + index + ("" if contiguous else " * ko")] if reduction.stages[s].kept else []
            put(inner, *load, *kept, *_combined(reduction, s, number, wide, f"lanes{s}[{lane}]"))

        # a short line is over before the lanes would be filled and folded
        put(depth, f"if k < {LANES}:", f"    lanes{s}[0] = {identity}", "    for i in range(k):")
        accumulate(depth + 2, "i", "0")
        put(depth + 1, f"w{s} = lanes{s}[0]")
        put(depth, "else:")
        put(
            depth + 1,
            f"for lane in range({LANES}):",
            f"    lanes{s}[lane] = {identity}",
            f"    totals{s}[lane] = {identity}",
            f"whole = k // {LANES} * {LANES}",
            f"for block in range(0, whole, {LANES * _ROWS}):",
            f"    stop = min(block + {LANES * _ROWS}, whole)",
        )
        for head, contiguous in ((f"if {' and '.join(tests)}:", True), ("else:", False)):
            put(depth + 2, head, f"    for i in range(block, stop, {LANES}):", f"        for lane in range({LANES}):")
            accumulate(depth + 5, "(i + lane)", "lane", contiguous=contiguous)
        put(depth + 2, f"for lane in range({LANES}):")
        _flush(writer, depth + 3, stage, s, wide, identity)
        put(depth + 1, "for lane in range(k - whole):")
        accumulate(depth + 2, "(whole + lane)", "lane")
        put(depth + 1, f"for lane in range({LANES}):")
        _flush(writer, depth + 2, stage, s, wide, identity)
        put(depth + 1, f"half = {LANES // 2}", "while half > 0:", "    for lane in range(half):")
        steps, (combined,) = write([stage.combine.expression], wide, {0: "old", 1: "new"})
        put(
            depth + 3,
            f"old = totals{s}[lane]",
            f"new = totals{s}[lane + half]",
            *steps,
            f"totals{s}[lane] = {wide}({combined})",
        )
        put(depth + 2, "half //= 2")
        put(depth + 1, f"w{s} = totals{s}[0]")
        put(depth, f"r{s} = {number}(w{s})")
    _results(writer, depth, reduction, number, result, wide, "qo", "k")


def _flush(writer: _Writer, depth: int, stage: Stage, s: int, wide: str, identity: str) -> None:
    steps, (combined,) = write([stage.combine.expression], wide, {0: "old", 1: "new"})
    writer.put(depth, f"old = totals{s}[lane]", f"new = lanes{s}[lane]", *steps)
    writer.put(depth, f"totals{s}[lane] = {wide}({combined})", f"lanes{s}[lane] = {identity}")


def _columns(writer: _Writer, depth: int, reduction: Reduction, number: str, result: str, wide: str) -> None:
    """Reduce up to 64 neighbouring columns at once, a lane each."""
    put = writer.put
    put(depth, f"width = min({LANES}, n - first)")
    for i in range(reduction.arity):
        put(depth, f"q{i} = b * b{i} + first * n{i}")
    put(depth, "qo = b * bo + first * no")
    earlier: list[str] = []
    for s, stage in enumerate(reduction.stages):
        identity = _identity_text(stage.identity, wide)
        put(
            depth,
            f"for lane in range({LANES}):",
            f"    lanes{s}[lane] = {identity}",
            f"    totals{s}[lane] = {identity}",
        )
        put(depth, f"for block in range(0, k, {_ROWS}):", f"    for i in range(block, min(block + {_ROWS}, k)):")
        tests = [f"n{i} == 1" for i in range(reduction.arity)] + (["no == 1"] if stage.kept else [])
        for head, step in ((f"if {' and '.join(tests)}:", ""), ("else:", " * n{i}")):
            put(depth + 2, head, "    for lane in range(width):")
            load = [f"x{i} = p{i}[q{i} + i * k{i} + lane{step.format(i=i)}]" for i in range(reduction.arity)]
            kept = [f"oi = qo + i * ko + lane{step.format(i='o')}"] if stage.kept else []
            put(depth + 4, *earlier, *load, *kept, *_combined(reduction, s, number, wide, f"lanes{s}[lane]"))
        put(depth + 1, "for lane in range(width):")
        _flush(writer, depth + 2, stage, s, wide, identity)
        earlier = [*earlier, f"w{s} = totals{s}[lane]", f"r{s} = {number}(w{s})"]
    if reduction.spreads:
        put(depth, "for i in range(k):", "    for lane in range(width):")
        load = [f"x{i} = p{i}[q{i} + i * k{i} + lane * n{i}]" for i in range(reduction.arity)]
        put(depth + 2, *earlier, *load, *_spread(reduction, number, result, "o[qo + i * ko + lane * no]"))
    else:
        put(depth, "for lane in range(width):")
        put(depth + 1, *earlier, *_finish(reduction, result, wide, "o[qo + lane * no]"))


def _results(
    writer: _Writer, depth: int, reduction: Reduction, number: str, result: str, wide: str, place: str, count: str
) -> None:
    put = writer.put
    if not reduction.spreads:
        put(depth, *_finish(reduction, result, wide, "o[qo]"))
        return
    contiguous = " and ".join([*(f"k{i} == 1" for i in range(reduction.arity)), "ko == 1"])
    for head, step in ((f"if {contiguous}:", ""), ("else:", " * k{i}")):
        put(depth, head, "    for i in range(k):")
        load = [f"x{i} = p{i}[q{i} + i{step.format(i=i)}]" for i in range(reduction.arity)]
        put(depth + 2, *load, *_spread(reduction, number, result, f"o[qo + i{step.format(i='o')}]"))


def _spread(reduction: Reduction, number: str, result: str, place: str) -> list[str]:
    stages = len(reduction.stages)
    names = {reduction.arity + s: f"r{s}" for s in range(stages)}
    names |= {reduction.arity + stages: "k", reduction.arity + stages + 1: place}
    lines, (value,) = write([reduction.result], number, names)
    return [*lines, f"{place} = {result}({value})"]


def _finish(reduction: Reduction, result: str, wide: str, place: str) -> list[str]:
    stages = len(reduction.stages)
    names = {reduction.arity + s: f"w{s}" for s in range(stages)} | {reduction.arity + stages: f"{wide}(k)"}
    lines, (value,) = write([reduction.result], wide, names)
    return [*lines, f"{place} = {result}({value})"]
