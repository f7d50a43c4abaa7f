"""Loops of reductions, generated from `kernels.reductions` and wrapped as generalised ufuncs.

Every stage accumulates in lanes: 64 neighbouring elements of a row, or 512 neighbouring columns of a block (fewer would
read too little of each row for the processor to fetch ahead), so that LLVM vectorises any combination and the order of
additions is written here and not chosen by a compiler. LLVM is told that lanes, operands and the result are apart in
memory, so that the lanes of a row are registers while its loop runs. Float32 is added up in float64.
Float64 sums are added up in two levels (lanes for 128 rows, then totals), which keeps the error growth far under that
of one running sum (superblock summation: Castaldo, Whaley, Chronopoulos, SIAM J. Sci. Comput. 31, 2008).
"""

from __future__ import annotations

from functools import cache as once
from typing import NamedTuple

import numpy as np

from .. import formula
from ..formula import source as write
from ..reductions import Reduction, identity_text
from ..scalars import maximum, minimum
from ..text import Text, indented
from . import codegen, threads, ufunc
from .sizes import CHUNK, LANES

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
    core, line = ("(k,n)", "(n)") if columns else ("(k)", "()")
    result = core if reduction.spreads else line
    signature = ",".join([core] * reduction.arity + [line] * reduction.numbers) + "->" + result

    def compile_loop(codes: ufunc.Types) -> tuple[int, int]:
        text = source(reduction, np.dtype(codes[0]).name, np.dtype(codes[-1]).name, columns)
        name = f"{reduction.name}-{'block' if columns else 'row'}-{''.join(codes)}"
        return codegen.address(name, text), threads.share_above(_cost(reduction))

    return ufunc.make(reduction.name, _types(reduction), 1, compile_loop, signature)


def _cost(reduction: Reduction) -> int:
    """Estimate what an element costs, in additions: each stage reads it, and reads and writes a lane."""
    formulas = [f for stage in reduction.stages for f in (stage.value, stage.combine.expression)]
    accesses = len(reduction.stages) * (reduction.arity + 2) + sum(stage.kept for stage in reduction.stages)
    if reduction.spreads:
        accesses += reduction.arity + 1
        formulas.append(reduction.result)
    return threads.ACCESS * accesses + sum(formula.cost([f]) for f in formulas)


def _types(reduction: Reduction) -> list[str]:
    """List the dtypes with loops, as letters: of the inputs, of what is given for a line, and of the result."""
    types = []
    for code in "fd" if reduction.floating else "?" + _INTEGERS + "fd":
        # of two letters for 64 bits a result that is as its elements keeps theirs
        result = np.dtype(reduction.result_dtype(np.dtype(code).name)).char if reduction.accumulates else code
        types.append(code * reduction.arity + "d" * reduction.numbers + result)
    return types


def source(reduction: Reduction, number: str, result: str, columns: bool) -> str:
    """Write the loop of a reduction for one dtype and one layout."""
    return str(_Loop(reduction, number, result, columns).text)


class _Place(NamedTuple):
    """A lane, or the total of one, of a stage: how it is read, and written."""

    name: str
    stage: int
    lane: str

    @property
    def _scope(self) -> int:
        return 1 + 2 * self.stage + (self.name == "totals")  # 0 is the result's

    def read(self) -> str:
        return f"load_back_{self._scope}({self.name}{self.stage}, {self.lane})"

    def write(self, value: str) -> str:
        return f"store_{self._scope}({self.name}{self.stage}, {self.lane}, {value})"


class _Loop:
    """Writes the loop of a reduction."""

    def __init__(self, reduction: Reduction, number: str, result: str, columns: bool) -> None:
        self.reduction, self.number, self.result, self.columns = reduction, number, result, columns
        self.inputs, self.stages = range(reduction.arity), reduction.stages
        self.given = range(reduction.arity, reduction.arity + reduction.numbers)
        floating = np.dtype(number).kind == "f"
        self.wide = "float64" if floating and reduction.accumulates and reduction.gives != "int64" else result
        #: The dtype that elements' formulas are computed in.
        self.computed = self.wide if reduction.wide else number
        #: The dtypes that stages are combined in; an extremum is one of the elements.
        exact = (maximum, minimum)
        self.held = [number if floating and stage.combine in exact else self.wide for stage in self.stages]
        self.text = Text()
        self._write()

    def _write(self) -> None:
        text, put = self.text, self.text.put
        with text.block("def loop(args, dims, steps, data):"):
            put("align_stack()", "outer = dims[0]", "k = dims[1]", f"n = {'dims[2]' if self.columns else '1'}")
            with text.block("if outer > 1 and outer * k * n >= int64_pointer(data)[0]:"):
                put("share(args, dims, steps, data)", "return")
            self._operands()
            room = "chunk" if self.columns else "lanes"
            for s in range(len(self.stages)):
                put(f"lanes{s} = {self.held[s]}_{room}()", f"totals{s} = {self.held[s]}_{room}()")
            with text.block("for b in range(outer):"):
                if self.columns:
                    # lanes are columns, unless the axis to reduce is the contiguous one
                    with text.block("if n == 1 or abs(k0) < abs(n0):", "for j in range(n):"):
                        self._line()
                    with text.block("else:", f"for first in range(0, n, {CHUNK}):"):
                        self._neighbours()
                else:
                    put("j = 0")
                    self._line()
            put("clear_exceptions()")

    def _operands(self) -> None:
        """Write where the operands are, and their steps in elements: b over lines, k along them, n over columns."""
        put, reduction = self.text.put, self.reduction
        size, out_size = np.dtype(self.number).itemsize, np.dtype(self.result).itemsize
        arity, core = reduction.arity, 2 if self.columns else 1
        operands = arity + reduction.numbers + 1
        for i in self.inputs:
            first = operands + i * core
            put(f"p{i} = {self.number}_pointer(args[{i}])", f"b{i} = steps[{i}] // {size}")
            put(f"k{i} = steps[{first}] // {size}")
            put(f"n{i} = {f'steps[{first + 1}] // {size}' if self.columns else '0'}")
        first = operands + arity * core
        for i in self.given:
            put(f"p{i} = float64_pointer(args[{i}])", f"b{i} = steps[{i}] // 8")
            put(f"n{i} = {f'steps[{first + i - arity}] // 8' if self.columns else '0'}")
        put(f"o = {self.result}_pointer(args[{operands - 1}])", f"bo = steps[{operands - 1}] // {out_size}")
        first += reduction.numbers * (core - 1)
        if reduction.spreads:
            put(f"ko = steps[{first}] // {out_size}")
            put(f"no = {f'steps[{first + 1}] // {out_size}' if self.columns else '0'}")
        else:
            put(f"no = steps[{first}] // {out_size}" if self.columns else "no = 0")

    # ---- a line -----------------------------------------------------------------------------------------------------

    def _line(self) -> None:
        """Reduce one line of k elements in 64 lanes, then fold the lanes."""
        text, put = self.text, self.text.put
        put(*(f"q{i} = b * b{i} + j * n{i}" for i in self.inputs), "qo = b * bo + j * no")
        put(*(f"x{i} = p{i}[b * b{i} + j * n{i}]" for i in self.given))
        for together in self.reduction.passes:
            # a short line is over before the lanes would be filled and folded
            with text.block(f"if k < {LANES}:"):
                put(*(_Place("lanes", s, "0").write(self._identity(s)) for s in together))
                with text.block("for i in range(k):"):
                    put(*self._accumulated(together, "i", "0"))
                put(*(f"w{s} = {_Place('lanes', s, '0').read()}" for s in together))
            with text.block("else:"):
                put(*self._cleared(together, LANES), f"whole = k // {LANES} * {LANES}")
                with text.block(f"for block in range(0, whole, {LANES * _ROWS}):"):
                    put(f"stop = min(block + {LANES * _ROWS}, whole)")
                    self._block(together)
                    put(f"for lane in range({LANES}):", *indented(self._flushed(together)))
                put("for lane in range(k - whole):", *indented(self._accumulated(together, "(whole + lane)", "lane")))
                put(f"for lane in range({LANES}):", *indented(self._flushed(together)))
                put(f"half = {LANES // 2}")
                with text.block("while half > 0:"):
                    joined = [
                        line
                        for s in together
                        for line in self._combined(s, "totals", "lane", _Place("totals", s, "lane + half").read())
                    ]
                    put("for lane in range(half):", *indented(joined), "half //= 2")
                put(*(f"w{s} = {_Place('totals', s, '0').read()}" for s in together))
            for s in together:
                lines, value = self._after(s, f"{self.wide}(w{s})")
                put(*lines, f"w{s} = {value}", f"r{s} = {self.number}(w{s})")
        if not self.reduction.spreads:
            put(*self._finished("qo"))
            return
        neighbours = " and ".join([*(f"k{i} == 1" for i in self.inputs), "ko == 1"])
        for head, step in ((f"if {neighbours}:", ""), ("else:", " * k{i}")):
            with text.block(head, "for i in range(np.uintp(k)):"):
                put(*(f"x{i} = load(p{i}, q{i} + i{step.format(i=i)})" for i in self.inputs))
                put(*self._spread(f"qo + i{step.format(i='o')}"))

    def _block(self, together: list[int]) -> None:
        """Take the elements from `block` to `stop` into the lanes."""
        text, put = self.text, self.text.put
        kept = any(self.stages[s].kept for s in together)
        tests = [f"k{i} == 1" for i in self.inputs] + (["ko == 1"] if kept else [])
        rows = f"for i in range(block, stop, {LANES}):", f"for lane in range({LANES}):"
        with text.block(f"if {' and '.join(tests)}:"):
            if together == [s for s in together if self.stages[s].kept]:
                # what is computed in float32 comes in longer vectors than what is added up in float64
                (s,) = together
                with text.block("for i in range(block, stop):"):
                    put(*(f"x{i} = load(p{i}, q{i} + i)" for i in self.inputs), *self._kept(s, "qo + i"))
                with text.block(*rows):
                    kept_value = "load_back_0(o, qo + i + lane)"
                    put(*self._combined(s, "lanes", "lane", f"{self.held[s]}({kept_value})"))
            else:
                with text.block(*rows):
                    put(*self._accumulated(together, "(i + lane)", "lane", contiguous=True))
        with text.block("else:", *rows):
            put(*self._accumulated(together, "(i + lane)", "lane"))

    def _accumulated(self, together: list[int], index: str, lane: str, contiguous: bool = False) -> list[str]:
        """Write: take the element at an index into a lane of each stage."""
        lines = [f"x{i} = load(p{i}, q{i} + {index}{'' if contiguous else f' * k{i}'})" for i in self.inputs]
        for s in together:
            lines += self._taken(s, lane, f"qo + {index}{'' if contiguous else ' * ko'}")
        return lines

    # ---- neighbouring columns ---------------------------------------------------------------------------------------

    def _neighbours(self) -> None:
        """Reduce up to 512 neighbouring columns at once, a lane each."""
        text, put = self.text, self.text.put
        put(f"width = min({CHUNK}, n - first)")
        put(*(f"q{i} = b * b{i} + first * n{i}" for i in (*self.inputs, *self.given)), "qo = b * bo + first * no")
        earlier = [f"x{i} = load(p{i}, q{i} + lane * n{i})" for i in self.given]
        for together in self.reduction.passes:
            put(*self._cleared(together, "width"))
            kept = any(self.stages[s].kept for s in together)
            tests = [f"n{i} == 1" for i in self.inputs] + (["no == 1"] if kept else [])
            with text.block(f"for block in range(0, k, {_ROWS}):"):
                with text.block(f"for i in range(block, min(block + {_ROWS}, k)):"):
                    for head, step in ((f"if {' and '.join(tests)}:", ""), ("else:", " * n{i}")):
                        lines = [f"x{i} = load(p{i}, q{i} + i * k{i} + lane{step.format(i=i)})" for i in self.inputs]
                        for s in together:
                            lines += self._taken(s, "lane", f"qo + i * ko + lane{step.format(i='o')}")
                        with text.block(head, "for lane in range(width):"):
                            put(*earlier, *lines)
                put("for lane in range(width):", *indented(self._flushed(together)))
            for s in together:
                total = _Place("totals", s, "lane")
                if self.stages[s].after is not None:
                    lines, value = self._after(s, f"{self.wide}({total.read()})")
                    put("for lane in range(width):", *indented([*lines, total.write(f"{self.held[s]}({value})")]))
                earlier = [*earlier, f"w{s} = {self.wide}({total.read()})", f"r{s} = {self.number}(w{s})"]
        if self.reduction.spreads:
            near = " and ".join([*(f"n{i} == 1" for i in self.inputs), "no == 1"])
            for head, step in ((f"if {near}:", ""), ("else:", " * n{i}")):
                with text.block(head, "for i in range(k):", "for lane in range(width):"):
                    load = [f"x{i} = load(p{i}, q{i} + i * k{i} + lane{step.format(i=i)})" for i in self.inputs]
                    put(*earlier, *load, *self._spread(f"qo + i * ko + lane{step.format(i='o')}"))
        else:
            put("for lane in range(width):", *indented([*earlier, *self._finished("qo + lane * no")]))

    # ---- both -------------------------------------------------------------------------------------------------------

    def _identity(self, s: int) -> str:
        return identity_text(self.stages[s].identity, self.held[s])

    def _cleared(self, together: list[int], count: int | str) -> list[str]:
        """Write: so many lanes and totals are the identity."""
        places = [_Place(name, s, "lane").write(self._identity(s)) for s in together for name in ("lanes", "totals")]
        return [f"for lane in range({count}):", *indented(places)]

    def _kept(self, s: int, index: str) -> list[str]:
        """Write: the value of a stage, which the result has room for until it is needed again."""
        lines, (value,) = write([self.stages[s].value], self.computed, self._names(self.computed, s))
        return [*lines, f"kept = {value}", f"store_0(o, {index}, kept)"]

    def _taken(self, s: int, lane: str, index: str) -> list[str]:
        """Write: lane = combine(lane, value); `index` is where a value is kept."""
        if self.stages[s].kept:
            return [*self._kept(s, index), *self._combined(s, "lanes", lane, f"{self.held[s]}(kept)")]
        lines, (value,) = write([self.stages[s].value], self.computed, self._names(self.computed, s))
        return [*lines, *self._combined(s, "lanes", lane, f"{self.held[s]}({value})")]

    def _combined(self, s: int, name: str, index: str, new: str) -> list[str]:
        """Write: the lane or total of a stage takes in a new value."""
        held, place = self.held[s], _Place(name, s, index)
        steps, (combined,) = write([self.stages[s].combine.expression], held, {0: "old", 1: "new"})
        return [f"old = {place.read()}", f"new = {new}", *steps, place.write(f"{held}({combined})")]

    def _flushed(self, together: list[int]) -> list[str]:
        """Write: the totals take in their lanes, which begin anew."""
        lines = []
        for s in together:
            lane = _Place("lanes", s, "lane")
            lines += [*self._combined(s, "totals", "lane", lane.read()), lane.write(self._identity(s))]
        return lines

    def _after(self, s: int, combined: str) -> tuple[list[str], str]:
        """Write what a stage gives, of what it has combined."""
        after = self.stages[s].after
        if after is None:
            return [], combined
        lines, (value,) = write([after], self.wide, {0: combined, 1: f"{self.wide}(k)"})
        return lines, value

    def _names(self, number: str, results: int) -> dict[int, str]:
        """Name the inputs of a formula that is computed in a dtype, up to the results of some stages."""
        names = {} if number == self.number else {i: f"{number}(x{i})" for i in self.inputs}
        names |= {i: f"{number}(x{i})" for i in self.given}
        letter = "r" if number == self.number else "w"
        return names | {self.reduction.arity + self.reduction.numbers + s: f"{letter}{s}" for s in range(results)}

    def _ended(self, number: str, **more: str) -> tuple[list[str], str]:
        """Write the formula at the end; `more` names the number of elements and the kept value."""
        stages = len(self.stages)
        first = self.reduction.arity + self.reduction.numbers + stages
        names = self._names(number, stages) | {first + i: name for i, name in enumerate(more.values())}
        lines, (value,) = write([self.reduction.result], number, names)
        return lines, value

    def _spread(self, index: str) -> list[str]:
        """Write: the result for one element, where a kept value may lie."""
        kept = f"load_back_0(o, {index})"
        lines, value = self._ended(self.number, count="k", kept=kept)
        return [*lines, f"store_0(o, {index}, {self.result}({value}))"]

    def _finished(self, index: str) -> list[str]:
        """Write: the result of the stages."""
        lines, value = self._ended(self.wide, count=f"{self.wide}(k)")
        return [*lines, f"store_0(o, {index}, {self.result}({value}))"]
