"""Elementwise kernels: what one of the CPU's ufuncs computes, on CuPy's arrays.

A call looks up its plan by the dtypes and layouts of its arguments: which kernel, how many blocks, and the whole
numbers it takes; so a call like an earlier one costs a few look-ups. Dimensions that all arrays step through evenly are
joined. If one is left, and all arrays are contiguous, the kernel reads and writes 16 bytes at once.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from functools import cache as once
from typing import Any, NamedTuple

import numpy as np

from .. import formula
from ..cpu.elementwise import computed_in, formulas
from ..formula import TRUTH
from ..strides import dense, farthest_first, joined
from . import launch

_THREADS = launch.THREADS
_MOST_BLOCKS = 2**31 - 1

#: Bytes that a thread reads or writes at once.
_VECTOR = 16

#: Python's numbers, and how they take part in NumPy's promotion.
_WEAK = {bool: np.dtype(bool), int: int, float: float}

_plans: dict[Any, _Plan] = {}


def call(ufunc: np.ufunc, arguments: Sequence[Any], out: Any = None) -> Any:
    """Evaluate a ufunc of `kernels.cpu.elementwise` on CuPy arrays, NumPy scalars, 0-d NumPy arrays and numbers.

    Gives a new CuPy array, or `out`: an array, or a tuple of them where the ufunc has several results. Raises TypeError
    for dtypes without a kernel and for NumPy arrays with dimensions, ValueError for shapes that do not broadcast.
    """
    cupy = sys.modules["cupy"]  # imported by whoever made the arrays
    array = cupy.ndarray
    parts: list[Any] = [ufunc, launch.backend.device()]
    for x in arguments:
        if isinstance(x, array):
            parts += (x.dtype.char, x.shape, x.strides)
        elif type(x) in _WEAK:
            parts.append(type(x))
        else:
            parts.append(_character(ufunc, x))
    if out is not None:
        for x in out if type(out) is tuple else (out,):
            if not isinstance(x, array):
                raise TypeError(
                    f"{ufunc.__name__}: out is a CuPy array where inputs are, and not {_described(x)}; "
                    "x.cuda() brings arrays to the GPU"
                )
            parts += (None, x.dtype.char, x.shape, x.strides)
    key = tuple(parts)
    plan = _plans.get(key)
    if plan is None:
        if len(_plans) > 10_000:
            _plans.clear()
        plan = _plans[key] = _make_plan(ufunc, arguments, out, array)
    if plan.overlaps:
        for position, target, reach, out_reach, even in plan.overlaps:
            x = arguments[position]
            if _would_overwrite(x, out, target, reach, out_reach, even):
                return call(ufunc, (*arguments[:position], x.copy(), *arguments[position + 1 :]), out)
    return plan.run(cupy, arguments, out)


def _character(ufunc: np.ufunc, x: Any) -> str:
    """Give the dtype's letter of what is passed by value; TypeError for what cannot be."""
    if isinstance(x, np.ndarray) and x.ndim:
        raise TypeError(
            f"{ufunc.__name__}: got a NumPy array of shape {x.shape}, in the CPU's memory, and a CuPy array, on the "
            "GPU; bring both to one place by x.cuda() or x.cpu()"
        )
    if isinstance(x, np.ndarray | np.generic):
        return x.dtype.char
    if isinstance(x, bool | int | float):  # of a class that inherits from them
        return np.result_type(x).char
    raise TypeError(f"{ufunc.__name__}: takes CuPy arrays and numbers, not {_described(x)}")


def _described(x: Any) -> str:
    return f"{type(x).__module__}.{type(x).__qualname__}"


def _would_overwrite(
    x: Any, out: Any, target: int, reach: tuple[int, int], out_reach: tuple[int, int], even: bool
) -> bool:
    """Tell whether an output lies over an input otherwise than element for element."""
    here, there = x.data.ptr, (out[target] if type(out) is tuple else out).data.ptr
    if here == there and even:
        return False
    return bool(here + reach[0] < there + out_reach[1] and there + out_reach[0] < here + reach[1])


# ---- plans ----------------------------------------------------------------------------------------------------------


class _Plan(NamedTuple):
    """How to make one call: everything that does not depend on addresses and values."""

    inputs: tuple[Callable[[Any], Any] | None, ...]  # None for an array, the conversion of what goes by value
    results: tuple[np.dtype[Any], ...]
    shape: tuple[int, ...]  # of new results, axes as they lie in memory
    order: tuple[int, ...] | None  # brings them into the order of the inputs', if that is another
    plain: tuple[launch.Kernel, int] | None  # with the number of blocks; None where there is nothing to do
    vector: tuple[launch.Kernel, int] | None  # the same, for addresses that are multiples of 16
    tail: tuple[int, ...]  # what the kernel takes besides addresses and values
    overlaps: tuple[tuple[int, int, tuple[int, int], tuple[int, int], bool], ...]
    through: bool  # whether results go through new arrays into `out`, which has other dtypes

    def run(self, cupy: Any, arguments: Sequence[Any], out: Any) -> Any:
        """Launch the kernel on the arguments' memory and give the results."""
        low = 0
        given: list[Any] = []
        made: Sequence[Any]
        for x, convert in zip(arguments, self.inputs, strict=True):
            if convert is None:
                address = x.data.ptr
                low |= address
                given.append(address)
            else:
                given.append(convert(x))
        if out is None or self.through:
            made = [cupy.empty(self.shape, dtype) for dtype in self.results]
        else:
            made = out if type(out) is tuple else (out,)
        for result in made:
            address = result.data.ptr
            low |= address
            given.append(address)
        if self.plain is not None:
            kernel, blocks = self.plain if self.vector is None or low & (_VECTOR - 1) else self.vector
            kernel(blocks, _THREADS, *given, *self.tail)
        if out is not None and not self.through:
            return out
        if self.order is not None:
            made = [result.transpose(self.order) for result in made]
        if out is not None:
            for target, result in zip(out if type(out) is tuple else (out,), made, strict=True):
                target[...] = result
            return out
        return made[0] if len(made) == 1 else tuple(made)


def _make_plan(ufunc: np.ufunc, arguments: Sequence[Any], out: Any, array: Any) -> _Plan:
    expressions, kinds = formulas[ufunc]
    name = ufunc.__name__
    if len(arguments) != len(kinds):
        raise TypeError(f"{name}: takes {len(kinds)} arguments, got {len(arguments)}")
    outs = () if out is None else out if type(out) is tuple else (out,)
    if outs and len(outs) != len(expressions):
        raise TypeError(f"{name}: gives {len(expressions)} results, and got {len(outs)} arrays for them")
    loop = _resolve(ufunc, arguments)
    results = tuple(loop[len(kinds) :])
    shape = _broadcast(name, [x.shape for x in arguments if isinstance(x, array)], [x.shape for x in outs])
    through = any(x.dtype != dtype for x, dtype in zip(outs, results, strict=False))
    for x, dtype in zip(outs, results, strict=False):
        if not np.can_cast(dtype, x.dtype, "same_kind"):
            raise TypeError(f"{name}: gives {dtype}, which does not go into out, an array of {x.dtype}")
    written = () if through else outs

    given = [x for x in arguments if isinstance(x, array)]
    axes = _order([*written, *given], shape)
    lying = tuple(shape[axis] for axis in axes)
    fresh = list(dense(lying))
    steps = [_steps(name, x, shape, axes) for x in given]
    steps += [_steps(name, x, shape, axes) for x in written] or [fresh] * len(results)
    sizes, steps = _join(lying, steps)

    number = next((dtype for dtype, kind in zip(loop, kinds, strict=False) if kind != TRUTH), np.dtype(bool)).name
    number = computed_in(expressions, number)
    converters = tuple(
        None if isinstance(x, array) else _by_value(dtype if kind == TRUTH else np.dtype(number))
        for x, dtype, kind in zip(arguments, loop, kinds, strict=False)
    )
    names = tuple(x.dtype.name if isinstance(x, array) else None for x in arguments)
    plain: tuple[launch.Kernel, int] | None = None
    vector: tuple[launch.Kernel, int] | None = None
    tail: tuple[int, ...] = ()
    if 0 not in shape:
        plain, vector, tail = _choose(ufunc, number, names, [dtype.name for dtype in results], sizes, steps)
    overlaps = tuple(
        (position, target, _reach(x), _reach(y), x.strides == y.strides and x.shape == y.shape and x.dtype == y.dtype)
        for target, y in enumerate(written)
        for position, x in enumerate(arguments)
        if isinstance(x, array) and plain is not None
    )
    order = None if axes == tuple(sorted(axes)) else tuple(axes.index(axis) for axis in range(len(axes)))
    return _Plan(converters, results, lying, order, plain, vector, tail, overlaps, through)


def _resolve(ufunc: np.ufunc, arguments: Sequence[Any]) -> tuple[np.dtype[Any], ...]:
    """Give the dtypes of the loop that NumPy takes for the arguments."""
    own: list[Any] = [
        _WEAK[type(x)] if type(x) in _WEAK else getattr(x, "dtype", None) or np.result_type(x) for x in arguments
    ]
    try:
        return ufunc.resolve_dtypes((*own, *[None] * ufunc.nout))
    except TypeError:
        raise TypeError(
            f"{ufunc.__name__}: has no kernel for {', '.join(getattr(dtype, 'name', 'a number') for dtype in own)}; "
            f"it takes {', '.join(dict.fromkeys(np.dtype(types[0]).name for types in ufunc.types))}, and what NumPy "
            "converts to them safely"
        ) from None


def _broadcast(name: str, shapes: list[tuple[int, ...]], outs: list[tuple[int, ...]]) -> tuple[int, ...]:
    """Give the shape of the result; ValueError where the inputs, or `out`, do not fit together."""
    try:
        shape = np.broadcast_shapes(*shapes, *outs)
    except ValueError:
        raise ValueError(
            f"{name}: operands could not be broadcast together with shapes {' '.join(map(str, [*shapes, *outs]))}"
        ) from None
    for out in outs:
        if out != shape:
            raise ValueError(f"{name}: out has shape {out}, and the result has {shape}")
    return shape


def _by_value(dtype: np.dtype[Any]) -> Callable[[Any], Any]:
    """Give the conversion of a number to a parameter of a dtype, as kernels are called."""
    if dtype == np.bool_:
        return lambda x: np.uint8(bool(x))
    if dtype == np.int64:
        return lambda x: int(np.int64(x))
    return np.dtype(dtype.name).type  # of two whole numbers of 64 bits, the one that is passed on by its width


def _order(arrays: Sequence[Any], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Give the axes by how far they step through memory, farthest first, in the first array that is not stretched."""
    for x in arrays:
        order = farthest_first(shape, x.strides) if x.shape == shape else None
        if order is not None:
            return order
    return tuple(range(len(shape)))


def _steps(name: str, x: Any, shape: tuple[int, ...], axes: tuple[int, ...]) -> list[int]:
    """Give an array's steps in elements along the axes of the result, 0 where it is stretched."""
    missing = len(shape) - x.ndim
    steps = [0] * missing + [0 if size == 1 else step for size, step in zip(x.shape, x.strides, strict=True)]
    if any(step % x.itemsize for step in steps):
        raise ValueError(f"{name}: an array of {x.dtype} steps {x.strides} bytes, no whole elements; copy it first")
    return [steps[axis] // x.itemsize for axis in axes]


def _join(shape: tuple[int, ...], steps: list[list[int]]) -> tuple[list[int], list[list[int]]]:
    """Leave out axes of one element, and join those that follow each other evenly in all arrays."""
    groups = joined(shape, steps)
    sizes = [math.prod(shape[axis] for axis in group) for group in groups]
    return sizes, [[row[group[-1]] for group in groups] for row in steps]


def _reach(x: Any) -> tuple[int, int]:
    """Give where an array begins and ends, in bytes from its first element."""
    steps = [(size - 1) * step for size, step in zip(x.shape, x.strides, strict=True)]
    return sum(step for step in steps if step < 0), sum(step for step in steps if step > 0) + x.itemsize


# ---- kernels --------------------------------------------------------------------------------------------------------


def _choose(
    ufunc: np.ufunc,
    number: str,
    inputs: tuple[str | None, ...],
    results: list[str],
    sizes: list[int],
    steps: list[list[int]],
) -> tuple[tuple[launch.Kernel, int], tuple[launch.Kernel, int] | None, tuple[int, ...]]:
    """Give the kernels for a layout, each with its number of blocks, and the whole numbers they take."""
    whole = tuple(results)
    if len(sizes) > 1:
        blocks, shape = _tiles(math.prod(sizes[:-1]), sizes[-1])
        outer = sizes[1:-1]
        tail = (math.prod(sizes[:-1]), sizes[-1], *shape, *outer, *(step for row in steps for step in row))
        return (_rows_kernel(ufunc, number, inputs, whole, len(sizes), launch.backend.device()), blocks), None, tail
    n = math.prod(sizes)
    along = [row[0] if row else 0 for row in steps]
    if n == 1:
        along[len(along) - len(results) :] = [1] * len(results)
    arrays = iter(along)
    stretched = tuple(name is not None and next(arrays) == 0 for name in inputs)
    if any(step not in (0, 1) for step in along) or any(step != 1 for step in along[-len(results) :]):
        kernel = _line_kernel(ufunc, number, inputs, whole, None, 0, launch.backend.device())
        return (kernel, _blocks(n)), None, (n, *along)
    plain = _line_kernel(ufunc, number, inputs, whole, stretched, 0, launch.backend.device())
    full = [name for name, once_only in zip(inputs, stretched, strict=True) if name and not once_only]
    wide = [size for size in (_size(name) for name in (*full, *results)) if size in (4, 8)]
    if not wide:
        return (plain, _blocks(n)), None, (n,)
    lanes = _VECTOR // max(wide)
    vector = _line_kernel(ufunc, number, inputs, whole, stretched, lanes, launch.backend.device())
    return (plain, _blocks(n)), (vector, _blocks(n // lanes + n % lanes)), (n,)


def _blocks(threads: int) -> int:
    return -(-threads // _THREADS)


def _tiles(rows: int, columns: int) -> tuple[int, tuple[int, int]]:
    """Lay blocks over rows of columns: the number of blocks, and the exponents of two that say how.

    A block's threads are a tile of ``2**across`` columns; ``2**spread`` blocks share a row. Powers of two, because
    then finding a thread's place takes shifts and no divisions.
    """
    across = min((columns - 1).bit_length(), _THREADS.bit_length() - 1)
    # long rows are shared so that a thread has about four elements
    spread = max((-(-columns // (4 << across)) - 1).bit_length(), 0)
    blocks = min(-(-rows // (_THREADS >> across)), _MOST_BLOCKS >> spread)
    return blocks << spread, (across, spread)


def _size(name: str) -> int:
    return np.dtype(name).itemsize


class _Text(NamedTuple):
    """The parts of a kernel's text that all layouts share."""

    parameters: list[str]
    signature: list[str]
    pointers: list[str]  # those of the parameters that are addresses
    reads: dict[int, str]  # by input, how to turn a number as it lies in memory into the formula's
    values: list[str]  # lines that do this with what comes by value
    body: list[str]
    results: list[str]

    def read(self, i: int, place: str) -> str:
        """Write the line that reads an input."""
        return f"x{i} = {self.reads[i].format(place)}"


def _text(ufunc: np.ufunc, number: str, inputs: tuple[str | None, ...], results: tuple[str, ...]) -> _Text:
    expressions, kinds = formulas[ufunc]
    made = _Text([], [], [], {}, [], *formula.source(expressions, number))
    for i, (name, kind) in enumerate(zip(inputs, kinds, strict=True)):
        wanted = "bool" if kind == TRUTH else number
        if name is None:
            made.parameters.append(f"v{i}")
            made.signature.append(wanted)
            made.values.append(f"x{i} = v{i} != 0" if kind == TRUTH else f"x{i} = v{i}")
            continue
        made.parameters.append(f"p{i}")
        made.pointers.append(f"p{i}")
        made.signature.append(f"{name}*")
        number_read = {"bool": "{} != 0", "float16": "float32_of_half({})"}.get(name, "{}")
        converted = kind != TRUTH and name != number and (name, number) != ("float16", "float32")
        made.reads[i] = f"{number}({number_read})" if converted else number_read
    for i, name in enumerate(results):
        made.parameters.append(f"o{i}")
        made.pointers.append(f"o{i}")
        made.signature.append(f"{name}*")
        truth = " != 0" if name == "bool" and expressions[i].kind != TRUTH else ""
        made.results[i] = f"{name}({made.results[i]}{truth})"
    return made


def _kernel(name: str, text: _Text, tail: Sequence[str], lines: Sequence[str]) -> launch.Kernel:
    head = f"def kernel({', '.join([*text.parameters, *tail])}):"
    source = "\n".join([head, *(f"    {line}" for line in lines)]) + "\n"
    return launch.kernel(name, source, [*text.signature, *["int64"] * len(tail)])


@once
def _line_kernel(
    ufunc: np.ufunc,
    number: str,
    inputs: tuple[str | None, ...],
    results: tuple[str, ...],
    stretched: tuple[bool, ...] | None,
    lanes: int,
    device: int,
) -> launch.Kernel:
    """Give the kernel for one dimension, a thread for an element, or for as many as `lanes`.

    All arrays are contiguous, but for those `stretched`, which have one element; with None, each has a step.
    """
    text = _text(ufunc, number, inputs, results)
    if lanes:
        assert stretched is not None
        return _kernel(f"{ufunc.__name__}-vectors-{number}", text, ["n"], _vectors(text, stretched, lanes))
    tail = ["n"] if stretched is not None else ["n", *(f"s{pointer}" for pointer in text.pointers)]
    lines = ["i = cuda.grid(1)", "if i < n:"]
    for i in text.reads:
        place = f"p{i}[i * sp{i}]" if stretched is None else f"p{i}[0]" if stretched[i] else f"p{i}[i]"
        lines.append(f"    {text.read(i, place)}")
    lines += [f"    {line}" for line in (*text.values, *text.body)]
    for i, result in enumerate(text.results):
        place = f"o{i}[i * so{i}]" if stretched is None else f"o{i}[i]"
        lines.append(f"    {place} = {result}")
    form = "line" if stretched is not None else "steps"
    return _kernel(f"{ufunc.__name__}-{form}-{number}", text, tail, lines)


def _vectors(text: _Text, stretched: tuple[bool, ...], lanes: int) -> list[str]:
    """Write the body of a kernel whose threads have a vector each, and the last few an element each."""
    whole, rest = [f"i *= {lanes}"], [f"i += whole * {lanes - 1}", "if i >= n:", "    return"]
    kinds = dict(zip(text.parameters, text.signature, strict=True))

    def fits(pointer: str) -> bool:
        return _size(kinds[pointer].removesuffix("*")) * lanes == _VECTOR

    lines = []
    for i in text.reads:
        if stretched[i]:
            lines.append(text.read(i, f"p{i}[0]"))
            continue
        places = ", ".join(f"p{i}[i + {lane}]" for lane in range(lanes))
        whole.append(f"w{i} = load_vector(p{i}, i)" if fits(f"p{i}") else f"w{i} = ({places})")
        # the others than the first are computed and not stored
        rest += [f"e{i} = p{i}[i]", f"w{i} = ({', '.join([f'e{i}'] * lanes)})"]
    lines += text.values
    lines += ["i = cuda.grid(1)", f"whole = n // {lanes}", "vector = i < whole", "if vector:"]
    lines += [f"    {line}" for line in whole] + ["else:"] + [f"    {line}" for line in rest]
    for lane in range(lanes):
        lines += [text.read(i, f"w{i}[{lane}]") for i in text.reads if not stretched[i]]
        lines += text.body
        lines += [f"r{i}_{lane} = {result}" for i, result in enumerate(text.results)]
    lines.append("if vector:")
    for i in range(len(text.results)):
        values = [f"r{i}_{lane}" for lane in range(lanes)]
        if fits(f"o{i}"):
            lines.append(f"    store_vector(o{i}, i, ({', '.join(values)}))")
        else:
            lines += [f"    o{i}[i + {lane}] = {value}" for lane, value in enumerate(values)]
    return [*lines, "else:", *(f"    o{i}[i] = r{i}_0" for i in range(len(text.results)))]


@once
def _rows_kernel(
    ufunc: np.ufunc,
    number: str,
    inputs: tuple[str | None, ...],
    results: tuple[str, ...],
    ndim: int,
    device: int,
) -> launch.Kernel:
    """Give the kernel for several dimensions, of which all but the last make rows; see `_tiles`."""
    text = _text(ufunc, number, inputs, results)
    inner = ndim - 1
    tail = ["rows", "columns", "across", "spread", *(f"n{axis}" for axis in range(1, inner))]
    tail += [f"s{pointer}_{axis}" for pointer in text.pointers for axis in range(ndim)]
    lines = [
        *text.values,
        "thread = int64(cuda.threadIdx.x)",
        "block = int64(cuda.blockIdx.x)",
        "height = int64(cuda.blockDim.x) >> across",
        "row = (block >> spread) * height + (thread >> across)",
        "rows_on = (int64(cuda.gridDim.x) >> spread) * height",
        "width = int64(1) << across",
        "columns_on = width << spread",
        "first = (block & ((int64(1) << spread) - int64(1))) * width + (thread & (width - int64(1)))",
        "while row < rows:",
    ]
    here = "row"
    if inner > 1:
        lines.append("    left = uint64(row)")
        for axis in reversed(range(1, inner)):
            lines += [
                f"    above = left // uint64(n{axis})",
                f"    i{axis} = int64(left - above * uint64(n{axis}))",
                "    left = above",
            ]
        here = "int64(left)"
    lines.append(f"    i0 = {here}")
    for pointer in text.pointers:
        terms = " + ".join(f"i{axis} * s{pointer}_{axis}" for axis in range(inner))
        lines.append(f"    b{pointer} = {terms}")
    # counted down, for LLVM divides to know how often a loop with a step runs
    lines += ["    column = first", "    times = (columns - first + columns_on - 1) >> (across + spread)"]
    lines.append("    while times > 0:")
    lines += [f"        {text.read(i, f'p{i}[bp{i} + column * sp{i}_{inner}]')}" for i in text.reads]
    lines += [f"        {line}" for line in text.body]
    lines += [f"        o{i}[bo{i} + column * so{i}_{inner}] = {value}" for i, value in enumerate(text.results)]
    lines += ["        column += columns_on", "        times -= 1", "    row += rows_on"]
    return _kernel(f"{ufunc.__name__}-rows{ndim}-{number}", text, tail, lines)
