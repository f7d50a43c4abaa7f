"""NumPy's functions that write: into elements of an array, by ``ufunc.at``, and by ``out=``."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ...arrays import is_stand_in
from ...ops import elementwise as plain
from ...ops.indexing import Index, Scatter
from ...ops.inplace import write_elements
from ...ops.putting import by_order
from ...ops.rewriting import stretches, written_by
from ...ops.shape import broadcast_to
from ...variable import Variable, as_variable, data_of
from .operands import beside, operand

# ---- elements -------------------------------------------------------------------------------------------------------


def _beside(values: Any, x: Variable) -> Any:
    """Give values as an array on the target of a Variable, or as the Variable that they are."""
    values = operand(values)
    return beside(values, x) if isinstance(values, np.ndarray) else values


def _putting(function: Any) -> Any:
    """Make the rule of a function that writes values in places that it finds by itself.

    It is called with the numbers of the values, and tells so which go where.
    """
    signature = inspect.signature(function)
    target, *names = signature.parameters
    name = next(name for name in names if name in ("v", "vals", "values", "val"))
    what = f"np.{function.__name__}"

    def rule(*arguments: Any, **options: Any) -> Any:
        bound = signature.bind(*arguments, **options)
        x = bound.arguments[target]
        if not isinstance(x, Variable):
            return NotImplemented
        values = _beside(bound.arguments[name], x)
        others = {key: data_of(value) for key, value in bound.arguments.items() if key not in (target, name)}
        if any(map(is_stand_in, others.values())):
            mask = others.get("mask")
            if mask is None or values.size not in (1, x.size):
                raise TypeError(f"{what}: places that are traced: write x[places] = values, or choose with np.where")
            values = values.reshape(x.shape) if values.size == x.size else values.reshape(())
            write_elements(x, what, ..., plain.where(mask, values, x), False)
            return None
        numbers: Any = np.full(x.shape, -1)
        bound.arguments.update(others)
        bound.arguments[target], bound.arguments[name] = numbers, np.arange(values.size).reshape(values.shape)
        function(*bound.args, **bound.kwargs)
        chosen = numbers >= 0
        write_elements(x, what, chosen, values.reshape(-1)[numbers[chosen]], False)
        return None

    return rule


def _copyto(dst: Any, src: Any, casting: str = "same_kind", where: Any = True) -> Any:
    if not isinstance(dst, Variable):
        return NotImplemented
    src, mask = _beside(src, dst), data_of(where)
    if not np.can_cast(src.dtype, dst.dtype, casting):  # type: ignore[arg-type]
        raise TypeError(f"np.copyto: from dtype {src.dtype} to {dst.dtype} is no {casting!r} cast")
    src = src if src.dtype == dst.dtype else src.astype(dst.dtype)
    if mask is True:
        write_elements(dst, "np.copyto", ..., src, False)
    else:
        _write_some(dst, "np.copyto", mask, broadcast_to(src, dst.shape))
    return None


def _write_some(x: Variable, what: str, mask: Any, values: Any) -> None:
    """Write those of values, of the shape of a Variable, where a mask holds that broadcasts to it."""
    if is_stand_in(mask):
        traced: Any = mask
        write_elements(x, what, ..., plain.where(traced, values, x), False)
        return
    chosen = np.broadcast_to(np.asarray(mask, bool), x.shape)
    write_elements(x, what, chosen, values[chosen], False)


# ---- ufunc.at -------------------------------------------------------------------------------------------------------

#: What several values for one place make of each other.
_SEVERAL: dict[Any, str] = {
    np.add: "sum", np.subtract: "sum", np.multiply: "prod", np.divide: "prod", np.maximum: "amax", np.minimum: "amin",
}  # fmt: skip


def at(ufunc: np.ufunc, function: Any, x: Variable, indices: Any, *others: Any) -> None:
    """Do what ``ufunc.at`` does to a Variable: each place meets all values that go there.

    Raises TypeError where several would go to one place, for functions that are not defined by all of them together.
    """
    what = f"np.{ufunc.__name__}.at"
    key = tuple(map(data_of, indices)) if isinstance(indices, tuple) else data_of(indices)
    index = Index(key)
    kind = _SEVERAL.get(ufunc)
    if kind == "sum":
        v = _beside(others[0], x)
        shape = np.broadcast_to(np.int8(0), x.shape)[index.key].shape if not _traced(index) else v.shape
        added = v if tuple(v.shape) == tuple(shape) else broadcast_to(v, shape)
        written_by(what, lambda x, v: function(x, Scatter(index, tuple(x.shape))(v)), None, x, (added,), {}, False)
        return
    if _traced(index):
        raise TypeError(
            f"{what}: places that are traced: of these, only np.add.at and np.subtract.at know how many meet"
        )
    places = index.positions(tuple(x.shape))
    if np.unique(places).size == places.size:
        part = x[key]
        write_elements(x, what, key, function(part, *others), False)
        return
    if kind is None:
        raise TypeError(f"{what}: several values for one place: call {function.__name__} for one after the other")
    v = _beside(others[0], x)
    values = broadcast_to(v, places.shape).reshape(-1)

    def made(x: Any, values: Any) -> Any:
        flat, where = x.reshape(-1), (places.reshape(-1),)
        if ufunc is np.divide:
            return (flat / by_order(np.ones(x.size, x.dtype), where, values, kind)).reshape(x.shape)
        return by_order(flat, where, values, kind).reshape(x.shape)

    written_by(what, made, None, x, (values,), {}, False)


def _traced(index: Index) -> bool:
    return index.advanced and index.stand_in is not None


# ---- out= -----------------------------------------------------------------------------------------------------------


def write_out(what: str, call: Callable[..., Any], arguments: Any, options: Any, target: Any) -> Any:
    """Write what a call gives into a Variable, which may be one of its arguments, and give that."""
    given: list[Variable] = []

    def each(value: Any, change: Callable[[Variable], Any]) -> Any:
        if isinstance(value, Variable):
            return change(value)
        if type(value) is dict:
            return {name: each(part, change) for name, part in value.items()}
        return type(value)([each(v, change) for v in value]) if type(value) in (list, tuple) else value

    each((arguments, options), given.append)

    def made(past: Any, *values: Any) -> Variable:
        rest = iter(values)
        positional, named = each((arguments, options), lambda _: next(rest))
        result = as_variable(call(*positional, **named))
        return broadcast_to(result, past.shape) if stretches(result.shape, past.shape) else result

    return written_by(f"{what} with out=", made, None, target, tuple(given), {}, False)


def write_several(what: str, results: Any, targets: tuple[Any, ...]) -> tuple[Any, ...]:
    """Write several results where ``out=`` says, and give that."""
    given = []
    for result, target in zip(results, targets, strict=True):
        if isinstance(target, Variable):
            write_elements(target, f"{what} with out=", ..., result, False)
        elif target is not None:
            target[...] = result
        given.append(result if target is None else target)
    return tuple(given)


def write_where(what: str, ufunc: np.ufunc, function: Any, inputs: tuple[Any, ...], mask: Any, target: Any) -> Any:
    """Write what a function of elements gives into a Variable where a mask holds; it is applied there only."""
    mask = data_of(mask)
    operands = [operand(x) for x in inputs]
    if any(is_stand_in(data_of(x)) for x in (mask, target, *operands)):
        harmless = 2.0 if ufunc is np.arccosh else 0.5  # where no slope is infinite
        safe = [plain.where(mask, x, harmless) if x.dtype.kind == "f" else x for x in operands]
        write_elements(target, f"{what} with out=", ..., plain.where(mask, function(*safe), target), False)
        return target
    chosen = np.broadcast_to(np.asarray(mask, bool), target.shape)
    picked = [x[chosen] if x.shape == target.shape else broadcast_to(x, target.shape)[chosen] for x in operands]
    write_elements(target, f"{what} with out=", chosen, function(*picked), False)
    return target


RULES: dict[Any, Callable[..., Any]] = {
    np.copyto: _copyto,
    **{f: _putting(f) for f in (np.put, np.place, np.putmask, np.put_along_axis, np.fill_diagonal)},
}
