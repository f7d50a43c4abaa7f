"""Products of a matrix and a vector: lines of neighbours in memory, each multiplied by the vector, or added up.

Either way the matrix is read once, which is all that there is to it: several lines are taken at once, so that the
vector, or the sums, are read once for all of them. NumPy's BLAS does the same, by a call that takes half a microsecond,
and has threads share it only from some MB on.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from functools import cache as once
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..text import Text
from . import codegen, failures, threads, ufunc
from .launch import Launch, launcher

Array = npt.NDArray[Any]

#: Lines that are taken at once: sums that do not wait for one another; lines that are added to a sum that is read once.
_FOLDED, _ADDED = 4, 8
#: Fewer lines, and lines of fewer elements, leave vectors empty.
FEWEST, SHORTEST = 4, 8
#: The elements of lines that are looked at before the next ones: so much of the vector, or the sums, stays near.
_PART = 2048
#: What an element of 8 bytes costs, in additions: it is read, from a cache that is not the nearest.
_COST = threads.ADDITION
#: The blocks that lines are cut into where threads share them, whatever their number: each has sums of its own.
BLOCKS = 16
#: Lines begin blocks at multiples of this many; and those that are added up to a sum of their own, so that it shows
#: little what sums take to be written, and read again.
_ALIGNED, ADDED_UP = 8, 32


class Form(NamedTuple):
    """How a product goes through a matrix: by so many lines of `length` neighbours."""

    #: Whether each line gives an element of the result, or all lines are added up to it.
    folds: bool
    #: Whether the matrix is the second operand.
    second: bool
    lines: int
    length: int
    #: From line to line, and from element to element of what has one for each line; in elements.
    line_step: int
    step: int

    @property
    def size(self) -> int:
        """The number of elements of the matrix."""
        return self.lines * self.length


def form_of(number: str, sizes: Sequence[int], steps: Sequence[int]) -> Form | None:
    """Give the form of a product, None if it is none of a matrix and a vector that is better off here than with BLAS.

    `sizes` and `steps` are those of `target.Compiler.product_loop`.
    """
    size = np.dtype(number).itemsize
    stack, m, k, n = sizes
    if stack != 1 or (m == 1) == (n == 1) or any(step % size for step in steps):
        return None
    _, _, _, xi, xj, wj, wl, yi, yl = (step // size for step in steps)
    # the matrix's rows are what is left, or what is added up over, and its columns the other
    second = m == 1
    (rows, columns), (down, across), along, out = ((k, n), (wj, wl), xj, yl) if second else ((m, k), (xi, xj), wj, yi)
    if across == 1:
        form = Form(not second, second, rows, columns, down, along if second else out)
    elif down == 1:
        form = Form(second, second, columns, rows, across, out if second else along)
    else:
        return None
    near = along if form.folds else out
    return form if near == 1 and _pays(number, form) else None


def _pays(number: str, form: Form) -> bool:
    """Tell whether there are lines enough: a few long ones are BLAS's, which cuts these as well."""
    if form.lines < FEWEST or form.length < SHORTEST:
        return False
    return form.lines >= 2 * (_ALIGNED if form.folds else ADDED_UP) or not is_shared(number, form)


def cost(number: str, form: Form) -> int:
    """Estimate what a product costs, in additions: the matrix's bytes are what counts."""
    return _COST * form.size * np.dtype(number).itemsize // 8


def is_shared(number: str, form: Form) -> bool:
    """Tell whether threads share a product."""
    return cost(number, form) > threads.SHARE_ABOVE * threads.ADDITION


def blocks_of(number: str, form: Form) -> tuple[int, int]:
    """Give the lines of a block, and the number of blocks, which depend on nothing but sizes."""
    if not is_shared(number, form):
        return form.lines, 1
    each = max(-(-form.lines // (BLOCKS * _ALIGNED)) * _ALIGNED, _ALIGNED if form.folds else ADDED_UP)
    return each, -(-form.lines // each)


def room(form: Form, blocks: int) -> int:
    """Give the elements of memory that blocks' sums take, beside the result."""
    return 0 if form.folds or blocks == 1 else blocks * form.length


def source(number: str, folds: bool) -> str:
    """Write the loop over blocks of lines, for the operands of a product, and memory for its blocks' sums."""
    return _folding(number) if folds else _adding(number)


def sizes(form: Form, each: int, together: int, blocks: int) -> list[int]:
    """Give the values that the loop reads: `together` blocks of so many lines have one sum, of `blocks`."""
    return [form.lines, form.length, each, form.line_step, form.step, int(form.second), together, blocks]


def begin(number: str, form: Form) -> None:
    """Begin to compile the loop."""
    codegen.begin(*_named(number, form.folds))


def address(number: str, folds: bool) -> int:
    """Give where the loop is, compiled or loaded now."""
    return codegen.address(*_named(number, folds))


def offsets(form: Form, blocks: int, given: Sequence[int]) -> Sequence[int]:
    """Give the offsets of operands and result, and of memory for blocks' sums, where there is any."""
    return (*given, 0) if room(form, blocks) else given


def launches(number: str, form: Form, given: Sequence[int]) -> list[Launch]:
    """Give the launches of the loop, on the operands, the result, and memory of `room`, by the offsets of three."""
    (each, blocks), shared = blocks_of(number, form), is_shared(number, form)
    table, place = sizes(form, each, 1, blocks), address(number, form.folds)
    places = offsets(form, blocks, given)
    found = [Launch(place, table, blocks, places, shared and blocks > 1)]
    if room(form, blocks):
        found.append(Launch(place, table, 0, places, False))
    return found


def multiply(x: Array, w: Array) -> Array | None:
    """Multiply a matrix and a vector, either of which may have an axis of one element more; None for all others."""
    if x.dtype != w.dtype or x.dtype.char not in "fd" or not (x.dtype.isnative and x.flags.aligned and w.flags.aligned):
        return None
    found = _multiplier(x.dtype.name, x.shape, x.strides, w.shape, w.strides)
    if found is None:
        return None
    launched, room = found
    y = np.empty((*x.shape[:-1], *w.shape[1:]), x.dtype)
    operands = (x, w, y, np.empty(room, x.dtype)) if room else (x, w, y)
    for launch in launched:
        launch(*operands)
    return y


@lru_cache(1024)
def _multiplier(
    number: str, first: Sequence[int], x: Sequence[int], second: Sequence[int], w: Sequence[int]
) -> tuple[list[Callable[..., None]], int] | None:
    """Give what `multiply` launches for shapes and steps, and the elements of memory besides; None for nothing."""
    if not (0 < len(first) <= 2 and 0 < len(second) <= 2) or first[-1] != second[0]:
        return None
    m, n = first[0] if len(first) > 1 else 1, second[1] if len(second) > 1 else 1
    size = np.dtype(number).itemsize
    steps = [0, 0, 0, x[0] if len(first) > 1 else 0, x[-1], w[0], w[1] if len(second) > 1 else size, n * size, size]
    form = form_of(number, (1, m, first[-1], n), steps)
    if form is None:
        return None
    each = [launcher(launch) for launch in launches(number, form, (0, 0, 0))]
    return each, room(form, blocks_of(number, form)[1])


@once
def places() -> Any:
    """Give the words with the addresses of the loops of `KINDS`, each of which is compiled when it is first called."""
    words = (ctypes.c_int64 * len(KINDS))()
    for i, kind in enumerate(KINDS):
        words[i] = ctypes.cast(_stub(words, i, *kind), ctypes.c_void_p).value or 0
    return words


#: The loops there are: for a dtype, and whether lines are folded.
KINDS = [("float32", False), ("float32", True), ("float64", False), ("float64", True)]


def _stub(words: Any, place: int, number: str, folds: bool) -> Any:
    """Make a loop that compiles another one, writes its address over its own, and calls it."""

    def first_call(*arguments: int) -> None:
        found = words[place] = address(number, folds)
        threads.LOOP(found)(*arguments)

    stub = threads.LOOP(failures.callback(first_call))
    ufunc.keep_forever(stub, words)
    return stub


@once
def _named(number: str, folds: bool) -> tuple[str, str, str, tuple[str, ...]]:
    # sums of a line are a vector's, added up in the end; those of lines are in order
    name = f"lines_{'folded' if folds else 'added'}_{number}"
    return name, source(number, folds), "loop", ("contract", "reassoc") if folds else ("contract",)


def _head(text: Text, number: str) -> None:
    put = text.put
    put("align_stack()", "short_vectors()")
    with text.block("if dims[0] >= int64_pointer(data)[0]:"):
        put("share(args, dims, steps, data)", "return")
    put("first_block = address(args[0])", "sizes = int64_pointer(args[1])", "count = sizes[0]")
    put("length = np.uintp(sizes[1])", "each = sizes[2]", "down = sizes[3]", "step = sizes[4]", "second = sizes[5]")
    put(f"matrix = {number}_pointer(args[2 + second])", f"vector = {number}_pointer(args[3 - second])")
    put(f"y = {number}_pointer(args[4])")


def _folding(number: str) -> str:
    text = Text()
    put, block = text.put, text.block
    with block("def loop(args, dims, steps, data):"):
        _head(text, number)
        put("begin = first_block * each", "end = min(begin + dims[0] * each, count)")
        put(f"whole = begin + (end - begin) // {_FOLDED} * {_FOLDED}")
        # long lines in parts, whose errors do not add up
        with block(f"for first in range(0, int64(length), {_PART}):"):
            put(f"width = min(length - np.uintp(first), np.uintp({_PART}))", "part = offset(vector, first)")
            for head, lines in (
                (f"for i in range(begin, whole, {_FOLDED}):", _FOLDED),
                ("for i in range(whole, end):", 1),
            ):
                with block(head):
                    each = range(lines)
                    put(*(f"line{k} = offset(matrix, (i + {k}) * down + first)" for k in each))
                    put(*(f"sum{k} = {number}(0)" for k in each))
                    with block("for j in range(width):"):
                        put("value = load(part, j)", *(f"sum{k} += load(line{k}, j) * value" for k in each))
                    with block("if first > 0:"):
                        put(*(f"sum{k} += y[(i + {k}) * step]" for k in each))
                    put(*(f"y[(i + {k}) * step] = sum{k}" for k in each))
        put("clear_exceptions()")
    return str(text)


def _adding(number: str) -> str:
    text = Text()
    put, block = text.put, text.block
    with block("def loop(args, dims, steps, data):"):
        _head(text, number)
        put("together = sizes[6]", "blocks = sizes[7]", "parts = y")
        put("if blocks > 1:", f"    parts = {number}_pointer(args[5])")
        with block("for block in range(first_block, first_block + dims[0]):"):
            put("begin = block * each", "end = min(begin + each, count)")
            put(f"whole = begin + (end - begin) // {_ADDED} * {_ADDED}")
            with block(f"for first in range(0, int64(length), {_PART}):"):  # whose sums stay in the nearest cache
                put(f"width = min(length - np.uintp(first), np.uintp({_PART}))")
                put("to = offset(parts, block // together * int64(length) + first)")
                with block("if block % together == 0:"):
                    put("for j in range(width):", f"    store_0(to, j, {number}(0))")
                for head, lines in (
                    (f"for i in range(begin, whole, {_ADDED}):", _ADDED),
                    ("for i in range(whole, end):", 1),
                ):
                    with block(head):
                        put(*(f"line{k} = offset(matrix, (i + {k}) * down + first)" for k in range(lines)))
                        put(*(f"factor{k} = load(vector, (i + {k}) * step)" for k in range(lines)))
                        terms = [f"factor{k} * load(line{k}, j)" for k in range(lines)]
                        while len(terms) > 1:
                            terms = [f"({a} + {b})" for a, b in zip(terms[::2], terms[1::2], strict=True)]
                        put("for j in range(width):", f"    store_0(to, j, load_back_0(to, j) + {terms[0]})")
        with block("if dims[0] == 0:  # after all blocks"):
            put("for j in range(length):", "    store_1(y, j, load_back_0(parts, j))")
            with block("for block in range(1, blocks):"):
                put("part = offset(parts, np.uintp(block) * length)")
                put("for j in range(length):", "    store_1(y, j, load_back_1(y, j) + load_back_0(part, j))")
        put("clear_exceptions()")
    return str(text)
