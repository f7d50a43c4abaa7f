"""Random programs: eager mode, nbgrad.jit and torch must agree on values, gradients and Hessian-vector products.

    python -m tests.random_programs --count 20000 --seed 1

tries programs 1, 2, ... on all cores, with all kernels interpreted (see tests/interpreter.py), and prints the smallest
program of each kind of disagreement; with --large eager mode alone, on arrays that are too large for that. A program is
a list of instructions: an operation, the values it takes by their numbers, and what else it needs. Elementwise
operations and reductions are those of tests/cases.py.
"""

from __future__ import annotations

import argparse
import functools
import math
import multiprocessing
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))

import interpreter
from cases import ELEMENTWISE, LAYOUTS, NORMS, REDUCTIONS, SCANS, STATISTICS, TRUTH, WITHOUT_NAN, numbered
from peers import peer

import nbgrad
from nbgrad import Variable

#: The most elements that a value has.
MOST = 72

#: Reductions; deviations have no derivative where they are 0, which they often are of few elements, nor have norms.
FOLDS = [*REDUCTIONS, *(case for case in STATISTICS if case.name == "var"), *WITHOUT_NAN, NORMS[0]]


class Operation(NamedTuple):
    """What an instruction does, here and in torch, of values and of parameters."""

    ours: Callable[..., Any]
    #: Takes torch's module first.
    torch: Callable[..., Any]
    #: Gives the shape of the result, of the values' shapes and the parameters.
    shape: Callable[..., tuple[int, ...]]
    #: How it is written, with "{0}", "{1}" for the values and "{p}" for the parameters.
    text: str
    kind: str = "elementwise"


def _view(function: Callable[..., Any]) -> Callable[..., tuple[int, ...]]:
    """Give the shapes of what NumPy's function gives."""
    return lambda *given: function(*(np.broadcast_to(np.int8(0), g) if _is_shape(g) else g.value for g in given)).shape


class Parameter:
    """What an instruction has besides values, told apart from their shapes."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _is_shape(given: Any) -> bool:
    return not isinstance(given, Parameter)


def _torch_index(t: Any, x: Any, key: Any) -> Any:
    axis, parts = 0, []
    for part in key:
        if isinstance(part, slice):  # torch has no negative steps
            x = x.index_select(axis, t.tensor(np.arange(x.shape[axis])[part].copy()))
            part = slice(None)
        axis += part is not None
        parts.append(part)
    return x[tuple(parts)]


def _torch_cross_entropy(t: Any, x: Any, classes: Any) -> Any:
    return t.nn.functional.cross_entropy(x, t.tensor(classes))


def _detached(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function that is flat everywhere: torch raises for some of them."""
    return lambda t, *xs: function(t, *(x.detach() for x in xs))


def _joined(name: str) -> Operation:
    return Operation(
        lambda *xs: getattr(nbgrad, name)(xs[:-1], xs[-1]),
        lambda t, *xs: getattr(t, name)(xs[:-1], xs[-1]),
        _view(lambda *xs: (np.concatenate if name == "cat" else np.stack)(xs[:-1], xs[-1])),
        f"nbgrad.{name}([{{all}}], {{p}})",
        "other",
    )


def _within(low: float, high: float) -> tuple[float, float]:
    """Give the middle and the half width of the inside of an interval."""
    return (low + high) / 2, (high - low) * 0.49


def _torch_logcumsumexp(t: Any, x: Any, dim: int) -> Any:
    """Give what torch's logcumsumexp gives, whose second derivative is wrong where a cotangent is 0."""
    if not x.ndim or not x.shape[dim]:
        return x.logcumsumexp(dim)
    parts = list(x.unbind(dim))
    for place in range(1, len(parts)):
        parts[place] = t.logaddexp(parts[place - 1], parts[place])
    return t.stack(parts, dim)


OPERATIONS: dict[str, Operation] = {
    **{
        name: Operation(
            case.function,
            case.torch if case.differentiable else _detached(case.torch),
            np.broadcast_shapes,
            f"CASE[{name!r}]({{all}})" if "-" in name else f"nbgrad.{name}({{all}})",
        )
        for name, case in zip(numbered(ELEMENTWISE), ELEMENTWISE, strict=True)
    },
    **{
        r.name: Operation(
            r.function,
            lambda t, x, axes, keepdim, r=r: r.torch(t, x, list(axes), keepdim),
            _view(lambda x, axes, keepdim: np.sum(x, axes, keepdims=keepdim)),
            f"nbgrad.{r.name}({{0}}, {{p}})"
            if r.function is getattr(nbgrad, r.name, None)
            else f"FOLDS[{r.name!r}]({{0}}, {{p}})",
            "other",
        )
        for r in FOLDS
    },
    **{
        scan.name: Operation(
            scan.function,
            _torch_logcumsumexp if scan.name == "logcumsumexp" else scan.torch,
            _view(lambda x, axis: x),
            f"nbgrad.{scan.name}({{0}}, {{p}})" + "[0]" * scan.name.startswith("cumm"),
            "other",
        )
        for scan in SCANS
    },
    **{
        name: Operation(
            getattr(nbgrad, name),
            lambda t, x, axis, name=name: getattr(t, name)(x, axis),
            _view(lambda x, axis: x),
            f"nbgrad.{name}({{0}}, {{p}})",
            "other",
        )
        for name in ("softmax", "log_softmax")
    },
    **{
        name: Operation(
            lambda x, axis, name=name: getattr(nbgrad, name)(x, axis).values,
            lambda t, x, axis, name=name: getattr(t, name)(x, axis).values,
            _view(lambda x, axis: x.sum(axis)),
            f"nbgrad.{name}({{0}}, {{p}}).values",
            "other",
        )
        for name in ("max", "min")
    },
    # torch takes the slope of a**b by a for flat at b = 0, also along b
    "pow": Operation(nbgrad.pow, lambda t, x, y: t.exp(y * t.log(x)), np.broadcast_shapes, "nbgrad.pow({0}, {1})"),
    # a value brought into an interval
    "within": Operation(
        lambda x, middle, half: nbgrad.sin(x) * half + middle,
        lambda t, x, middle, half: t.sin(x) * half + middle,
        _view(lambda x, middle, half: x),
        "nbgrad.sin({0}) * {p1} + {p0}",
        "other",
    ),
    "number": Operation(
        lambda x, a, b: (x * a - b) / 3,
        lambda t, x, a, b: (x * a - b) / 3,
        _view(lambda x, a, b: x),
        "({0} * {p0} - {p1}) / 3",
        "other",
    ),
    "outside": Operation(
        lambda x, array: x * array,
        lambda t, x, array: x * t.tensor(np.array(array, order="C")),
        _view(np.multiply),
        "{0} * {p}",
        "other",
    ),
    "count": Operation(
        lambda x, axes: nbgrad.sum(x, axes).astype("float64"),
        lambda t, x, axes: x.sum(axes).to(t.float64),
        _view(np.sum),
        "nbgrad.sum({0}, {p}).astype('float64')",
        "other",
    ),
    "astype": Operation(
        nbgrad.astype,
        lambda t, x, dtype: x.to(getattr(t, dtype)),
        _view(lambda x, dtype: x),
        "nbgrad.astype({0}, {p})",
        "other",
    ),
    "detach": Operation(lambda x: x.detach(), lambda t, x: x.detach(), _view(lambda x: x), "{0}.detach()", "other"),
    # views
    "permute": Operation(
        nbgrad.permute, lambda t, x, order: x.permute(order), _view(np.transpose), "nbgrad.permute({0}, {p})", "other"
    ),
    "reshape": Operation(
        nbgrad.reshape, lambda t, x, shape: x.reshape(shape), _view(np.reshape), "nbgrad.reshape({0}, {p})", "other"
    ),
    "index": Operation(lambda x, key: x[key], _torch_index, _view(lambda x, key: x[key]), "{0}[{p}]", "other"),
    "broadcast_to": Operation(
        nbgrad.broadcast_to,
        lambda t, x, shape: t.broadcast_to(x, shape),
        _view(np.broadcast_to),
        "nbgrad.broadcast_to({0}, {p})",
        "other",
    ),
    "flip": Operation(
        lambda x, dims: nbgrad.flip(x, dims),
        lambda t, x, dims: x.flip(dims),
        _view(np.flip),
        "nbgrad.flip({0}, {p})",
        "other",
    ),
    "split": Operation(
        lambda x, size, axis: nbgrad.split(x, size, axis)[-1],
        lambda t, x, size, axis: x.split(size, axis)[-1],
        _view(lambda x, size, axis: np.split(x, range(size, x.shape[axis], size), axis)[-1]),
        "nbgrad.split({0}, {p})[-1]",
        "other",
    ),
    "diff": Operation(
        nbgrad.diff, lambda t, x, n, axis: x.diff(n, axis), _view(np.diff), "nbgrad.diff({0}, {p})", "other"
    ),
    # elements picked and joined
    "pick": Operation(
        lambda x, *key: x[key],
        lambda t, x, *key: x[tuple(t.tensor(part) if isinstance(part, np.ndarray) else part for part in key)],
        _view(lambda x, *key: x[key]),
        "{0}[{p}]",
        "other",
    ),
    "take_along_dim": Operation(
        nbgrad.take_along_dim,
        lambda t, x, index, axis: t.take_along_dim(x, t.tensor(index), axis),
        _view(np.take_along_axis),
        "nbgrad.take_along_dim({0}, {p})",
        "other",
    ),
    "cat": _joined("cat"),
    "stack": _joined("stack"),
    # products
    "matmul": Operation(
        nbgrad.matmul,
        lambda t, x, y: t.matmul(x, y),
        _view(np.matmul),
        "nbgrad.matmul({0}, {1})",
        "other",
    ),
    "cross_entropy": Operation(
        nbgrad.nn.functional.cross_entropy,
        _torch_cross_entropy,
        lambda *given: (),
        "nbgrad.nn.functional.cross_entropy({0}, {p})",
        "other",
    ),
}
DOMAINS = dict(zip(numbered(ELEMENTWISE), [case.domains for case in ELEMENTWISE], strict=True))


class Instruction(NamedTuple):
    """An operation of values by their numbers, which gives the value `number`."""

    number: int
    name: str
    operands: tuple[int, ...]
    parameters: tuple[Any, ...]
    shape: tuple[int, ...]

    def __str__(self) -> str:
        names = [f"v{i}" for i in self.operands]
        given = list(map(_written, self.parameters))
        text = OPERATIONS[self.name].text.replace("{all}", ", ".join(names)).replace("{p}", ", ".join(given))
        for kind, parts in (("", names), ("p", given)):
            for i, part in enumerate(parts):
                text = text.replace(f"{{{kind}{i}}}", part)
        return f"v{self.number} = {text}"


def _written(parameter: Any) -> str:
    if isinstance(parameter, np.ndarray):
        return f"np.array({parameter.round(3).tolist()})"
    if isinstance(parameter, tuple):
        return f"({''.join(f'{_written(part)}, ' for part in parameter)})"
    return repr(parameter)


class Input(NamedTuple):
    """An argument of a program: the value `number`."""

    number: int
    shape: tuple[int, ...]
    dtype: str
    layout: str = "contiguous"
    #: Whether its elements are of few values, so that there are zeros and equal ones.
    few: bool = False

    def __str__(self) -> str:
        elements = self.array().tolist() if math.prod(self.shape) <= MOST else "of -1, -0.5, 0, 0.5, 1"
        values = f" with elements {elements}" if self.few else ""
        return f"v{self.number} = {self.layout} {self.dtype} of {self.shape}{values}"

    def array(self, other: int = 0) -> Any:
        """Give its elements, the same ones each time, or other ones."""
        random = np.random.default_rng([self.number, *self.shape, other])
        values = random.integers(-2, 3, self.shape) / 2 if self.few else random.normal(size=self.shape)
        return LAYOUTS[self.layout](np.asarray(values, self.dtype))


class Program(NamedTuple):
    """Instructions, which of their values are results, and how far they are differentiated, under which jit."""

    inputs: tuple[Input, ...]
    steps: tuple[Instruction, ...]
    outputs: tuple[int, ...]
    order: int
    way: str
    #: Whether loops are cut into many small blocks, lanes and chunks.
    pieces: bool
    seed: int

    def __str__(self) -> str:
        lines = [f"# seed {self.seed}, jit of {self.way}, order {self.order}{', in pieces' if self.pieces else ''}"]
        lines += [str(x) for x in self.inputs]
        lines += [f"{step}  # {step.shape}" for step in self.steps]
        return "\n".join([*lines, f"return {', '.join(f'v{i}' for i in self.outputs)}"])

    @property
    def dtypes(self) -> set[str]:
        """The dtypes that it computes in."""
        return {x.dtype for x in self.inputs} | {s.parameters[0] for s in self.steps if s.name == "astype"}


# ---- writing programs -----------------------------------------------------------------------------------------------


class Writer:
    """Writes the program of a seed."""

    def __init__(self, seed: int, large: bool = False) -> None:
        self.random = random = np.random.default_rng(seed)
        self.most = 9000 if large else MOST
        self.shapes: list[tuple[int, ...]] = []
        self.truths: set[int] = set()
        self.used: set[int] = set()
        self.steps: list[Instruction] = []
        known = [1, 2, 37, 60, 130, 9] if large else [1, 2, 3, 4, 5, 6]
        sizes = random.choice(known, size=3, p=[0.1, 0.25, 0.25, 0.2, 0.1, 0.1])
        dtypes = [["float64"], ["float64"], ["float64"], ["float32"], ["float32", "float64"]][random.integers(5)]
        layouts = ["contiguous"] * 3 + ["strided", "negative-stride", "Fortran-ordered"]
        inputs = []
        for number in range(random.integers(1, 4)):
            shape = tuple(map(int, random.choice(sizes, size=random.choice(5, p=[0.1, 0.2, 0.35, 0.25, 0.1]))))
            while math.prod(shape) > self.most:
                shape = shape[1:]
            layout = layouts[random.integers(len(layouts))] if shape else "contiguous"
            dtype = dtypes[random.integers(len(dtypes))]
            # sums of many equal numbers are 0 or not as they round, which comparisons make 1 or 0 of
            few = not random.integers(5) and not large
            inputs.append(Input(number, shape, dtype, layout, few))
            self.shapes.append(shape)
        self.mixed = len(dtypes) > 1
        length = int(random.choice([5, 10, 20, 35, 50], p=[0.25, 0.35, 0.25, 0.1, 0.05]))
        kinds = self.KINDS if random.integers(12) else (Writer.across,)
        for _ in range(20 * length):
            if len(self.steps) >= length:
                break
            number = self.recent()
            kind = kinds[random.integers(len(kinds))]
            kind(self, number, self.shapes[number])
        outputs = [s.number for s in self.steps if s.number not in self.used]
        outputs += [int(i) for i in random.integers(len(self.shapes), size=random.integers(0, 2))]
        self.program = Program(
            tuple(inputs),
            tuple(self.steps),
            tuple(dict.fromkeys(i for i in outputs if i not in self.truths)),
            int(random.choice([0, 1, 2, 2])),
            list(_WAYS)[random.integers(len(_WAYS) - 1)],
            bool(random.integers(2)),
            seed,
        )

    def recent(self) -> int:
        """Choose a value, a late one mostly."""
        tries = 0
        while True:
            tries += 1
            number = len(self.shapes) - 1 - min(int(self.random.geometric(0.4)) - 1, len(self.shapes) - 1)
            if number not in self.truths and (tries > 4 or math.prod(self.shapes[number]) > 1):
                return number

    def add(self, name: str, operands: Sequence[int], *parameters: Any, truth: bool = False) -> int | None:
        """Add an instruction; None where its result would have too many elements."""
        given = [self.shapes[i] for i in operands]
        operation = OPERATIONS[name]
        shape = tuple(map(int, operation.shape(*given, *map(Parameter, parameters))))
        if math.prod(shape) > self.most or len(shape) > 5:
            return None
        number = len(self.shapes)
        self.shapes.append(shape)
        self.used |= set(operands)
        if truth:
            self.truths.add(number)
        self.steps.append(Instruction(number, name, tuple(operands), parameters, shape))
        return number

    def into(self, number: int, domain: Any) -> int:
        """Bring a value into one of the intervals of a domain."""
        found = self.add("within", [number], *_within(*domain[self.random.integers(len(domain))]))
        assert found is not None
        return found

    def beside(self, shape: tuple[int, ...], truth: bool = False) -> int | None:
        """Choose a value that broadcasts with a shape, and is not much larger with it."""
        fitting = []
        for number, other in enumerate(self.shapes):
            try:
                if (number in self.truths) is truth and math.prod(np.broadcast_shapes(shape, other)) <= self.most:
                    fitting.append(number)
            except ValueError:
                pass
        return fitting[self.random.integers(len(fitting))] if fitting else None

    def elementwise(self, number: int, shape: tuple[int, ...]) -> None:
        name = list(DOMAINS)[self.random.integers(len(DOMAINS))]
        operands: list[int] = []
        for domain in DOMAINS[name]:
            if domain == TRUTH:
                found = self.beside(shape, truth=True)
                if found is None or not self.random.integers(3):
                    other = self.beside(shape)
                    found = self.add(["lt", "ge", "ne"][self.random.integers(3)], [number, other], truth=True)
            else:
                found = self.into(number if not operands else self.beside(shape), domain)
            if found is None:
                return
            operands.append(found)
            shape = np.broadcast_shapes(shape, self.shapes[found])
        self.add(name, operands, truth=name in _TRUTHS)

    def reduction(self, number: int, shape: tuple[int, ...]) -> None:
        name = FOLDS[self.random.integers(len(FOLDS))].name
        axes = self.axes(shape)
        if name == "prod":
            number = self.into(number, ((0.7, 1.3),) if self.random.integers(2) else ((-1.2, 1.2),))
        elif self.random.integers(2):
            number = self.into(number, ((-2.0, 2.0),))
        self.add(name, [number], axes, bool(self.random.integers(2)))

    def axes(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Choose some axes, or all of them."""
        everything = tuple(range(len(shape)))
        some = tuple(axis for axis in everything if self.random.integers(2))
        return some if some and self.random.integers(4) else everything

    def across(self, number: int, shape: tuple[int, ...]) -> None:
        """Use the sums of some values with the next ones, of whatever sizes: all loops wait for each other's."""
        values = [i for i in range(len(self.shapes)) if i not in self.truths]
        inner = [self.into(values[i], ((-2.0, 2.0),)) for i in self.random.integers(len(values), size=3)]
        totals = [self.add("sum", [i], tuple(range(len(self.shapes[i]))), False) for i in inner]
        for place in self.random.permutation(3)[: self.random.integers(2, 4)]:
            total = totals[(place + 1) % 3]
            assert total is not None
            self.add(["mul", "add"][self.random.integers(2)], [inner[place], total])

    def spread(self, number: int, shape: tuple[int, ...]) -> None:
        name = ["softmax", "log_softmax", "max", "min"][self.random.integers(4)]
        if shape:
            self.add(name, [number], int(self.random.integers(-len(shape), len(shape))))

    def scan(self, number: int, shape: tuple[int, ...]) -> None:
        name = SCANS[self.random.integers(len(SCANS))].name
        if name == "cumprod":
            number = self.into(number, ((-1.2, 1.2),))
        elif self.random.integers(2):
            number = self.into(number, ((-2.0, 2.0),))
        if shape:
            self.add(name, [number], int(self.random.integers(-len(shape), len(shape))))

    def view(self, number: int, shape: tuple[int, ...]) -> None:
        """A view, and a view of it, and so on."""
        for _ in range(self.random.integers(1, 6)):
            kind = self.VIEWS[self.random.integers(len(self.VIEWS))]
            found = kind(self, number, self.shapes[number])
            number = number if found is None else found

    def permute(self, number: int, shape: tuple[int, ...]) -> int | None:
        return self.add("permute", [number], tuple(map(int, self.random.permutation(len(shape)))))

    def reshape(self, number: int, shape: tuple[int, ...]) -> int | None:
        rest = math.prod(shape)
        sizes = []
        while rest > 1 and len(sizes) < 4:
            divisors = [n for n in range(1, rest + 1) if rest % n == 0]
            sizes.append(divisors[self.random.integers(len(divisors))])
            rest //= sizes[-1]
        sizes += [rest] if rest > 1 else []
        wanted = [sizes[i] for i in self.random.permutation(len(sizes))]
        if wanted and not self.random.integers(3):
            wanted[self.random.integers(len(wanted))] = -1
        return self.add("reshape", [number], tuple(map(int, wanted)))

    def index(self, number: int, shape: tuple[int, ...]) -> int | None:
        random = self.random
        key: list[Any] = []
        for size in shape:
            kind = random.integers(10)
            low, high = sorted(int(i) for i in random.integers(0, size + 1, size=2))
            if kind == 0:
                key.append(int(random.integers(-size, size)))
            elif kind == 1:
                key.append(slice(None, None, -1))
            elif kind == 2:
                key.append(
                    slice(low, high if high > low else low + 1 if low < size else None, int(random.integers(1, 3)))
                )
            elif kind == 3:
                key.append(slice(None, None, -2))
            elif kind == 4:
                key.append(slice(int(random.integers(-size, 0)), None, -int(random.integers(1, 3))))
            else:
                key.append(slice(None))
        if not random.integers(4):
            key.insert(int(random.integers(len(key) + 1)), None)
        found = _view(lambda x, key: x[key])(shape, Parameter(tuple(key)))
        return self.add("index", [number], tuple(key)) if math.prod(found) else None

    def broadcast(self, number: int, shape: tuple[int, ...]) -> int | None:
        size = int(self.random.integers(2, 4))
        wanted = [size if n == 1 and self.random.integers(2) else n for n in shape]
        return self.add("broadcast_to", [number], tuple([size] * int(self.random.integers(2)) + wanted))

    def flip(self, number: int, shape: tuple[int, ...]) -> int | None:
        return self.add("flip", [number], tuple(i for i in range(len(shape)) if self.random.integers(2)))

    def slices(self, number: int, shape: tuple[int, ...]) -> int | None:
        axis = int(self.random.integers(len(shape))) if shape else 0
        if not shape or not self.random.integers(2):
            return self.flip(number, shape)
        if self.random.integers(2):
            return self.add("split", [number], int(self.random.integers(1, 4)), axis)
        return self.add("diff", [number], 1, axis) if shape[axis] > 1 else None

    def pick(self, number: int, shape: tuple[int, ...]) -> None:
        random = self.random
        if not shape:
            return
        axis = int(random.integers(len(shape)))
        kind = random.integers(4)
        if kind == 0:
            wanted = tuple(3 if i == axis else size for i, size in enumerate(shape))
            self.add("take_along_dim", [number], random.integers(0, shape[axis], wanted), axis)
        elif kind == 1 and len(shape) == 2:
            self.add("cross_entropy", [number], random.integers(0, shape[1], shape[0]))
        elif kind == 2:
            mask = random.integers(2, size=shape).astype(bool)
            if mask.any():
                self.add("pick", [number], mask)
        else:
            count = random.integers(1, 4, size=random.integers(1, 3))
            arrays = [random.integers(-size, size, count) for size in shape[axis : axis + random.integers(1, 3)]]
            self.add("pick", [number], *[slice(None)] * axis, *arrays)

    def join(self, number: int, shape: tuple[int, ...]) -> None:
        same = [i for i, other in enumerate(self.shapes) if other == shape and i not in self.truths]
        others = [same[i] for i in self.random.integers(len(same), size=self.random.integers(1, 3))]
        if shape and self.random.integers(2):
            self.add("cat", [number, *others], int(self.random.integers(len(shape))))
        else:
            self.add("stack", [number, *others], int(self.random.integers(len(shape) + 1)))

    def product(self, number: int, shape: tuple[int, ...]) -> None:
        fitting = []
        for other, second in enumerate(self.shapes):
            try:
                if other not in self.truths and shape and second:
                    _view(np.matmul)(shape, second)
                    fitting.append(other)
            except ValueError:
                pass
        if not fitting and len(shape) > 1:
            other = self.add("permute", [number], (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2))
            fitting = [] if other is None else [other]
        if fitting:
            other = fitting[self.random.integers(len(fitting))]
            self.add("matmul", [self.into(number, ((-1.0, 1.0),)), other])

    def other(self, number: int, shape: tuple[int, ...]) -> None:
        random = self.random
        kind = random.integers(6)
        if kind == 0 and self.mixed:
            self.add("astype", [number], ["float32", "float64"][random.integers(2)])
        elif kind == 1:
            self.add("detach", [number])
        elif kind == 2 and shape:
            layout = list(LAYOUTS)[random.integers(5)]
            self.add("outside", [number], LAYOUTS[layout](random.normal(size=shape[random.integers(len(shape)) :])))
        elif kind == 3 and self.truths:
            truth = sorted(self.truths)[random.integers(len(self.truths))]
            self.add("count", [truth], self.axes(self.shapes[truth]))
        else:
            self.add("number", [number], *(float(x) for x in self.random.integers(1, 5, 2) * 0.7))

    VIEWS = (permute, permute, reshape, reshape, index, index, broadcast, slices)
    KINDS = (*(elementwise,) * 4, *(reduction,) * 3, *(view,) * 4, across, spread, scan, pick, join, product, other)


# ---- running programs -----------------------------------------------------------------------------------------------


def run_ours(program: Program, *xs: Any) -> list[Any]:
    """Give the results of a program."""
    values = {x.number: given for x, given in zip(program.inputs, xs, strict=True)}
    for step in program.steps:
        values[step.number] = OPERATIONS[step.name].ours(*(values[i] for i in step.operands), *step.parameters)
    return [values[i] for i in program.outputs]


def _weights(shape: Sequence[int]) -> Any:
    return np.cos(np.arange(math.prod(shape))).reshape(tuple(shape))


def weighed_ours(ys: Sequence[Any]) -> Any:
    """Make one number of arrays; the slope of a number among them is then known while tracing."""
    total = None
    for y in ys:
        term = nbgrad.sum(nbgrad.mul(y, _weights(y.shape).astype(y.dtype))) if y.ndim else y
        total = term if total is None else nbgrad.add(total, term)
    return total


def derivatives(function: Callable[..., Any], order: int) -> Callable[..., Any]:
    """Give the function of Variables that gives values, gradients, and Hessian-vector products, up to an order."""

    def found(*xs: Any) -> Any:
        ys = function(*xs)
        results = [ys]
        level: Any = [y for y in ys if y.requires_grad]
        for again in range(order):
            if not level:
                break
            loss = weighed_ours(level)
            if not loss.requires_grad:
                break
            gradients = nbgrad.autograd.grad(loss, list(xs), create_graph=again < order - 1, allow_unused=True)
            results.append(gradients)
            level = [g for g in gradients if g is not None and g.requires_grad]
        return results

    return found


def _plain(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


def _donating(function: Callable[..., Any]) -> Callable[..., Any]:
    compiled = nbgrad.jit(function, donate_argnums=(0, 1, 2))
    return lambda *xs: compiled(*(Variable(x.data.copy()) for x in xs))


#: What is compiled: the function that gives the values, and the one that differentiates it.
_WAYS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "everything": (_plain, nbgrad.jit),
    "the values": (nbgrad.jit, _plain),
    "both": (nbgrad.jit, nbgrad.jit),
    "everything, donated": (_plain, _donating),
    "nothing": (_plain, _plain),
}


def ours(program: Program, compiled: bool) -> list[list[Any]]:
    """Give values, gradients and products; None for gradients that there are not."""
    xs = [Variable(x.array()) for x in program.inputs]
    function: Any = functools.partial(run_ours, program)
    within, around = _WAYS[program.way] if compiled else (_plain, _plain)
    interpreter.cut_small(program.pieces and interpreter.installed())
    whole = around(derivatives(within(function), program.order))
    if compiled:  # what was traced with other data is right for these
        whole(*(Variable(x.array(1)) for x in program.inputs))
    return [[None if y is None else y.data for y in ys] for ys in whole(*xs)]


def torchs(program: Program, noise: int | None = None) -> list[list[Any]]:
    """Do the same in torch; with noise, every result is off by up to 16 units in the last place."""
    t = peer("torch")
    generator = t.Generator().manual_seed(noise or 0)

    def settled(y: Any) -> Any:
        if noise is None or not y.dtype.is_floating_point:
            return y
        return y * (1 + 16 * t.finfo(y.dtype).eps * (t.rand(y.shape, generator=generator, dtype=y.dtype) * 2 - 1))

    def together(xs: Sequence[Any]) -> list[Any]:
        """Give tensors one dtype: torch takes no account of the dtype of 0-d tensors."""
        floating = [x.dtype for x in xs if x.dtype.is_floating_point]
        dtype = functools.reduce(t.promote_types, floating) if floating else None
        return [x.to(dtype) if x.dtype.is_floating_point else x for x in xs]

    xs = [t.tensor(np.array(x.array(), order="C"), requires_grad=True) for x in program.inputs]
    values = {x.number: settled(given) for x, given in zip(program.inputs, xs, strict=True)}
    for step in program.steps:
        operation = OPERATIONS[step.name]
        operands = together([values[i] for i in step.operands])
        if operation.kind == "elementwise" and len(operands) > 1:
            operands = t.broadcast_tensors(*operands)  # clamp's gradient fails where a bound is broadcast
        values[step.number] = settled(operation.torch(t, *operands, *step.parameters))
    ys = [values[i] for i in program.outputs]
    results = [ys]
    level: Any = [y for y in ys if y.requires_grad]
    for again in range(program.order):
        if not level:
            break
        terms = [settled(y * t.tensor(_weights(y.shape)).to(y.dtype)).sum() for y in level]
        loss = functools.reduce(lambda a, b: a + b, together(terms))
        if not loss.requires_grad:
            break
        gradients = t.autograd.grad(loss, xs, create_graph=again < program.order - 1, allow_unused=True)
        results.append(gradients)
        level = [g for g in gradients if g is not None and g.requires_grad]
    # a copy, as numpy() of a tensor of torch's that stands for zeros without memory reads what is not there
    return [[None if y is None else y.detach().clone().numpy() for y in ys] for ys in results]


# ---- comparing ------------------------------------------------------------------------------------------------------

_PARTS = ("value", "gradient", "second gradient")


def _differences(program: Program, found: Any, wanted: Any, limits: Any = None) -> str | None:
    """Tell what differs, if anything; a gradient that is not there is zero, as is all of an order that is not there."""
    for order in range(program.order + 1):
        ys, others = (given[order] if order < len(given) else [None] * len(program.inputs) for given in (found, wanted))
        for place, (y, other) in enumerate(zip(ys, others, strict=True)):
            what = f"{_PARTS[order]} {place}"
            if y is None or other is None:
                rest = y if other is None else other
                # a gradient of rounding errors may be none at all
                if rest is not None and np.max(abs(rest), initial=0) > _tolerance(program, 1.0):
                    return f"{what} is missing"
                continue
            if y.shape != other.shape:
                return f"{what} has shape {y.shape}, not {other.shape}"
            if y.dtype != other.dtype:
                return f"{what} has dtype {y.dtype}, not {other.dtype}"
            y, other = np.float64(y), np.float64(other)
            if not np.isfinite(other).all():
                if limits is None and not np.array_equal(np.isfinite(y), np.isfinite(other)):
                    return f"{what} is finite elsewhere"
                continue
            limit = _tolerance(program, np.max(abs(other), initial=0))
            limit += limits[order][place] if limits is not None and order < len(limits) else 0
            if not np.max(abs(y - other), initial=0) <= limit:
                return what
    return None


def _tolerance(program: Program, scale: Any) -> float:
    # torch's trigamma and polygamma are off by 1e-11, which what follows makes more of
    gammas = any(step.name in ("lgamma", "digamma", "polygamma") for step in program.steps)
    # and the sine of a sum of thousands is off by 1e-8
    many = any(math.prod(x.shape) > MOST for x in program.inputs)
    limit = 2e-4 if "float32" in program.dtypes else 1e-7 if gammas or many else 1e-9
    return limit * max(1.0, float(scale))


def _limits(program: Program, wanted: Any) -> Any:
    """Measure how much rounding may change, by torch's results with noise."""
    limits = [[0.0] * len(ys) for ys in wanted]
    for noise in range(1, 17):  # what depends on the sign of a rounding error shows in half of them
        perturbed = torchs(program, noise)
        for order, (ys, others) in enumerate(zip(perturbed, wanted, strict=False)):
            for place, (y, other) in enumerate(zip(ys, others, strict=True)):
                if y is not None and other is not None and y.size:
                    with np.errstate(all="ignore"):
                        worst = float(np.max(abs(np.float64(y) - np.float64(other))))
                    limits[order][place] = math.inf if math.isnan(worst) else max(limits[order][place], 8 * worst)
    return limits


_NUMBER = re.compile(r"\d+")


def _raised(error: BaseException) -> str:
    """Tell an exception and where it came from, without its numbers."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "nbgrad" in f.filename or "tests" in f.filename]
    where = f"{Path(frames[-1].filename).name}:{frames[-1].name}" if frames else ""
    return f"{type(error).__name__} in {where}: {_NUMBER.sub('N', str(error))[:100]}"


ROUNDING = "rounding"


def disagreement(program: Program) -> str | None:
    """Tell in what way a program goes wrong; None where it does not, `ROUNDING` where that may be rounding."""
    with np.errstate(all="ignore"):
        try:
            wanted = torchs(program)
        except Exception as error:
            return f"torch: {_raised(error)}"
        try:
            eager = ours(program, False)
        except Exception as error:
            return f"eager: {_raised(error)}"
        kind = _differences(program, eager, wanted)
        if kind is not None:
            limits = _limits(program, wanted)
            refined = _differences(program, eager, wanted, limits)
            return ROUNDING if refined is None else f"eager: {_NUMBER.sub('N', refined)}"
        try:
            compiled = ours(program, True)
        except Exception as error:
            return f"jit: {_raised(error)}"
        kind = _differences(program, compiled, eager)
        if kind is not None:
            refined = _differences(program, compiled, eager, _limits(program, wanted))
            return ROUNDING if refined is None else f"jit: {_NUMBER.sub('N', refined)}"
    return None


# ---- the smallest program of a kind ---------------------------------------------------------------------------------


def _live(program: Program) -> Program:
    """Leave out what no result needs."""
    wanted = set(program.outputs)
    steps = []
    for step in reversed(program.steps):
        if step.number in wanted:
            wanted |= set(step.operands)
            steps.append(step)
    inputs = tuple(x for x in program.inputs if x.number in wanted) or program.inputs[:1]
    return program._replace(inputs=inputs, steps=tuple(reversed(steps)))


#: Operations that give truth values.
_TRUTHS = {
    name
    for name, case in zip(numbered(ELEMENTWISE), ELEMENTWISE, strict=True)
    if not case.differentiable and name not in ("sign", "floor_divide")
}


def _smaller(program: Program) -> Any:
    """Give programs with something less."""
    if program.order:
        yield program._replace(order=program.order - 1)
    if len(program.outputs) > 1:
        for i in program.outputs:
            yield program._replace(outputs=tuple(j for j in program.outputs if j != i))
    made = {step.number: step for step in program.steps}
    for i in program.outputs:  # what a result is made of is a result
        if i in made:
            operands = [j for j in made[i].operands if j not in made or made[j].name not in _TRUTHS]
            outputs = [j for k in program.outputs for j in (operands if k == i else [k])]
            yield program._replace(outputs=tuple(dict.fromkeys(outputs)))
    for step in reversed(program.steps):  # its result is an argument now
        if step.name not in _TRUTHS:
            rest = tuple(s for s in program.steps if s is not step)
            for few in (False, True):
                dtype = "float64" if program.dtypes == {"float64"} else "float32"
                argument = Input(step.number, step.shape, dtype, few=few)
                yield program._replace(inputs=(*program.inputs, argument), steps=rest)
    shapes = {x.number: x.shape for x in (*program.inputs, *program.steps)}
    for step in program.steps:  # its result is what it was made of
        for operand in step.operands:
            if shapes[operand] == step.shape:

                def other(i: int, step: Any = step, operand: int = operand) -> int:
                    return operand if i == step.number else i

                steps = [s._replace(operands=tuple(map(other, s.operands))) for s in program.steps if s is not step]
                yield program._replace(steps=tuple(steps), outputs=tuple(dict.fromkeys(map(other, program.outputs))))
    for place, x in enumerate(program.inputs):
        if x.layout != "contiguous" or x.dtype != "float64" or x.few:
            simple = x._replace(layout="contiguous", dtype="float64", few=False)
            yield program._replace(inputs=(*program.inputs[:place], simple, *program.inputs[place + 1 :]))
    for way in list(_WAYS)[: list(_WAYS).index(program.way)] if program.way != "nothing" else ():
        yield program._replace(way=way)
    if program.pieces:
        yield program._replace(pieces=False)


def _size(program: Program) -> tuple[int, ...]:
    other = sum((x.layout != "contiguous") + (x.dtype != "float64") + x.few for x in program.inputs)
    return (
        len(program.steps), program.order, len(program.outputs), len(program.inputs), other,
        list(_WAYS).index(program.way), program.pieces,
    )  # fmt: skip


def _family(kind: str | None) -> str | None:
    """Give a kind without the part that differs, since a smaller program may show it elsewhere."""
    return None if kind is None else re.sub(r"(value|gradient|second gradient) N.*", "numbers", kind)


def shrunk(program: Program, kind: str, most: int = 400) -> Program:
    """Give the smallest program found that goes wrong in the same way."""
    program = _live(program)
    tried = 0
    going = True
    while going:
        going = False
        for smaller in map(_live, _smaller(program)):
            if _size(smaller) >= _size(program):
                continue
            tried += 1
            if tried > most:
                return program
            try:
                same = _family(disagreement(smaller)) == _family(kind)
            except Exception:
                same = False
            if same:
                program, going = smaller, True
                break
    return program


# ---- the command ----------------------------------------------------------------------------------------------------


def _prepare(compiled: bool) -> None:
    if not compiled:
        interpreter.install()
    peer("torch").set_num_threads(1)


def program_of(seed: int, compiled: bool, large: bool) -> Program:
    """Give the program of a seed; a large one as it is without jit, unless that compiles."""
    program = Writer(seed, large).program
    return program._replace(way="nothing") if large and not compiled else program


def tried(seed: int, compiled: bool, large: bool) -> tuple[int, str | None]:
    """Try the program of a seed."""
    return seed, disagreement(program_of(seed, compiled, large))


def _results(seeds: Sequence[int], processes: int, compiled: bool, large: bool) -> Any:
    """Give what trying each seed gives, in any order."""
    trying = functools.partial(tried, compiled=compiled, large=large)
    compiled = compiled or large
    if processes == 1:
        _prepare(compiled)
        yield from map(trying, seeds)
    else:
        with multiprocessing.get_context("spawn").Pool(processes, _prepare, (compiled,)) as pool:
            yield from pool.imap_unordered(trying, seeds, 20)
        _prepare(compiled)


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=None, help="the first program's; a new one if not given")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--each", type=int, default=3, help="programs of each kind to look for the smallest among")
    parser.add_argument("--compiled", action="store_true", help="with kernels as they are: seconds for each program")
    parser.add_argument(
        "--large", action="store_true", help="arrays of thousands, which go other ways; without jit unless --compiled"
    )
    parser.add_argument("--quiet", action="store_true", help="without a progress bar")
    given = parser.parse_args()
    seed = int.from_bytes(os.urandom(4)) if given.seed is None else given.seed
    print(f"{given.count} programs from seed {seed}", flush=True)
    seeds = range(seed, seed + given.count)
    results = _results(seeds, given.processes, given.compiled, given.large)
    if not given.quiet:
        from tqdm import tqdm

        results = tqdm(results, total=given.count, smoothing=0)
    found: dict[str, list[int]] = {}
    for number, kind in results:
        if kind is not None:
            if kind != ROUNDING and kind not in found:
                print(f"seed {number}: {kind}", flush=True)
            found.setdefault(kind, []).append(number)
    rounding = len(found.pop(ROUNDING, ()))
    for kind, seeds in found.items():
        print(f"\n==== {kind}: {len(seeds)} programs, seeds {seeds[:8]}")
        programs = [program_of(number, given.compiled, given.large) for number in seeds[: given.each]]
        print(min((shrunk(program, kind) for program in programs), key=_size), flush=True)
    wrong = sum(map(len, found.values()))
    print(f"{wrong} disagree; in {rounding} rounding may change more than is compared")
    return min(wrong, 1)


if __name__ == "__main__":
    sys.exit(main())
