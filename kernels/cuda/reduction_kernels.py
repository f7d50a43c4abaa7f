"""The text of reductions' kernels, generated from `kernels.reductions`.

Three layouts of threads read an array of (outer, k, inner) elements. *Groups*: up to 32 threads a line, joined by
shuffles, several lines a block; with one thread a line, neighbouring threads take neighbouring columns. *Blocks*: a
block a line, for long ones. *Columns*: a block takes up to 32 neighbouring columns, several threads each, joined in
shared memory. Reductions with several stages read their line again in each: it comes out of the caches then.

There is little float64 on many GPUs, so float32 is not accumulated in it as on the CPU. Sums of both floating dtypes
carry the error of each addition along (two_sum), through threads, warps and blocks: with u half the spacing of numbers
at 1, a pass is off by u |sum| + 2 n^2 u^2 sum |x| at most (Ogita, Rump, Oishi, SIAM J. Sci. Comput. 26, 2005,
proposition 4.5), and a second pass adds u times the sum of the pieces' magnitudes. Products carry the error of each
multiplication likewise; a second pass adds u for each piece. What passes the limits of float32 on the way, and on the
CPU would come back, is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache as once

import numpy as np

from ..formula import source as write
from ..formula import substitute, variable
from ..reductions import Reduction
from ..text import Text
from . import launch
from .accumulators import Accumulator, joined_in_block, joined_in_columns, joined_in_warp, shuffled

GROUPS, BLOCKS, COLUMNS = "groups", "blocks", "columns"

#: The most threads of a block that has a line, which leaves 64 registers to each.
MOST_THREADS = 1024
#: Loads under way at once in a thread.
_UNROLL = 4
#: The whole numbers that every kernel takes behind its pointers, before the steps of each operand.
WHOLE = ("outer", "inner", "k", "count", "chunks", "piece", "shift")


class _Stage(Accumulator):
    """One stage of a reduction."""

    def __init__(self, reduction: Reduction, s: int, number: str, wide: str) -> None:
        stage = reduction.stages[s]
        super().__init__(f"stage{s}", stage.combine, stage.identity, number, wide)
        self.s, self.value = s, write([stage.value], number, _names(reduction, number, s))
        self.after = stage.after

    def take_element(self) -> list[str]:
        """Take in the element that the inputs x0, x1, ... are at."""
        lines, (element,) = self.value
        return [*lines, *self.take(element)]

    def give(self) -> list[str]:
        """Write what the stage gives."""
        lines = [f"result{self.s} = {self.end()}"]
        if self.after is not None:
            more, (value,) = write([self.after], self.wide, {0: f"result{self.s}", 1: f"{self.wide}(count)"})
            lines += [*more, f"result{self.s} = {value}"]
        return lines


def _names(reduction: Reduction, number: str, results: int) -> dict[int, str]:
    """Name the inputs of a formula that is computed in a dtype, behind the elements, up to some stages' results."""
    first = reduction.arity + reduction.numbers
    given = {i: f"{number}(x{i})" for i in range(reduction.arity, first)}
    return given | {first + r: f"result{r}" for r in range(results)}


def scalars(reduction: Reduction, number: str) -> list[str]:
    """Give the dtypes of a reduction's numbers that are the same for all lines."""
    return [number if number.startswith("float") else "int64"] * (reduction.numbers - reduction.rows)


def _joined_in_columns(fold: Accumulator) -> list[str]:
    whole = [f"{name} = shared{c}_{fold.wide}[thread & (width - 1)]" for c, name in enumerate(fold.carried)]
    return [*joined_in_columns(fold, "lane", "step"), *whole]


# Of a layout: what its threads do first, how a turn begins, and how they bring a fold together. A turn sets the line
# (b, j) and which of its elements to take (from `begin` + `lane` in steps of `step`, before `stop`), the number of the
# piece, and whether the thread is the one to write the result. All threads of a block go through the same number of
# turns, because they wait for each other.
_LAYOUTS: dict[str, tuple[list[str], list[str], Callable[[Accumulator], list[str]]]] = {
    GROUPS: (
        [
            "step = int64(1) << shift",
            "lane = thread & (step - 1)",
            "lines = threads >> shift",
            "begin = int64(0)",
            "chunk = int64(0)",
            "item = int64(cuda.blockIdx.x) * lines",
        ],
        [
            "while item < outer * inner:",
            "b = item + (thread >> shift)",
            "j = int64(0)",
            "inside = b < outer * inner",
            "stop = k if inside else int64(0)",
            "writes = inside and lane == 0",
            "if inner != 1:",
            "    j = b % inner",
            "    b = b // inner",
        ],
        lambda fold: joined_in_warp(fold, "step"),
    ),
    BLOCKS: (
        [
            "step = threads",
            "lane = thread",
            "writes = thread == 0",
            "item = int64(cuda.blockIdx.x)",
        ],
        [
            "while item < outer * inner * chunks:",
            "chunk = item % chunks",
            "line = item // chunks",
            "j = line % inner",
            "b = line // inner",
            "begin = chunk * piece",
            "stop = min(begin + piece, k)",
        ],
        joined_in_block,
    ),
    COLUMNS: (
        [
            "width = int64(1) << shift",
            "lane = thread >> shift",
            "step = threads >> shift",
            "tiles = (inner + width - 1) >> shift",
            "item = int64(cuda.blockIdx.x)",
        ],
        [
            "while item < outer * tiles * chunks:",
            "j = item % tiles * width + (thread & (width - 1))",
            "chunk = item // tiles % chunks",
            "b = item // tiles // chunks",
            "inside = j < inner",
            "begin = chunk * piece",
            "stop = min(begin + piece, k) if inside else int64(0)",
            "writes = inside and lane == 0",
        ],
        _joined_in_columns,
    ),
}


def signature(reduction: Reduction, number: str) -> tuple[str, ...]:
    """Give the parameters of a reduction's kernels."""
    pointers = [f"{number}*"] * (reduction.arity + reduction.rows) + [f"{reduction.result_dtype(number)}*"]
    return (*pointers, *["int64"] * (len(WHOLE) + 3 * len(pointers)), *scalars(reduction, number))


def source(reduction: Reduction, number: str, layout: str, vector: bool) -> str:
    """Write the kernel of a reduction for one dtype and layout of threads.

    `vector`: elements along the line are neighbours, and lines begin at multiples of 16 bytes.
    """
    first = reduction.arity + len(scalars(reduction, number))
    rows = range(first, first + reduction.rows)
    operands = [*range(reduction.arity), *rows, "o"]
    pointers = [*(f"p{i}" for i in operands[:-1]), "o"]
    same = [f"x{i}" for i in range(reduction.arity, first)]
    steps = [f"{axis}{i}" for i in operands for axis in "bkn"]
    result = reduction.result_dtype(number)
    wide = shuffled(result)
    folds = [_Stage(reduction, s, number, wide) for s in range(len(reduction.stages))]
    opening, turn, join = _LAYOUTS[layout]
    text = Text()
    put = text.put
    if layout == BLOCKS:
        put(f"BOUNDS = ({MOST_THREADS},)")
    with text.block(f"def kernel({', '.join([*pointers, *WHOLE, *steps, *same])}):"):
        if layout != GROUPS:
            size = 32 if layout == BLOCKS else launch.THREADS
            for c in range(max(len(fold.carried) for fold in folds)):
                put(f"shared{c}_{wide} = cuda.shared.array({size}, {wide})")
        put("thread = int64(cuda.threadIdx.x)", "threads = int64(cuda.blockDim.x)", *opening)
        with text.block(turn[0]):
            put(*turn[1:], *(f"q{i} = b * b{i} + j * n{i}" for i in operands))
            # a thread that has no line takes the first one's
            put(*(f"x{i} = p{i}[{f'q{i}' if layout == BLOCKS else f'q{i} if inside else 0'}]" for i in rows))
            for together in reduction.passes:
                stages = [folds[s] for s in together]
                taken = [line for fold in stages for line in fold.take_element()]
                put(*(line for fold in stages for line in fold.begin()))
                _elements(text, reduction, number, vector, lambda place, taken=taken: taken)  # type: ignore[misc]
                for fold in stages:
                    put(*join(fold), *fold.give())
            _results(text, reduction, number, vector, wide)
            put("item += int64(cuda.gridDim.x)" + (" * lines" if layout == GROUPS else ""))
    return str(text)


def _results(text: Text, reduction: Reduction, number: str, vector: bool, wide: str) -> None:
    """Write the formula of the stages' results: for each element again, or once a line."""
    stages = len(reduction.stages)
    names = _names(reduction, number if reduction.spreads else wide, stages)
    count = reduction.arity + reduction.numbers + stages
    if reduction.spreads:
        names[count] = f"{number}(count)"
        kept = [stage for stage in reduction.stages if stage.kept]
        # to compute a kept value again is cheaper than to write and read it
        again = {variable(count + 1): stage.value for stage in kept}
        lines, (value,) = write([substitute(reduction.result, again)], number, names)
        _elements(text, reduction, number, vector, lambda place: [*lines, f"{place} = {number}({value})"], stores=True)
    else:
        names[count] = f"{wide}(count)"
        lines, (value,) = write([reduction.result], wide, names)
        with text.block("if writes:"):
            text.put(*lines, f"o[qo + chunk * ko] = {reduction.result_dtype(number)}({value})")


def _elements(
    text: Text,
    reduction: Reduction,
    number: str,
    vector: bool,
    act: Callable[[str], list[str]],
    stores: bool = False,
) -> None:
    """Write loops over a thread's elements of the line, loading a few before the first is used.

    `act` gives what is done to each, for the place where its result goes.
    """
    inputs = range(reduction.arity)
    put = text.put
    if vector:
        lanes = 16 // np.dtype(number).itemsize
        put(f"whole = begin + max(stop - begin, int64(0)) // {lanes} * {lanes}", f"i = begin + lane * {lanes}")
        with text.block("while i < whole:"):
            put(*(f"v{i} = load_vector(p{i}, q{i} + i)" for i in inputs))
            for u in range(lanes):
                put(*(f"x{i} = v{i}[{u}]" for i in inputs), *act(f"y{u}"))
            if stores:
                put(f"store_vector(o, qo + i, ({', '.join(f'y{u}' for u in range(lanes))},))")
            put(f"i += step * {lanes}")
        put("i = whole + lane")
    else:
        put("i = begin + lane")
        with text.block(f"while i + {_UNROLL - 1} * step < stop:"):
            for u in range(_UNROLL):
                put(*(f"x{i}_{u} = p{i}[q{i} + (i + {u} * step) * k{i}]" for i in inputs))
            for u in range(_UNROLL):
                put(*(f"x{i} = x{i}_{u}" for i in inputs), *act(f"o[qo + (i + {u} * step) * ko]"))
            put(f"i += {_UNROLL} * step")
    with text.block("while i < stop:"):
        put(*(f"x{i} = p{i}[q{i} + i * k{i}]" for i in inputs), *act("o[qo + i * ko]"), "i += step")


@once
def texts(reduction: Reduction, number: str, layout: str, vector: bool) -> tuple[str, str, tuple[str, ...]]:
    """Give a kernel's name, text and signature."""
    name = f"{reduction.name}_{layout}_{'vector_' if vector else ''}{number}"
    return name, source(reduction, number, layout, vector), signature(reduction, number)
