"""Kernel text run as Python: loops without a compiler, and with every access held against the array's bounds.

`interpreted` gives the function that a loop's text defines. It computes what the compiled one would, on NumPy's memory
and by NumPy's and SciPy's functions; a loop whose turns do not depend on each other runs at once, on slices.
`Interpreted` is the target on which nbgrad.jit launches such functions, and `install` has the whole process interpret
its kernels, those of eager mode too. Memory that a program works in begins as 0xFF bytes, which are NaN.
"""

from __future__ import annotations

import ast
import ctypes
import functools
import math
import re
from collections.abc import Callable, Sequence
from functools import cache as once
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import stream
from peers import peer

from nbgrad.kernels import formula, scalars
from nbgrad.kernels.cpu import (
    caller,
    chain,
    codegen,
    compiler,
    failures,
    folding,
    fused,
    gufuncs,
    indexing,
    launch,
    matrix_vector,
    ndarray,
    products,
    rows,
    threads,
    ufunc,
)
from nbgrad.kernels.cpu.sizes import CHUNK, LANES, OUTPUTS, SIDE
from nbgrad.kernels.philox import GROUP
from nbgrad.kernels.placement import CPU

# ---- memory ---------------------------------------------------------------------------------------------------------


class Along:
    """The whole numbers start, start + step, ...: a loop's counter, or a place computed from it, in all turns."""

    __slots__ = ("count", "start", "step")

    def __init__(self, start: int, step: int, count: int) -> None:
        self.start, self.step, self.count = start, step, count

    def __add__(self, other: int) -> Along:
        return Along(self.start + other, self.step, self.count)

    def __mul__(self, other: int) -> Along:
        return Along(self.start * other, self.step * other, self.count)

    __radd__, __rmul__ = __add__, __mul__


def along(begin: int, end: int | None = None, step: int = 1) -> Along:
    """Give the turns of ``range(begin, end, step)``."""
    turns = range(begin) if end is None else range(begin, end, step)
    return Along(turns.start, turns.step, len(turns))


class Memory:
    """An array's memory, from `low` to `high`, and the place in it that an operand's pointer points to, in bytes."""

    def __init__(self, name: str, low: int, high: int, address: int, dtype: Any = None, owner: Any = None) -> None:
        self.name, self.low, self.high, self.address, self.dtype, self.owner = name, low, high, address, dtype, owner

    @classmethod
    def of(cls, name: str, array: Any, offset: int) -> Memory:
        """Give the memory of an array, and the place of the element `offset` bytes after its first."""
        low, high = np.lib.array_utils.byte_bounds(array)
        return cls(name, low, high if array.size else low, array.ctypes.data + offset, array.dtype, array)

    def pointer(self, dtype: Any) -> Pointer:
        """Give the pointer to elements of a dtype, which must be the array's."""
        if self.dtype is not None and self.dtype.itemsize != dtype.itemsize:
            raise AssertionError(f"operand {self.name} of dtype {self.dtype} is read as {dtype}")
        size = dtype.itemsize
        # where only steps are known, the last element is known by its beginning
        high = self.high if self.dtype is not None else self.high + size
        count = max(0, (high - self.low) // size)
        memory = (ctypes.c_char * (count * size)).from_address(self.low)
        return Pointer(self, np.ndarray((count,), dtype, memory), (self.address - self.low) // size)


class Pointer:
    """Elements from a place on; a whole number picks one, an `Along` or an array one for each turn."""

    __slots__ = ("array", "memory", "origin", "wide")

    def __init__(self, memory: Memory, array: Any, origin: int) -> None:
        self.memory, self.array, self.origin = memory, array, origin
        # Numba computes in 64 bits
        kind = array.dtype.kind if array.dtype.itemsize < 8 else ""
        self.wide = {"i": np.int64, "u": np.uint64}.get(kind)

    def _place(self, index: Any) -> Any:
        if type(index) is not Along:
            place = self.origin + index
            low, high = (place.min(), place.max()) if isinstance(place, np.ndarray) and place.ndim else (place, place)
            if not 0 <= low <= high < self.array.size:
                self._refuse(low, high)
            return place
        first = self.origin + index.start
        if not index.count:
            return slice(0, 0)
        last = first + index.step * (index.count - 1)
        if not (0 <= first < self.array.size and 0 <= last < self.array.size):
            self._refuse(first, last)
        if index.step > 0:
            return slice(first, last + 1, index.step)
        return slice(first, last - 1 if last else None, index.step) if index.step else first

    def _refuse(self, first: int, last: int) -> None:
        raise AssertionError(
            f"operand {self.memory.name}: elements {first} to {last} of its array's memory, which has "
            f"{self.array.size} of {self.array.dtype}"
        )

    def __getitem__(self, index: Any) -> Any:
        value = self.array[self._place(index)]
        if self.wide is not None:
            return value.astype(self.wide)
        return value.copy() if type(index) is Along else value

    def __setitem__(self, index: Any, value: Any) -> None:
        self.array[self._place(index)] = value


def poisoned(shape: Any, dtype: Any = np.float64) -> Any:
    """Give an array of which nothing has been written: NaN, and whole numbers as wrong as can be."""
    array = np.empty(shape, dtype)
    array.reshape(-1).view(np.uint8).fill(0xFF)
    return array


# ---- what kernel text calls ------------------------------------------------------------------------------------------

_SCALARS = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64")


def _sinpi(x: Any) -> Any:
    return np.sin(np.pi * np.remainder(x, 2))


def _inversion(a: Any, b: Any) -> Any:
    distance = np.hypot(a, b)
    return np.where((distance == 0) | np.isinf(distance), 0.0, a / distance / distance)


#: Functions that neither NumPy nor SciPy has by our name.
_OWN: dict[str, Callable[..., Any]] = {
    "bell": lambda x: np.exp(-x * x / 2),
    "cospi": lambda x: _sinpi(x + 0.5),
    "digamma": lambda x: peer("scipy.special").psi(x),
    "erfinv_slope": lambda y, x: np.sqrt(np.pi) / 2 * np.exp(y * y),
    "gaussian": lambda x: np.exp(-x * x),
    "hurwitz": lambda s, x: peer("scipy.special").zeta(s, x),
    "inversion": _inversion,
    "lgamma": lambda x: peer("scipy.special").gammaln(x),
    "normal_share": lambda x: peer("scipy.special").ndtr(x),
    "pow": np.power,
    "share": lambda a, b: np.where(a == b, 0.5, peer("scipy.special").expit(a - b)),
    "sigmoid": lambda x: peer("scipy.special").expit(x),
    "sinpi": _sinpi,
    "softplus": lambda x: np.logaddexp(x, 0.0),
}
_NUMPYS = {ours: numpys for numpys, ours in formula.NUMPY_NAMES.items()}


def elementary(name: str) -> Callable[..., Any]:
    """Give the function of NumPy or SciPy that an elementary function of ours is."""
    for candidate in (name, _NUMPYS.get(name, name), f"arc{name[1:]}" if name[0] == "a" else name):
        if candidate not in _OWN and isinstance(getattr(np, candidate, None), np.ufunc):
            return getattr(np, candidate)
    return _OWN[name] if name in _OWN else getattr(peer("scipy.special"), name)


def _rounded(number: Any, function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *xs: number(function(*map(np.float64, xs)))


def _converted(name: str) -> Callable[[Any], Any]:
    number = np.dtype("uint8" if name == "bool" else name).type
    if name.startswith("float") or name == "bool":
        return number
    wide = np.uint64 if name.startswith("u") else np.int64
    return lambda x: wide(np.asarray(x).astype(number))  # wraps around


def _pointer_to(name: str) -> Callable[[Any], Any]:
    dtype = np.dtype("uint8" if name == "bool" else name)
    return lambda x: x.pointer(dtype) if isinstance(x, Memory) else x


def _room_for(name: str, what: str, count: int) -> Callable[[], Pointer]:
    """Give the function that reserves memory on the stack."""
    dtype = "uint8" if name == "bool" else name

    def room() -> Pointer:
        array = poisoned(count, dtype)
        return Pointer(Memory.of(what, array, 0), array, 0)

    return room


def _select(condition: Any, first: Any, second: Any) -> Any:
    if isinstance(condition, np.ndarray) and condition.ndim:
        return np.where(condition, first, second)
    return first if condition else second


def _load(pointer: Pointer, index: Any) -> Any:
    return pointer[index]


def _load_within(pointer: Pointer, index: Any, turn: Any, first: int, count: int) -> Any:
    if type(turn) is not Along:
        return pointer[index] if first <= turn < first + count else pointer.array.dtype.type(0)
    value = np.zeros(turn.count, pointer.array.dtype)
    begin, end = max(first - turn.start, 0), min(max(first + count - turn.start, 0), turn.count)
    if begin < end:
        value[begin:end] = pointer[Along(index.start + index.step * begin, index.step, end - begin)]
    return value


def _within(value: Any, turn: Any, first: int, count: int) -> Any:
    turns = np.arange(turn.start, turn.start + turn.count) if type(turn) is Along else turn
    return _select((first <= turns) & (turns < first + count), value, type(value)(0))


def _store(pointer: Pointer, index: Any, value: Any) -> None:
    pointer[index] = value


def _move_square(x: Pointer, first: int, step: int, y: Pointer, place: int, stride: int) -> None:
    for i in range(SIDE):
        for j in range(SIDE):
            y[place + j * stride + i] = x[first + i * step + j]


@once
def numbers() -> dict[str, Any]:
    """Give what the kernels of every target call by these names: conversions, and elementary functions."""
    names: dict[str, Any] = {name: _converted(name) for name in _SCALARS}
    for function in vars(scalars).values():
        if isinstance(function, formula.ScalarFunction) and "_{number}(" in function.template:
            for number in ("float32", "float64"):
                names[f"{function.name}_{number}"] = _rounded(np.dtype(number).type, elementary(function.name))
    for name, function in (("ceil", np.ceil), ("floor", np.floor), ("nearest", np.rint), ("trunc", np.trunc)):
        names |= {f"{name}_{number}": function for number in ("float32", "float64")}
    return names


def _draw(kind: str, dtype: str, values: Pointer, state: Pointer, first: int, count: int) -> int:
    first, count = int(first), int(count)
    shift = first % GROUP[dtype]
    drawn = stream.elements(kind, dtype, [state[0], state[1]], np.arange(first - shift, first + count))
    values[Along(0, 1, shift + count)] = drawn
    return shift


@once
def _namespace(lanes: int, chunk: int) -> dict[str, Any]:
    names: dict[str, Any] = {
        **numbers(),
        "np": SimpleNamespace(uintp=lambda n: int(n) % 2**64),
        "share": indexing._refuse,  # no other loop is long enough to share its work
        "math": SimpleNamespace(sqrt=np.sqrt),
        "select": _select,
        "negated": np.logical_not,
        "along": along,
        "load": _load,
        "load_within": _load_within,
        "within": _within,
        "move_square": _move_square,
        "prefetch": lambda pointer, index: None,
        "offset": lambda pointer, index: Pointer(pointer.memory, pointer.array, pointer.origin + index),
        "address": lambda x: x.address if isinstance(x, Memory) else x,
        **dict.fromkeys(("align_stack", "short_vectors", "clear_exceptions", "clear_all_exceptions"), lambda: None),
        "never_inline": lambda: None,
        "gathering": lambda *kind: _defined(folding.gathering_source(*kind, lanes), "gather", names),
        "drawing": lambda kind, dtype: functools.partial(_draw, kind, dtype),
        "short_rows": lambda *kind: _defined(folding.row_source(*kind), "row", names),
        "folding": lambda *kind: _defined(folding.folding_source(*kind), "fold", names),
    }
    for i in range(OUTPUTS):
        names |= {f"load_back_{i}": _load, f"store_{i}": _store}
    for name in _SCALARS:
        names[f"{name}_pointer"] = _pointer_to(name)
        names |= {f"{name}_{what}": _room_for(name, what, n) for what, n in (("lanes", lanes), ("chunk", chunk))}
        names[f"{name}_room"] = lambda count, name=name: _room_for(name, "room", count)()
    return names


def _defined(source: str, name: str, names: dict[str, Any]) -> Callable[..., Any]:
    """Give the function that a text defines."""
    namespace = dict(names)
    exec(compile(rewritten(source), "<interpreted function>", "exec"), namespace)
    function: Callable[..., Any] = namespace[name]
    return function


# ---- from text to function -------------------------------------------------------------------------------------------


#: The counters of loops over neighbours, from which places are computed by sums and products alone.
_LOOP = re.compile(r"( *)for (i|j|lane|place) in range\((.*)\):")


class _Choices(ast.NodeTransformer):
    """Writes choices as calls, which take slices as well."""

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        return ast.Call(ast.Name("select"), [node.test, node.body, node.orelse], [])

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        self.generic_visit(node)
        return ast.Call(ast.Name("negated"), [node.operand], []) if isinstance(node.op, ast.Not) else node


@once
def _with_calls(line: str) -> str:
    """Write a line without Python's choices. Lines are few, and the same in many kernels."""
    if line.endswith(":") or not re.search(r" if |\bnot ", line):
        return line
    return ast.unparse(_Choices().visit(ast.parse(line)))


class _Line(NamedTuple):
    """What a line of a loop does: the name it assigns, or the names in the place where it puts something."""

    target: str | None
    place: frozenset[str] | None
    read: frozenset[str]
    simple: bool


@once
def _understood(line: str) -> _Line:
    if line.endswith(":") or line == "return":
        return _Line(None, None, frozenset(), False)
    (step,) = ast.parse(line).body
    if isinstance(step, ast.Expr):
        assert isinstance(step.value, ast.Call)
        return _Line(None, _names(step.value.args[1]), _names(step.value), True)  # store(pointer, place, value)
    assert isinstance(step, ast.Assign | ast.AugAssign)
    target = step.targets[0] if isinstance(step, ast.Assign) else step.target
    if isinstance(target, ast.Subscript):
        return _Line(None, _names(target.slice), _names(step.value), True)
    assert isinstance(target, ast.Name)
    return _Line(target.id, None, _names(step.value), isinstance(step, ast.Assign))


def _names(node: ast.AST) -> frozenset[str]:
    return frozenset(x.id for x in ast.walk(node) if isinstance(x, ast.Name))


def _independent(counter: str, body: Sequence[str]) -> bool:
    """Tell whether a loop's turns may run at once: each writes to places of its own, and reads no other one's names."""
    steps = [_understood(line) for line in body]
    written = {step.target for step in steps}
    moving, assigned = {counter}, set()
    for step in steps:
        if not step.simple or (step.read & written) - assigned or (step.place is not None and not step.place & moving):
            return False
        if step.target is not None:
            assigned.add(step.target)
            if step.read & moving:
                moving.add(step.target)
    return True


def rewritten(source: str) -> str:
    """Write kernel text for slices: choices become calls, and loops whose turns are independent one turn."""
    lines = [line.partition("  #")[0] for line in source.splitlines()]
    result, number = [], 0
    while number < len(lines):
        line = lines[number]
        number += 1
        loop = _LOOP.fullmatch(line)
        indent = len(line) - len(line.lstrip())
        if loop is not None:
            end = number
            while end < len(lines) and lines[end].startswith(" " * (indent + 1)):
                end += 1
            body = [text.lstrip() for text in lines[number:end]]
            if _independent(loop[2], body):
                result.append(f"{loop[1]}{loop[2]} = along({loop[3]})")
                result += [loop[1] + _with_calls(text) for text in body]
                number = end
                continue
        result.append(" " * indent + _with_calls(line.lstrip()))
    return "\n".join(result) + "\n"


@once
def interpreted(source: str, lanes: int = LANES, chunk: int = CHUNK) -> Callable[..., None]:
    """Give the function ``loop(args, dims, steps)`` of a text; `args` are `Memory` and numbers."""
    names = dict(_namespace(lanes, chunk))
    exec(compile(rewritten(source), "<interpreted kernel>", "exec"), names)
    loop = names["loop"]

    def run(args: Sequence[Any], dims: Sequence[int], steps: Sequence[int] = ()) -> None:
        with np.errstate(all="ignore"):
            loop(args, dims, steps, (math.inf,))

    return run


# ---- under jit -------------------------------------------------------------------------------------------------------


class Interpreted(compiler.Compiler):
    """The CPU, where loops are interpreted."""

    empty = staticmethod(poisoned)

    def fits(self, arrays: Sequence[Any]) -> None:
        """Give no quick test: it would be compiled."""

    def source(self, nest: Any) -> str:
        """Write a nest's loop, for as many lanes as there are now."""
        self._texts.clear()
        return super().source(nest)

    def begin(self, label: str, nest: Any, blocks: int, elements: int) -> None:
        """Compile nothing."""

    def loops(
        self, label: str, nest: Any, sizes: Sequence[int], blocks: int, offsets: Sequence[int], elements: int
    ) -> Any:
        """Give the launches of a nest, as functions of its operands' arrays."""
        launched = self._nest(nest, sizes, offsets)
        counts = [blocks, 0] if nest.partials and blocks > 1 else [blocks]
        return [(functools.partial(launched, 0, count), None) for count in counts]

    def _nest(self, nest: Any, sizes: Sequence[int], offsets: Sequence[int]) -> Callable[..., None]:
        """Give a nest's loop as a function of the first block, the number of blocks, and the operands' arrays."""
        loop = interpreted(self.source(nest), fused.LANES, fused.CHUNK)
        operands = list(zip(nest.operands, offsets, strict=True))

        def run(first: int, count: int, *arrays: Any) -> None:
            given = [Memory.of(o.name, x, offset) for (o, offset), x in zip(operands, arrays, strict=True)]
            for (operand, _), x in zip(operands, arrays, strict=True):
                assert x.dtype == operand.held, f"operand {operand.name} of {operand.held} got {x.dtype}"
            loop([first, sizes, *given], [count])

        return run

    def _product(self, dtype: str, text: str, table: Sequence[int], offsets: Sequence[int]) -> Callable[..., None]:
        """Give a product's loop, likewise."""
        loop, places = interpreted(text), [*offsets, 0]

        def run(first: int, count: int, *arrays: Any) -> None:
            given = [Memory.of(name, x, offset) for name, x, offset in zip("xwyp", arrays, places, strict=False)]
            assert all(x.dtype == dtype for x in arrays)
            loop([first, table, *given], [count])

        return run

    def product_loop(self, dtype: str, sizes: Sequence[int], steps: Sequence[int], offsets: Sequence[int]) -> Any:
        """Give the loop of a product, as a function of its operands' arrays."""
        form, room = matrix_vector.form_of(dtype, sizes, steps), 0
        if form is not None:
            each, blocks = matrix_vector.blocks_of(dtype, form)
            text, room = matrix_vector.source(dtype, form.folds), matrix_vector.room(form, blocks)
            table, counts = matrix_vector.sizes(form, each, 1, blocks), [blocks, 0] if room else [blocks]
        elif products.is_small(*sizes):
            text, table, counts = products.launched(dtype), [*sizes, *steps], [1]
        else:
            return None
        run = self._product(dtype, text, table, offsets)
        return lambda: [(functools.partial(run, 0, count), None) for count in counts], text, room

    def chained(self, dtype: str, multiplied: Any, loop: Any, lines: int) -> Any:
        """Give what runs three loops one after the other for each block."""
        _, nest, sizes, blocks, offsets, _ = loop
        forms = [matrix_vector.form_of(dtype, *each[:2]) for each in multiplied]
        together, parts = chain.blocks_of(forms[0].lines, lines)
        stages = [
            self._product(
                dtype,
                matrix_vector.source(dtype, form.folds),
                matrix_vector.sizes(form, lines, together, parts),
                each[2],
            )
            for form, each in zip(forms, multiplied, strict=True)
        ]
        stages.insert(1, self._nest(nest, sizes, offsets))
        ends = [3, 3 + len(nest.operands)]

        def run(*arrays: Any) -> None:
            for block in range(blocks):
                for stage, begin, end in zip(stages, [0, *ends], [*ends, None], strict=True):
                    stage(block, 1, *arrays[begin:end])

        of_loop, of_second = ([(functools.partial(stage, 0, 0), None)] for stage in stages[1:])
        whole = [(run, None)], of_loop if nest.partials and blocks > 1 else [], of_second if parts > 1 else []
        return lambda: whole, matrix_vector.room(forms[1], parts)

    def rows(self, what: str, dtype: str, sizes: Sequence[int], steps: Sequence[int], offsets: Sequence[int]) -> Any:
        """Give the loop that picks rows or adds them up, as a function of its operands' arrays."""
        _, number, _, width = sizes
        count, in_block = rows.blocks(what, number, width, np.dtype(dtype).itemsize)
        text = rows.source(what, dtype)
        loop = interpreted(text)

        def run(*arrays: Any) -> None:
            given = [Memory.of(name, x, offset) for name, x, offset in zip("xiyo", arrays, offsets, strict=True)]
            assert [x.dtype for x in arrays] == [dtype, np.int64, dtype, np.int64]
            loop([0, [*sizes, in_block, count, *steps], *given], [count])

        return [(run, None)], text


def interpret_loops(monkeypatch: Any, kind: type[Interpreted] = Interpreted) -> None:
    """Have the loops of jit interpreted for the rest of a test."""
    monkeypatch.setitem(vars(CPU), "compiler", kind(CPU))


_SIZES = compiler.Compiler._block, LANES, CHUNK, chain._BYTES


def cut_small(small: bool) -> None:
    """Have loops written from now on in many blocks, few lanes and short chunks, which small arrays fill; or not."""
    Interpreted._block, fused.LANES, fused.CHUNK, chain._BYTES = (40, 4, 16, 512) if small else _SIZES


# ---- eager mode ------------------------------------------------------------------------------------------------------

_LARGEST = 8  # bytes that an element has

_kept: list[Any] = []
#: The generalised ufuncs' signature, while one of their loops is asked for.
_signature: list[str | None] = [None]


def _extents(signature: str | None, dims: Sequence[int], steps: Sequence[int], operands: int) -> list[tuple[int, int]]:
    """Give the distances of the first and the last element of each operand from where its pointer points, in bytes."""
    parts: list[list[str]] = [[]] * operands
    if signature is not None:
        parts = [part.split(",") if part else [] for part in re.findall(r"\((.*?)\)", signature)]
    sizes = dict(zip(dict.fromkeys(name for part in parts for name in part), dims[1:], strict=True))
    rest = iter(steps[operands:])
    extents = []
    for step, part in zip(steps, parts, strict=False):
        spans = [((size - 1) * step, size) for size, step in ((dims[0], step), *((sizes[n], next(rest)) for n in part))]
        low, high = sum(min(0, span) for span, _ in spans), sum(max(0, span) for span, _ in spans)
        # the last element lies before the first where there are none
        extents.append((low, high) if all(size for _, size in spans) else (0, -_LARGEST))
    return extents


def _address(name: str, source: str, entry: str = "loop", fastmath: tuple[str, ...] = ()) -> int:
    """Give the address of a ufunc's loop that is interpreted."""
    assert entry == "loop", f"{name} would be compiled"
    signature = _signature[0]
    operands = 1 + max(map(int, re.findall(r"args\[(\d+)\]", source)))
    core = (
        [] if signature is None else [n for part in re.findall(r"\((.*?)\)", signature) for n in part.split(",") if n]
    )
    count, sizes = operands + len(core), 1 + len(set(core))
    loop = interpreted(source)

    def call(args: int, dims: int, steps: int, data: int) -> object:
        try:
            places = (ctypes.c_int64 * operands).from_address(args)
            shape = list((ctypes.c_int64 * sizes).from_address(dims))
            strides = list((ctypes.c_int64 * count).from_address(steps))
            extents = _extents(signature, shape, strides, operands)
            loop(
                [
                    Memory(f"args[{i}] of {name}", p + low, p + high, p)
                    for i, (p, (low, high)) in enumerate(zip(places, extents, strict=True))
                ],
                shape,
                strides,
            )
        except BaseException as error:
            return failures.raise_afterwards(error)
        return None

    callback = threads.LOOP(call)
    _kept.append(callback)
    return ctypes.cast(callback, ctypes.c_void_p).value or 0


def installed() -> bool:
    """Tell whether this process interprets its kernels."""
    return codegen.address is _address


def install() -> None:
    """Have this process interpret kernels from now on: only loops that are written by hand are still compiled."""
    if installed():
        return
    made = ufunc.make

    def make(
        name: str, types: Any, outputs: int, compile_loop: Any, signature: str | None = None, entry: Any = None
    ) -> np.ufunc:
        def compile_interpreted(codes: Any) -> tuple[int, int]:
            _signature[0] = signature
            return compile_loop(codes)[0], threads.NEVER

        return made(name, types, outputs, compile_interpreted, signature, entry)

    ufunc.make = make
    gufuncs.codegen = SimpleNamespace(address=codegen.address)  # loops that are written by hand stay compiled
    codegen.address = _address
    caller.layout_holds = launch.layout_holds = ndarray.layout_holds = lambda: False
    vars(CPU)["compiler"] = Interpreted(CPU)
