"""`vmap`: a function of one example into one of many, run once for all of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .. import history, sharing
from ..arrays import as_array, is_array
from ..batching.batched import Batched, leave
from ..batching.levels import Level
from ..batching.moving import Enter, Leave
from ..elements import users_line
from ..generator import traced_draw
from ..kernels import dispatch
from ..nests import Kind, count, flatten, parts_of, unflatten
from ..ops.indexing import getitem
from ..ops.inplace import put_back, written_outside
from ..ops.joining import cat
from ..variable import Variable, data_of

Dims = Any


def vmap(
    function: Callable[..., Any],
    in_dims: Dims = 0,
    out_dims: Dims = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Vectorized:
    """Turn a function of one example into one of many, which runs it once, on what stands in for the array of each.

    `in_dims` names the dimension of each argument along which the examples lie, None where it is the same for all: one
    for all arguments, or a tuple with one for each, which may be nests like these. `out_dims` tells the same of the
    results. `chunk_size` bounds how many examples are computed at once. Random numbers drawn inside are an error unless
    `randomness` is "different" for each example, or the "same" for all.

    Nearly all operations work on all examples at once; `explain` names what has to go one by one. Nests with all other
    transforms: ``vmap(grad(f))`` gives a gradient for each example. Inside, branches on elements are a TypeError, as
    they are for `jit`, and so are shapes that depend on elements.

    Raises ValueError for `in_dims` that do not fit, and for different numbers of examples.

    >>> import numpy as np, nbgrad
    >>> x = np.array([[1.0, 2.0], [3.0, 4.0]])
    >>> print(nbgrad.vmap(lambda v: v @ v)(x), nbgrad.vmap(nbgrad.grad(lambda v: (v**3).sum()))(x).tolist())
    [ 5. 25.] [[3.0, 12.0], [27.0, 48.0]]
    """
    return Vectorized(function, in_dims, out_dims, randomness, chunk_size)


class Vectorized:
    """A function that runs once for many examples."""

    def __init__(
        self, function: Callable[..., Any], in_dims: Dims, out_dims: Dims, randomness: str, chunk_size: int | None
    ) -> None:
        if randomness not in ("error", "different", "same"):
            raise ValueError(f"vmap: randomness is {randomness!r}: it is 'error', 'different' or 'same'")
        if chunk_size is not None and (type(chunk_size) is not int or chunk_size < 1):
            raise ValueError(f"vmap: chunk_size is {chunk_size!r}: give a positive whole number, or None")
        if not callable(function):
            raise TypeError(f"vmap: {type(function).__name__} is no function")
        functools.update_wrapper(self, function, updated=())
        self.function, self.in_dims, self.out_dims = function, in_dims, out_dims
        self.randomness, self.chunk_size = randomness, chunk_size
        self.name = getattr(function, "__name__", repr(function))

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """Bind to an instance, as methods are, which is the same for all examples."""
        if instance is None:
            return self
        bound = functools.partial(self.function, instance)
        return Vectorized(bound, self.in_dims, self.out_dims, self.randomness, self.chunk_size)

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Run the function for all examples along the dimensions that `in_dims` names; of `options`, the first."""
        return self._run(arguments, options, {})

    def explain(self, *arguments: Any, **options: Any) -> str:
        """Run the function, and tell what was computed for one example after the other, and how often."""
        loops: dict[str, int] = {}
        self._run(arguments, options, loops)
        if not loops:
            return f"{self.name}: everything at once"
        lines = [f"    {name}" + (f", {n} times" if n > 1 else "") for name, n in loops.items()]
        return "\n".join([f"{self.name}: one by one are computed", *lines])

    def _run(self, arguments: tuple[Any, ...], options: dict[str, Any], loops: dict[str, int]) -> Any:
        leaves: list[Any] = []
        structure = flatten((list(arguments), options), leaves)
        (_, (positional, named)) = structure
        in_dims = list(self.in_dims) if isinstance(self.in_dims, tuple | list) else self.in_dims
        dims = [*_spread("in_dims", in_dims, positional), *_spread("in_dims", 0, named)]
        dims = [_dimension(i, leaf, dim) for i, (leaf, dim) in enumerate(zip(leaves, dims, strict=True))]
        size = self._size(leaves, dims)
        step = self.chunk_size or max(size, 1)
        parts: list[list[Any]] = []
        found: Any = None
        for begin in range(0, max(size, 1), step):
            end = min(begin + step, size)
            given = leaves if step >= size else [_cut(x, dim, begin, end) for x, dim in zip(leaves, dims, strict=True)]
            before = found, parts[0] if parts else None
            found, results = self._at_once(structure, given, dims, end - begin, loops)
            if parts and not _alike(before, (found, results)):
                raise ValueError(
                    f"vmap: {self.name} gave another structure, or other shapes, for examples {begin} to {end - 1} "
                    "than for those before: with chunk_size it runs several times, and has to do the same in each"
                )
            parts.append(results)
        joined = [_joined(column) for column in zip(*parts, strict=True)]
        out_dims = _spread("out_dims", self.out_dims, found)
        return unflatten(found, iter([_outward(y, dim) for y, dim in zip(joined, out_dims, strict=True)]))

    def _size(self, leaves: Sequence[Any], dims: Sequence[int | None]) -> int:
        pairs = enumerate(zip(leaves, dims, strict=True))
        sizes = {data_of(x).shape[dim]: i for i, (x, dim) in pairs if dim is not None}
        if not sizes:
            raise ValueError(f"vmap: {self.name} has no argument with examples along a dimension: in_dims says which")
        if len(sizes) > 1:
            told = ", ".join(f"{size} in argument {i}" for size, i in sizes.items())
            raise ValueError(f"vmap: the arguments of {self.name} have different numbers of examples: {told}")
        return next(iter(sizes))

    def _at_once(
        self, structure: Any, leaves: Sequence[Any], dims: Sequence[int | None], size: int, loops: dict[str, int]
    ) -> tuple[Any, list[Any]]:
        """Run the function for some examples; gives the structure of its result, and the leaves, examples in front."""
        with _run_of(size, self.randomness, loops) as level:
            given = [_entered(level, x, dim) for x, dim in zip(leaves, dims, strict=True)]
            positional, named = unflatten(structure, iter(given))
            results: list[Any] = []
            around = history.writes_of_trace.get()
            written = history.WritesOfTrace((lambda array: None) if around is None else around.change)
            before = history.writes_of_trace.set(written)
            try:
                found = flatten(self.function(*positional, **named), results)
            finally:
                history.writes_of_trace.reset(before)
            self._refuse_written_outside(level, written, [*given, *results])
        return found, [_left(level, self.name, y) for y in results]

    def _refuse_written_outside(self, level: Level, written: list[Any], known: list[Any]) -> None:
        """Raise for a Variable from outside that examples were written to; all have what they had again."""

        def of_level(array: Any) -> bool:
            return type(array) is Batched and array.level is level

        entered = [each for each in written if (x := each[0]()) is not None and of_level(x._array)]
        outside = written_outside([each for each in entered if not of_level(each[1][0])], known)
        if outside:
            for x, kept in written_outside(written, known):
                put_back(x, kept)
            raise TypeError(
                f"vmap: {self.name} writes what differs from example to example to a Variable of shape "
                f"{outside[0][0].shape} from outside, which has room for one: return it, or write to one made inside "
                "(running figures of batch norm: track_running_stats=False, or eval())"
            )
        around = history.writes_of_trace.get()
        if around is not None:
            around += [each for each in written if not any(each[0]() is other[0]() for other in around)]


@contextmanager
def _run_of(size: int, randomness: str, loops: dict[str, int]) -> Iterator[Level]:
    """Open a level."""
    level = Level(size)
    level.loops = loops

    before = traced_draw.get()

    def drawn(generator: Any, kind: str, shape: tuple[int, ...], dtype: Any) -> Any:
        if randomness == "error":
            raise TypeError(
                f"vmap: random numbers are drawn at {users_line()}, and randomness is 'error': 'different' draws "
                "others for each example, 'same' the same for all"
            )
        inner = traced_draw.set(before)
        try:
            if randomness == "same":
                return generator.draw(kind, shape, dtype)
            return Enter(level).forward(generator.draw(kind, (size, *shape), dtype))
        finally:
            traced_draw.reset(inner)

    token = traced_draw.set(drawn)
    sharing.stand_ins += 1
    try:
        with level:
            yield level
    finally:
        sharing.stand_ins -= 1
        traced_draw.reset(token)


def _spread(what: str, dims: Any, structure: Any) -> list[Any]:
    """Give the dimension of each leaf of a nest, for which one may stand for all leaves below."""
    if dims is None or (isinstance(dims, int) and not isinstance(dims, bool)):
        return [dims] * count(structure)
    kind, items = structure if structure is not None else (None, ())
    if isinstance(kind, Kind) and (parts := parts_of(kind, dims)) is not None:
        dims = parts
    if kind is dict and isinstance(dims, dict) and list(dims) == [key for key, _ in items]:
        return [dim for key, item in items for dim in _spread(what, dims[key], item)]
    if kind is not None and kind is not dict and isinstance(dims, tuple | list) and len(dims) == len(items):
        return [dim for part, item in zip(dims, items, strict=True) for dim in _spread(what, part, item)]
    got = "a single one" if structure is None else f"{len(items)} of them"
    raise ValueError(f"vmap: {what} {dims!r} does not fit the {'arguments' if what == 'in_dims' else 'results'}, {got}")


def _dimension(position: int, leaf: Any, dim: int | None) -> int | None:
    """Give the dimension along which a leaf's examples lie, counted from the front; None for what all share."""
    array = data_of(leaf)
    if dim is None or not (is_array(array) or isinstance(array, bool | int | float | np.generic)):
        return None
    ndim = array.ndim if is_array(array) else 0
    if not -ndim <= dim < ndim:
        got = f"shape {array.shape}" if is_array(array) else f"the number {array!r}"
        raise ValueError(
            f"vmap: in_dims has {dim} for argument {position}, {got}, which has no such dimension: give None for what "
            "is the same for all examples"
        )
    return dim % ndim


def _first(x: Any, dim: int) -> Any:
    """Put a dimension in front."""
    return x if dim == 0 else x.transpose((dim, *[axis for axis in range(x.ndim) if axis != dim]))


def _entered(level: Level, x: Any, dim: int | None) -> Any:
    if dim is None:
        return x
    moved = _first(x, dim)
    if isinstance(moved, Variable):
        entered = Enter(level)(moved)
        level.given.append(moved._array)
        return entered
    level.given.append(moved)
    return Enter(level).forward(as_array(moved))


def _left(level: Level, name: str, y: Any) -> Any:
    if y is None:
        return None
    if isinstance(y, Variable):
        return Leave(level)(y)
    if not (isinstance(y, bool | int | float | np.generic) or is_array(y)):
        raise TypeError(
            f"vmap: {name} gave a {type(y).__name__}: results are Variables, arrays, numbers, None, and nests of them"
        )
    return leave(level, as_array(y))


def _outward(y: Any, dim: Any) -> Any:
    """Put the examples along a dimension of a result."""
    if y is None or dim == 0:
        return y
    if dim is None:
        raise ValueError("vmap: out_dims has None: give the dimension along which the results of all examples lie")
    if not -y.ndim <= dim < y.ndim:
        raise ValueError(f"vmap: out_dims has {dim} for a result of shape {y.shape}, examples included")
    order = list(range(1, y.ndim))
    order.insert(dim % y.ndim, 0)
    return y.transpose(tuple(order))


def _alike(first: tuple[Any, Any], second: tuple[Any, Any]) -> bool:
    """Tell whether two runs gave the same structure, and arrays that can be joined."""
    shapes = [[None if y is None else y.shape[1:] for y in results] for _, results in (first, second)]
    return bool(first[0] == second[0] and shapes[0] == shapes[1])


def _cut(x: Any, dim: int | None, begin: int, end: int) -> Any:
    return x if dim is None else getitem(x, (*(slice(None),) * dim, slice(begin, end)))


def _joined(parts: Sequence[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    if parts[0] is None:
        return None
    recorded = any(isinstance(part, Variable) for part in parts)
    return cat(list(parts), 0) if recorded else dispatch.concatenate("vmap", parts, 0)
