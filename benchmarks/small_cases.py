"""What `benchmarks.small_operations` measures: a call for each public operation, in every library that has it.

The operations are those of `nbgrad.registry`. Elementwise ones, reductions and scans are called as `tests/cases.py`
lists them; what takes other arguments has expressions here, in which letters stand for arrays. Expressions are written
twice: in PyTorch's names, for nbgrad and torch, and in NumPy's, for NumPy, JAX and autograd. An operation that nobody
wrote an expression for is an error.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import cache as once
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
import cases

LIBRARIES = ("nbgrad", "torch", "jax", "autograd", "numpy")
Shape = tuple[int, ...]

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
WHOLE = {"l": (4,), "i": (3,), "a": (4, 2)}
MASK = "z"

#: Calls of what `tests/cases.py` does not list, by name: in PyTorch's names, and in NumPy's where they differ.
EXPRESSIONS: dict[str, list[tuple[str, str | None]]] = {
    "polygamma": [("t.polygamma(1, x)", "sp.polygamma(1, x)")],
    "reshape": [("t.reshape(x, (2, 5))", "n.reshape(x, (2, 5))"), ("m.reshape(-1)", "m.reshape(-1)")],
    "view": [("m.view(-1)", None)],
    "flatten": [("t.flatten(b)", "n.ravel(b)")],
    "squeeze": [("t.squeeze(m, 1)", None)],
    "unsqueeze": [("t.unsqueeze(m, 1)", "n.expand_dims(m, 1)")],
    "permute": [("t.permute(b, (2, 0, 1))", "n.transpose(b, (2, 0, 1))")],
    "transpose": [("t.transpose(m, 0, 1)", "n.swapaxes(m, 0, 1)")],
    "swapaxes": [("t.swapaxes(m, 0, 1)", "n.swapaxes(m, 0, 1)")],
    "t": [("m.t()", "m.T")],
    "broadcast_to": [("t.broadcast_to(r, (4, 5))", "n.broadcast_to(r, (4, 5))")],
    "expand": [("r.expand(4, 5)", None)],
    "expand_as": [("r.expand_as(m)", None)],
    "sum_to": [("t.sum_to(m, (1, 5))", None)],
    "astype": [("m.to(t.float32)", "m.astype('float32')")],
    "cat": [("t.cat([x, y])", "n.concatenate([x, y])"), ("t.cat([m, k], 1)", "n.concatenate([m, k], 1)")],
    "stack": [("t.stack([x, y])", "n.stack([x, y])"), ("t.stack([m, k], 1)", "n.stack([m, k], 1)")],
    "take_along_dim": [("t.take_along_dim(m, a, 1)", "n.take_along_axis(m, a, 1)")],
    "max": [("t.max(m)", "n.max(m)"), ("t.max(m, 1)", None)],
    "min": [("t.min(m)", "n.min(m)"), ("t.min(m, 1)", None)],
    "softmax": [
        ("t.softmax(x, 0)", "nn.softmax(x, 0)"),
        ("t.softmax(m, 0)", "nn.softmax(m, 0)"),
        ("t.softmax(m, 1)", "nn.softmax(m, 1)"),
        ("t.softmax(b, -1)", "nn.softmax(b, -1)"),
    ],
    "log_softmax": [("t.log_softmax(x, 0)", "nn.log_softmax(x, 0)"), ("t.log_softmax(m, 1)", "nn.log_softmax(m, 1)")],
    "split": [("t.split(x, 5)", "n.split(x, 2)")],
    "chunk": [("t.chunk(m, 2)", "n.split(m, 2)")],
    "tensor_split": [("t.tensor_split(m, 3)", "n.array_split(m, 3)")],
    "flip": [("t.flip(m, (0,))", "n.flip(m, 0)")],
    "flipud": [("t.flipud(m)", "n.flipud(m)")],
    "fliplr": [("t.fliplr(m)", "n.fliplr(m)")],
    "diff": [("t.diff(x)", "n.diff(x)"), ("t.diff(m, dim=0)", "n.diff(m, axis=0)")],
    "var_mean": [("t.var_mean(m, 1)", None)],
    "std_mean": [("t.std_mean(m, 1)", None)],
    "count_nonzero": [("t.count_nonzero(m)", "n.count_nonzero(m)")],
    "norm": [("t.norm(x)", "n.linalg.norm(x)"), ("t.norm(m, dim=1)", "n.linalg.norm(m, axis=1)")],
    "nansum": [("t.nansum(x)", "n.nansum(x)"), ("t.nansum(m, 1)", "n.nansum(m, 1)")],
    "nanmean": [("t.nanmean(x)", "n.nanmean(x)"), ("t.nanmean(m, 1)", "n.nanmean(m, 1)")],
    "any": [("t.any(z)", "n.any(z)"), ("t.any(z, 1)", "n.any(z, 1)")],
    "all": [("t.all(z)", "n.all(z)"), ("t.all(z, 1)", "n.all(z, 1)")],
    "matmul": [("x @ y", "x @ y"), ("m @ k.t()", "m @ k.T"), ("m @ r", "m @ r"), ("b @ c", "b @ c")],
    "mm": [("t.mm(m, w.t())", "n.matmul(m, w.T)")],
    "bmm": [("t.bmm(b, c)", "n.matmul(b, c)")],
    "mv": [("t.mv(m, r)", "n.matmul(m, r)")],
    "dot": [("t.dot(x, y)", "n.dot(x, y)")],
    "outer": [("t.outer(x, y)", "n.outer(x, y)")],
    "clone": [("x.clone()", "n.copy(x)"), ("m.clone()", "n.copy(m)")],
    "cpu": [("m.cpu()", None)],
    "to": [("m.to('cpu')", None)],
}
#: What has no name, or is spelt in other ways than by its name.
UNNAMED: dict[str, list[tuple[str, str | None]]] = {
    "operators": [(e, e) for e in ("x * y", "x + 1.5", "2 * x", "1 / x", "-x", "x**2", "x**0.5", "s * s", "b + b")]
    + [(e, e) for e in ("m * k", "m + r", "m * m[0]", "m > 1", "m / m.sum()")],
    "writes": [(e, None) for e in ("(m * 1).mul_(k)", "(x * 1).exp_()", "(m * 1).zero_()")],
    "getitem": [
        (e, e) for e in ("x[3]", "x[2:5]", "x[i]", "m[1]", "m[:, 1]", "m[1, 2]", "m[i]", "m[:, ::2]", "b[..., 0]")
    ]
    + [(e, e) for e in ("m[1:] - m[:-1]", "m[z]", "x[None]")],
}
#: Losses and maps of `nn.functional`; where other libraries have them, they are composed of other functions.
FUNCTIONAL: dict[str, list[tuple[str, str | None]]] = {
    "cross_entropy": [("F.cross_entropy(m, l)", None)],
    "nll_loss": [("F.nll_loss(m, l)", None)],
    "mse_loss": [("F.mse_loss(m, k)", "n.mean((m - k) ** 2)")],
    "binary_cross_entropy_with_logits": [("F.binary_cross_entropy_with_logits(m, p)", None)],
    "binary_cross_entropy": [("F.binary_cross_entropy(p, q)", None)],
    "l1_loss": [("F.l1_loss(m, k)", "n.mean(n.abs(m - k))")],
    "smooth_l1_loss": [("F.smooth_l1_loss(m, k)", None)],
    "huber_loss": [("F.huber_loss(m, k)", None)],
    "layer_norm": [("F.layer_norm(m, m.shape[1:])", None), ("F.layer_norm(m, m.shape[1:], r, g)", None)],
    "linear": [("F.linear(m, w)", "m @ w.T"), ("F.linear(m, w, v)", "m @ w.T + v")],
}
#: Calls that only the table of large arrays has.
LARGE_ONLY = [("softmax", "t.softmax(m, 1) * m", None), ("sum", "(m * m).sum(0)", None)]
#: What needs a GPU.
ELSEWHERE = {"cuda"}


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
        names.float32 = np.float32
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
    known = {*LETTERS, *WHOLE, MASK}
    return [name for name in compile(expression, "<call>", "eval").co_names if name in known]


def drawn(letter: str, shapes: dict[str, Shape], dtype: str, random: np.random.Generator) -> Any:
    """Draw what a letter stands for."""
    if letter in WHOLE:
        return random.integers(0, shapes["m"][0 if letter == "i" else 1], shapes.get(letter, WHOLE[letter]))
    if letter == MASK:
        return random.random(shapes["m"]) < 0.5
    low, high = (0.05, 0.95) if letter in "pq" else (0.3, 2) if dtype == "float64" else (0.9, 1.1)  # for products
    return np.asarray(random.uniform(low, high, shapes[letter])).astype(dtype)


def _of_expression(name: str, family: str, ours: str, theirs: str | None, shapes: dict[str, Shape], dtype: str) -> Row:
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


def _reductions(letters: str) -> list[tuple[str, str, str, str | None]]:
    """Give the calls of reductions and scans: (name, family, in PyTorch's names, in NumPy's)."""
    rows: list[tuple[str, str, str, str | None]] = []
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
                rows.append((name, "reductions", f"t.{name}({inside})", f"{numpys}({letter}, {dim}{more})"))
    for scan in cases.SCANS:
        name = scan.name
        numpys = {"cumsum": "n.cumsum({}, {})", "cumprod": "n.cumprod({}, {})"}.get(name)
        for letter, dim in (("x", 0), ("m", 0), ("m", 1)):
            if letter in letters:
                theirs = numpys.format(letter, dim) if numpys else None
                rows.append((name, "scans", f"t.{name}({letter}, {dim})", theirs))
    return rows


#: The family of each operation that has expressions.
FAMILIES = {
    **dict.fromkeys(
        ("cat", "stack", "take_along_dim", "split", "chunk", "tensor_split", "getitem"), "parts and joints"
    ),
    **dict.fromkeys(("flip", "flipud", "fliplr", "diff"), "parts and joints"),
    **dict.fromkeys(("matmul", "mm", "bmm", "mv", "dot", "outer"), "matrix products"),
    **dict.fromkeys(("max", "min", "softmax", "log_softmax", "var_mean", "std_mean", "any", "all"), "reductions"),
    **dict.fromkeys(("count_nonzero",), "reductions"),
    **dict.fromkeys(("operators", "polygamma"), "operators"),
    **dict.fromkeys(("clone", "cpu", "to", "astype"), "copies"),
}


def _expressions(letters: str) -> list[tuple[str, str, str, str | None]]:
    every = _reductions(letters)
    for name, calls in (EXPRESSIONS | UNNAMED).items():
        every += [(name, FAMILIES.get(name, "shapes"), ours, theirs) for ours, theirs in calls]
    for name, calls in FUNCTIONAL.items():
        every += [(name, "losses and linear maps", ours, theirs) for ours, theirs in calls]
    return every


def small() -> list[Row]:
    """Give the calls on small arrays, float64."""
    forms: dict[str, list[Shape]] = {_shape(shape): [shape] for shape in ((), (10,), (4, 5), (2, 3, 4))}
    forms["4 x 5, 5"] = [(4, 5), (5,)]
    shapes = LETTERS
    return [
        *_elementwise(forms, "float64"),
        *(_of_expression(*what, shapes, "float64") for what in _expressions("sxmb")),
        *programs(),
    ]


def large(size: int) -> list[Row]:
    """Give the calls of square matrices of float32, and of their rows."""
    shapes = {letter: (size,) if letter in "rgli" else (size, size) for letter in LARGE_LETTERS}
    shapes |= {"a": (size, 2)}
    forms: dict[str, list[Shape]] = {_shape((size, size)): [(size, size)]}
    forms[f"{_shape((size, size))}, {size}"] = [(size, size), (size,)]
    calls = _expressions("m") + [(name, FAMILIES.get(name, "reductions"), a, b) for name, a, b in LARGE_ONLY]
    rows = []
    for name, family, ours, theirs in calls:
        if LARGE_LETTERS.issuperset(letters_of(ours)) and "5)" not in ours:
            rows.append(_of_expression(name, family, ours, theirs, shapes, "float32"))
    return [*_elementwise(forms, "float32"), *rows]


def listed() -> set[str]:
    """Give the names of all operations that have calls."""
    names = {case.name for case in cases.ELEMENTWISE} | {*EXPRESSIONS} | ELSEWHERE
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
