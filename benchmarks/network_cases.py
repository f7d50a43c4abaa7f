"""What networks are made of, as `benchmarks.networks` measures it: layers, and the operations around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


class Case(NamedTuple):
    """A call of `nn.functional`, or of an operation, on arrays that gradients go to."""

    title: str
    #: Of the library's functional module, its main module, arrays, and whole numbers.
    call: Callable[..., Any]
    shapes: tuple[tuple[int, ...], ...]
    large: bool
    #: Shape and upper bound of whole numbers, if any.
    whole: tuple[tuple[int, ...], int] | None = None
    #: Multiplications of its products, and of its gradients' where those are not twice as many.
    products: int = 0
    products_back: int | None = None
    #: How often an array as large as the first is read or written, forward and backward, where nothing is multiplied.
    passes: float = 4.5
    dtype: str = "float32"
    #: What is made of the first array's random numbers.
    prepare: Callable[[np.ndarray], np.ndarray] | None = None
    #: Whether no whole number comes twice.
    distinct: bool = False


def _conv(n: int, c: int, size: int, o: int, k: int, padding: int, large: bool) -> Case:
    places = size + 2 * padding - k + 1
    title = f"conv2d, {c} to {o} channels, {k} x {k} of {size} x {size}, batch {n}"
    shapes = ((n, c, size, size), (o, c, k, k), (o,))
    call = lambda F, m, x, w, b, _: F.conv2d(x, w, b, padding=padding)  # noqa: E731
    return Case(title, call, shapes, large, products=n * places * places * o * c * k * k)


def _attention(b: int, h: int, n: int, d: int, large: bool) -> Case:
    call = lambda F, m, q, k, v, _: F.scaled_dot_product_attention(q, k, v)  # noqa: E731
    return Case(
        f"attention, {b} x {h} heads, {n} x {d}", call, ((b, h, n, d),) * 3, large, products=2 * b * h * n * n * d
    )


def _of_rows(rows: int, columns: int, large: bool) -> list[Case]:
    label = f"{rows} x {columns}"
    x = (rows, columns)
    return [
        Case(
            f"layer_norm, {label}", lambda F, m, x, w, b, _: F.layer_norm(x, (columns,), w, b), (x, x[1:], x[1:]), large
        ),
        Case(f"softmax, {label}", lambda F, m, x, _: F.softmax(x, -1), (x,), large),
        Case(f"cross_entropy, {label}", lambda F, m, x, y: F.cross_entropy(x, y), (x,), large, ((rows,), columns)),
        Case(f"gather, {label}", lambda F, m, x, i: m.gather(x, 1, i), (x,), large, (x, columns)),
        Case(f"scatter_add, {label}", lambda F, m, x, y, i: m.scatter_add(x, 0, i, y), (x, x), large, (x, rows)),
    ]


def _places(a: np.ndarray) -> np.ndarray:
    """Give whole numbers in disorder, none of them twice: which of two equals comes first is the library's choice."""
    return np.argsort(a, axis=None).reshape(a.shape)


def _along_axes(size: int, large: bool) -> list[Case]:
    """Give what runs along either axis of a matrix.

    A sum's gradient may be a view of the cotangent; places of what was sorted are eight bytes, written and read again.
    """
    calls: list[tuple[str, Callable[..., Any], float]] = [
        ("cumsum", lambda m, x, axis: m.cumsum(x, axis), 4),
        ("sort", lambda m, x, axis: m.sort(x, axis)[0], 8),
        ("var", lambda m, x, axis: m.var(x, axis), 3),
        ("sum", lambda m, x, axis: m.sum(x, axis), 1),
    ]

    def case(name: str, along: Callable[..., Any], passes: float, axis: int) -> Case:
        title = f"{name} over axis {axis}, {size} x {size}"
        call = lambda F, m, x, _: along(m, x, axis)  # noqa: E731
        prepare = _places if name == "sort" else None
        return Case(title, call, ((size, size),), large, passes=passes, prepare=prepare)

    return [case(*call, axis) for call in calls for axis in (0, 1)]


def _scores(b: int, h: int, n: int, d: int, large: bool) -> Case:
    call = lambda F, m, q, k, _: m.einsum("bhid,bhjd->bhij", q, k)  # noqa: E731
    title = f"einsum bhid,bhjd->bhij, {b} x {h} x {n} x {d}"
    return Case(title, call, ((b, h, n, d),) * 2, large, products=b * h * n * n * d)


def _definite(a: np.ndarray) -> np.ndarray:
    """Give the symmetric matrix with the vectors of `a` made orthogonal, and eigenvalues evenly from 1 to 2."""
    q = np.linalg.qr(a)[0]
    return (q * np.linspace(1, 2, len(q))) @ q.T


def _eigen(F: Any, m: Any, x: Any, _: Any) -> Any:
    values, vectors = m.linalg.eigh(x)
    return values.sum() + vectors * vectors  # whose signs are the library's choice


def _of_matrices(size: int, large: bool) -> list[Case]:
    """Give decompositions, with the multiplications of the textbook's algorithms (Golub and Van Loan).

    Of eigenvectors: a matrix made tridiagonal, and the vectors brought back from there; backward three products.
    """
    label, cube, x = f"{size} x {size}, float64", size**3, (size, size)

    def case(name: str, call: Callable[..., Any], arrays: int, products: int, back: int) -> Case:
        shapes, title = (x,) * arrays, f"{name}, {label}"
        return Case(title, call, shapes, large, None, products, back, dtype="float64", prepare=_definite)

    return [
        case("cholesky", lambda F, m, a, _: m.linalg.cholesky(a), 1, cube // 6, cube // 3),
        case("solve", lambda F, m, a, b, _: m.linalg.solve(a, b), 2, 4 * cube // 3, 2 * cube),
        case("eigh", _eigen, 1, 5 * cube // 3, 3 * cube),
    ]


def _assign_rows(F: Any, m: Any, x: Any, v: Any, rows: Any) -> Any:
    y = x.clone()
    y[rows] = v
    return y


def _assign_slice(F: Any, m: Any, x: Any, v: Any, _: Any) -> Any:
    y = x.clone()
    y[1:-1, 1:-1] = v
    return y


def _assignments(size: int, large: bool) -> list[Case]:
    label, x, rows, inside = f"{size} x {size}", (size, size), (size // 2, size), (size - 2, size - 2)
    whole = rows[:1], size
    return [
        Case(f"y[rows] = v, half of {label}", _assign_rows, (x, rows), large, whole, distinct=True),
        Case(f"y[1:-1, 1:-1] = v, {label}", _assign_slice, (x, inside), large),
    ]


CASES = [
    _conv(64, 1, 28, 6, 5, 2, True),
    _conv(64, 6, 14, 16, 5, 0, True),
    _conv(16, 64, 28, 64, 3, 1, True),
    _conv(4, 3, 8, 4, 3, 1, False),
    *(case for size in (64, 1024) for case in _of_rows(size, size, size > 64)),
    Case(
        "batch_norm, 64 x 32 x 28 x 28",
        lambda F, m, x, w, b, _: F.batch_norm(x, None, None, w, b, True),
        ((64, 32, 28, 28), (32,), (32,)),
        True,
    ),
    Case(
        "batch_norm, 64 x 64",
        lambda F, m, x, w, b, _: F.batch_norm(x, None, None, w, b, True),
        ((64, 64), (64,), (64,)),
        False,
    ),
    Case("max_pool2d, 64 x 6 x 28 x 28", lambda F, m, x, _: F.max_pool2d(x, 2), ((64, 6, 28, 28),), True),
    Case("gelu, 1024 x 1024", lambda F, m, x, _: F.gelu(x), ((1024, 1024),), True),
    Case(
        "embedding, 4096 rows of 10000 x 128",
        lambda F, m, w, i: F.embedding(i, w),
        ((10000, 128),),
        True,
        ((4096,), 10000),
    ),
    _attention(1, 2, 16, 16, False),
    _attention(4, 8, 256, 64, True),
    *(case for size in (64, 4096) for case in _along_axes(size, size > 64)),
    _scores(1, 2, 16, 16, False),
    _scores(4, 8, 256, 64, True),
    *(case for size in (64, 1024) for case in _of_matrices(size, size > 64)),
    *(case for size in (64, 1024) for case in _assignments(size, size > 64)),
]  # fmt: skip
