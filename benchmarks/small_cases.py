"""What `benchmarks.small_operations` measures: a call for each public operation, in every library that has it.

The operations are those of `nbgrad.registry`, of `nn.functional`, and of the modules with PyTorch's names. Elementwise
ones, reductions and scans are called as `tests/cases.py` lists them; what takes other arguments is written down in
`small_calls.py`, in which letters and names stand for arrays. An operation that nobody wrote a call for, nor why there
is none, fails a test.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from functools import cache as once
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

sys.path.append(str(Path(__file__).parent.parent / "tests"))
import cases

from .small_calls import Written, written

LIBRARIES = ("nbgrad", "torch", "jax", "autograd", "numpy")
Shape = tuple[int, ...]

_DIGITS = re.compile(r"(?<!\.)\b\d+\b(?!\.)")

#: What letters stand for: arrays of 10, 4 x 5 and 2 x 3 x 4 elements, and a scalar.
LETTERS: dict[str, Shape] = {
    "s": (),
    "x": (10,),
    "y": (10,),
    "m": (4, 5),
    "k": (4, 5),
    "p": (4, 5),
    "q": (4, 5),
    "r": (5,),
    "g": (5,),
    "w": (3, 5),
    "v": (3,),
    "b": (2, 3, 4),
    "c": (2, 4, 3),
}
#: The same letters for the table of large arrays: square matrices, and rows of them.
LARGE_LETTERS = frozenset("mkpqrgliaz")
#: Letters of whole numbers: labels, and indices of rows; of truth values; of places in each row.
WHOLE = {"l": (4,), "i": (3,), "a": (4, 2), "u": (4, 5), "o": (4, 5), "tokens": (2, 2), "signs": (4, 5)}
MASK = "z"

#: Arrays that calls of some operations take, by their names; what these have to be is in `drawn`.
NAMES: dict[str, Shape] = {
    "A": (3, 3),
    "B": (3, 2),
    "cubes": (3, 5, 5),
    "frames": (5, 2, 5),
    "grid": (2, 4, 4, 2),
    "images": (2, 3, 6, 6),
    "kernels1": (4, 3, 3),
    "kernels2": (4, 3, 3, 3),
    "kernels3": (4, 3, 2, 2, 2),
    "sequences": (2, 3, 8),
    "sorted": (6,),
    "volumes": (1, 3, 4, 4, 4),
}
#: What makes cubes of matrices, of 4 GB where these are 1000 x 1000.
CUBES = {"cdist", "diag_embed", "pdist"}
#: What gives a gradient to any of several equal elements, of which float32 has some among many.
TIES = {"mode"}
#: Calls that only the table of large arrays has.
LARGE_ONLY = [
    Written("softmax", "reductions", "t.softmax(m, 1) * m", None),
    Written("sum", "reductions", "(m * m).sum(0)", None),
]


class Row(NamedTuple):
    """A call of one operation, and its inputs."""

    name: str
    title: str
    family: str
    #: By library, where to find the function of the arrays: called before anything else is done.
    find: Callable[[str], Callable[..., Any]]
    arrays: list[Any]

    @property
    def key(self) -> str:
        """What tells it from all other rows."""
        return f"{self.title}, {self.name}"


@once
def namespace(library: str) -> dict[str, Any]:
    """Give what expressions may mention: t and F in PyTorch's names; n, nn and sp in NumPy's."""
    if library == "nbgrad":
        import nbgrad

        names = SimpleNamespace(**{name: getattr(nbgrad, name) for name in dir(nbgrad) if not name.startswith("_")})
        names.float32, names.float64 = np.float32, np.float64
        return {"t": names, "F": nbgrad.nn.functional}
    if library == "torch":
        import torch

        return {"t": torch, "F": torch.nn.functional}
    if library == "jax":
        import jax

        jax.config.update("jax_enable_x64", True)
        import jax.numpy as jnp
        import jax.scipy.special

        return {"n": jnp, "nn": jax.nn, "sp": jax.scipy.special}
    if library == "autograd":
        import autograd.numpy as anp
        import autograd.scipy.special

        return {"n": anp, "sp": autograd.scipy.special}
    return {"n": np}


def _counterpart(library: str, case: cases.Case) -> Callable[..., Any]:
    """Find the function of an elementwise case in a library.

    Raises AttributeError where it has none.
    """
    name = case.name
    if library == "nbgrad":
        from nbgrad.registry import ENTRIES

        return ENTRIES[name].function
    if library != "torch":
        name = getattr(case.numpy, "__name__", name)  # arcsin for asin: autograd has gradients by that name only
        name = {"lgamma": "gammaln"}.get(case.name, case.name) if name.startswith(("_", "<")) else name
    for module in namespace(library).values():
        function = getattr(module, name, None)
        if function is not None:
            return function
    raise AttributeError(f"{library} has no {name}")


def letters_of(expression: str) -> list[str]:
    """Give the letters of an expression, in order of their first use."""
    known = {*LETTERS, *NAMES, *WHOLE, MASK}
    return [name for name in compile(expression, "<call>", "eval").co_names if name in known]


def drawn(letter: str, shapes: dict[str, Shape], dtype: str, random: np.random.Generator) -> Any:
    """Draw what a letter or a name stands for."""
    if letter == "signs":
        return random.integers(0, 2, WHOLE[letter]) * 2 - 1
    if letter == "tokens":  # 0 is what separates them
        return random.integers(1, shapes["frames"][2], WHOLE[letter])
    if letter in "ia":  # each once, so that what is written there is determined
        shape = shapes.get(letter, WHOLE[letter])
        return random.random((*shape[:-1], shapes["m"][len(shape) - 1])).argsort(-1)[..., : shape[-1]]
    if letter in WHOLE:
        return random.integers(0, shapes["m"][1], shapes.get(letter, WHOLE[letter]))
    if letter == MASK:
        return random.random(shapes["m"]) < 0.5
    low, high = (0.05, 0.95) if letter in "pq" else (0.3, 2) if dtype == "float64" else (0.9, 1.1)  # for products
    values = np.asarray(random.uniform(low, high, shapes[letter])).astype(dtype)
    if letter == "A":  # positive definite, and its eigenvalues apart
        return (values @ values.T + np.diag([1.0, 2, 4])).astype(dtype)
    return np.sort(values) if letter == "sorted" else values


def _of_expression(call: Written, shapes: dict[str, Shape], dtype: str) -> Row:
    name, family, ours, theirs = call
    letters = letters_of(ours)
    arguments = ", ".join(letters)

    def find(library: str) -> Callable[..., Any]:
        expression = ours if library in ("nbgrad", "torch") else theirs
        if expression is None:
            raise AttributeError(f"{library} has no {name}")
        return eval(f"lambda {arguments}: {expression}", namespace(library))

    random = np.random.default_rng(0)
    title = ours.replace("t.", "", 1) if ours.startswith("t.") else ours
    return Row(name, title, family, find, [drawn(letter, shapes, dtype, random) for letter in letters])


def _shape(shape: Shape) -> str:
    return " x ".join(map(str, shape)) or "scalar"


def _elementwise(forms: dict[str, list[Shape]], dtype: str) -> Iterator[Row]:
    """Give the cases of elementwise functions: all arrays of one shape, and a row to a matrix."""
    from nbgrad.registry import ENTRIES

    for number, case in enumerate(cases.ELEMENTWISE):
        entry = ENTRIES[case.name]
        if not (entry.public or entry.method):
            continue
        own = case.function is cases.TABLE[case.name]
        for form, shapes in forms.items():
            arity = len(case.domains)
            if len(shapes) > 1 and arity != 2:
                continue
            each = [shapes[min(i, len(shapes) - 1)] for i in range(arity)]
            arrays = [cases.draw(d, s, dtype, i) for i, (d, s) in enumerate(zip(case.domains, each, strict=True))]

            def find(library: str, case: cases.Case = case, own: bool = own) -> Callable[..., Any]:
                if own:
                    return _counterpart(library, case)
                if library == "nbgrad":
                    return case.function
                if library == "numpy":
                    return case.numpy
                if library == "torch":
                    torch, function = namespace("torch")["t"], case.torch
                    return lambda x: function(torch, x)
                raise AttributeError(f"{library}: {case.name} with numbers is not listed")

            title = f"{case.name}{'' if own else f' {number}'}({form})"
            family = "flat functions" if not case.differentiable else f"elementwise, {arity} operand{'s' * (arity > 1)}"
            yield Row(case.name, title, family if len(shapes) == 1 else "broadcasting", find, arrays)


def _reductions(letters: str) -> list[Written]:
    """Give the calls of reductions and scans."""
    rows: list[Written] = []
    dims = {"x": [None], "m": [None, 0, 1], "b": [1], "s": [None]}
    for reduction in cases.REDUCTIONS + cases.STATISTICS:
        name = reduction.name
        more = ", ddof=1" if reduction in cases.STATISTICS else ""
        numpys = f"sp.{name}" if reduction.numpy.__module__ == "cases" else f"n.{reduction.numpy.__name__}"
        for letter in letters:
            if letter == "s" and more:  # the variance of one number
                continue
            for dim in dims[letter]:
                whole = repr(tuple(range(len(LETTERS[letter])))) if name == "logsumexp" else None
                inside = ", ".join(str(part) for part in (letter, whole if dim is None else dim) if part is not None)
                rows.append(Written(name, "reductions", f"t.{name}({inside})", f"{numpys}({letter}, {dim}{more})"))
    for scan in cases.SCANS:
        name = scan.name
        numpys = {"cumsum": "n.cumsum({}, {})", "cumprod": "n.cumprod({}, {})"}.get(name)
        for letter, dim in (("x", 0), ("m", 0), ("m", 1)):
            if letter in letters:
                theirs = numpys.format(letter, dim) if numpys else None
                rows.append(Written(name, "scans", f"t.{name}({letter}, {dim})", theirs))
    return rows


def small() -> list[Row]:
    """Give the calls on small arrays, float64."""
    forms: dict[str, list[Shape]] = {_shape(shape): [shape] for shape in ((), (10,), (4, 5), (2, 3, 4))}
    forms["4 x 5, 5"] = [(4, 5), (5,)]
    calls = [*_reductions("sxmb"), *written()]
    return [
        *_elementwise(forms, "float64"),
        *(_of_expression(call, LETTERS | NAMES, "float64") for call in calls),
        *programs(),
    ]


def large(size: int) -> list[Row]:
    """Give the calls of square matrices of float32, and of their rows."""
    shapes = {letter: (size,) if letter in "rgli" else (size, size) for letter in LARGE_LETTERS}
    shapes |= {"a": (size, 2)}
    forms: dict[str, list[Shape]] = {_shape((size, size)): [(size, size)]}
    forms[f"{_shape((size, size))}, {size}"] = [(size, size), (size,)]
    rows = []
    for call in [*_reductions("m"), *written(), *LARGE_ONLY]:
        letters = letters_of(call.ours)
        fits = letters and LARGE_LETTERS.issuperset(letters) and not {"5", "20"} & set(_DIGITS.findall(call.ours))
        if fits and call.name not in (CUBES | TIES if size > 100 else ()):
            rows.append(_of_expression(call, shapes, "float32"))
    return [*_elementwise(forms, "float32"), *rows]


def listed() -> set[str]:
    """Give the names of all operations that have calls."""
    names = {case.name for case in (*cases.ELEMENTWISE, *cases.SELDOM)} | {call.name for call in written()}
    return names | {case.name for case in (*cases.REDUCTIONS, *cases.STATISTICS, *cases.SCANS)}


# ---- programs -------------------------------------------------------------------------------------------------------


def _functions(library: str) -> Any:
    """Give the functions that programs are made of, by PyTorch's names."""
    names = namespace(library)
    if "t" in names:
        return names["t"]
    if library == "numpy":
        raise AttributeError("NumPy has no gradients")
    n = names["n"]
    sigmoid = names["nn"].sigmoid if library == "jax" else names["sp"].expit
    return SimpleNamespace(tanh=n.tanh, sigmoid=sigmoid, chunk=n.split, transpose=n.swapaxes)


def _lstm(t: Any) -> Callable[..., Any]:
    def cell(x: Any, h: Any, c: Any, w: Any, u: Any, b: Any) -> Any:
        i, f, g, o = t.chunk(x @ w + h @ u + b, 4, 1)
        c = t.sigmoid(f) * c + t.sigmoid(i) * t.tanh(g)
        return t.sigmoid(o) * t.tanh(c)

    return cell


def _mlp(t: Any) -> Callable[..., Any]:
    def loss(x: Any, y: Any, w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any) -> Any:
        h = t.tanh(t.tanh(x @ w1 + b1) @ w2 + b2)
        return ((h @ w3 + b3 - y) ** 2).mean()

    return loss


def programs() -> list[Row]:
    """Give small programs: what operations are for."""
    random = np.random.default_rng(0)

    def arrays(*shapes: Shape) -> list[Any]:
        return [random.uniform(-1, 1, shape) for shape in shapes]

    def row(name: str, title: str, make: Callable[[Any], Callable[..., Any]], *shapes: Shape) -> Row:
        return Row(name, title, "programs", lambda library: make(_functions(library)), arrays(*shapes))

    sizes = [(2, 16), (16,), (16, 16), (16,), (16, 1), (1,)]
    return [
        row("product", "(x * y).sum()", lambda t: lambda x, y: (x * y).sum(), (10,), (10,)),
        row("lstm", "LSTM cell of 8 units", _lstm, (1, 8), (1, 8), (1, 8), (8, 32), (8, 32), (32,)),
        row("mlp", "MLP 2-16-16-1, batch 4, squared error", _mlp, (4, 2), (4, 1), *sizes),
    ]
