"""The library's functions, a file for each family, and their places as operators and methods of Variable."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..grad_mode import is_grad_enabled
from ..kernels import devices
from ..kernels.formula import NUMPY_NAMES, install_operators
from ..variable import Variable
from .elementwise import OPERATIONS, TABLE, add, where, whole_power
from .indexing import Index, getitem
from .joining import cat, stack, take_along_dim
from .linalg import bmm, dot, matmul, mm, mv
from .reduction import LOGSUMEXP_SLOPE, amax, amin, log_softmax, logsumexp, max, mean, min, prod, softmax, sum
from .shape import (
    astype,
    broadcast_to,
    expand,
    expand_as,
    flatten,
    permute,
    reshape,
    squeeze,
    sum_to,
    swapaxes,
    t,
    transpose,
    unsqueeze,
    view,
)
from .transfer import cpu, cuda, to

__all__ = ["ADDITION", "NUMPY_UFUNCS", "add", "astype", "clone", "sum_to", "to"]

#: Addition, whose `call` accumulates gradients as arrays.
ADDITION = OPERATIONS["add"]

#: Functions that stand behind NumPy's ufuncs, by our names for them.
NUMPY_UFUNCS: dict[str, Any] = {**TABLE, "matmul": matmul}


def _array_ufunc(self: Variable, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
    """Stand in for a NumPy ufunc that met a Variable (NEP 13)."""
    function = NUMPY_UFUNCS.get(NUMPY_NAMES.get(ufunc.__name__, ufunc.__name__))
    variables = [x for x in (*inputs, *options.values()) if isinstance(x, Variable)]
    recorded = is_grad_enabled() and any(x._generation >= 0 for x in variables)
    if options.get("out") is not None and not recorded:  # array -= step
        plain = [x._data if isinstance(x, Variable) else x for x in inputs]
        return getattr(ufunc, method)(*plain, **options)
    if function is None or method != "__call__" or options:
        call = f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
        raise TypeError(
            f"{call} with {sorted(options) or 'these arguments'} does not work on Variables: "
            "use nbgrad's function of that purpose, or x.data where no gradient is needed"
        )
    return function(*inputs)


#: NumPy's functions that are ours by the same arguments.
_NUMPY_FUNCTIONS: dict[str, Any] = {
    **{f.__name__: f for f in (sum, mean, prod, amax, amin, reshape, squeeze, transpose, broadcast_to, where)},
    "max": lambda x, axis=None, **options: max(x, axis=axis, **options),
    "min": lambda x, axis=None, **options: min(x, axis=axis, **options),
    "concatenate": cat,
    "stack": stack,
    "dot": matmul,
    "swapaxes": swapaxes,
}


def _array_function(self: Variable, function: Any, types: Any, arguments: Any, options: Any) -> Any:
    """Stand in for another NumPy function that met a Variable (NEP 18)."""
    ours = _NUMPY_FUNCTIONS.get(function.__name__)
    if ours in (sum, mean, prod, amax, amin) and len(arguments) == 2:
        arguments, options = arguments[:1], {"axis": arguments[1], **options}
    expected, most = (("axis", "keepdims"), 1) if ours in (sum, mean, prod, amax, amin) else (("axis", "keepdims"), 3)
    plain = len(arguments) <= most and not (function.__name__ == "dot" and any(x.ndim > 2 for x in arguments))
    if ours is not None and plain and all(name in expected and options[name] is not None for name in options):
        return ours(*arguments, **options)
    recorded = False

    def unwrapped(value: Any) -> Any:
        nonlocal recorded
        if isinstance(value, Variable):
            recorded = recorded or value.requires_grad
            return value.data
        return type(value)(map(unwrapped, value)) if type(value) in (list, tuple) else value

    arguments, options = unwrapped(arguments), {name: unwrapped(value) for name, value in options.items()}
    if recorded:
        raise TypeError(
            f"np.{function.__name__} with these arguments does not work on Variables that require a gradient: use "
            "nbgrad's function of that purpose, or x.data where no gradient is needed"
        )
    return function(*arguments, **options)


def _in_place(function: Any) -> Any:
    """Make an operator like ``w -= step``: under no_grad it changes a leaf's array, as training loops mean it.

    Everywhere else the name takes the result, which leaves alone whatever the graph may still need.
    """

    def operator(self: Variable, other: Any) -> Variable:
        result: Variable = function(self, other)
        if self._generation != 0 or is_grad_enabled():
            return result
        self.data[...] = result.data
        return self

    return operator


def _setitem(self: Variable, key: Any, value: Any) -> None:
    """Put values in place of elements, where nothing is recorded that they would change.

    Raises RuntimeError for a Variable that was computed with a gradient, and for values that require one.
    """
    held = value._data if isinstance(value, Variable) else value
    recorded = is_grad_enabled() and (isinstance(value, Variable) and value._generation >= 0)
    if self._generation > 0 or recorded or (self._generation == 0 and is_grad_enabled()):
        reason = "values that require a gradient" if self._generation < 0 else "a Variable that requires a gradient"
        raise RuntimeError(
            f"x[key] = value: {reason} cannot be put into or changed in place, for the graph may need what was there: "
            "use nbgrad.where(mask, value, x), nbgrad.cat or nbgrad.stack; leaves may be changed under no_grad()"
        )
    self._data[Index(key).key] = held


def clone(x: Any) -> Any:
    """Copy; the gradient passes."""
    if not isinstance(x, Variable):
        return x.copy() if devices.is_cuda(x) else np.array(x)
    return TABLE["positive"](x) if x.dtype.char in "fd" else Variable(x.data.copy())


_METHODS = [
    amax, amin, astype, bmm, broadcast_to, clone, cpu, cuda, dot, expand, expand_as, flatten, log_softmax, logsumexp,
    matmul, max, mean, min, mm, mv, permute, prod, reshape, softmax, squeeze, sum, swapaxes, t, take_along_dim, to,
    transpose, unsqueeze, view,
]  # fmt: skip
#: Functions of the table that make no sense as methods of their first argument.
_NOT_METHODS = ("where", "squared_error", "bce_with_logits", "softplus")


def _install() -> None:
    install_operators(Variable, TABLE.__getitem__)
    methods: dict[str, Any] = {function.__name__: function for function in _METHODS}
    methods |= {name: function for name, function in TABLE.items() if name not in _NOT_METHODS}
    methods["__matmul__"] = matmul
    methods["__rmatmul__"] = lambda self, other: matmul(other, self)
    methods["__getitem__"] = getitem
    methods["__setitem__"] = _setitem
    for name, operator in (("add", "add"), ("sub", "sub"), ("mul", "mul"), ("truediv", "div")):
        methods[f"__i{name}__"] = _in_place(TABLE[operator])
    methods["__array_ufunc__"] = _array_ufunc
    methods["__array_function__"] = _array_function
    methods["T"] = property(transpose, doc="The Variable with its dimensions reversed.")
    for name, method in methods.items():
        setattr(Variable, name, method)


_install()


def kernel_catalogue() -> list[tuple[str, Any]]:
    """List the float32 and float64 kernels of values and first derivatives, each with a call that compiles it."""
    from ..kernels import reductions
    from ..kernels.cpu import indexing, pool
    from ..kernels.cpu import reduction as cpu

    jobs: list[tuple[str, Any]] = [("the thread pool", pool.compiled)]

    def elementwise_job(operation: Any, dtype: str) -> None:
        arguments = [np.ones(1, "?" if kind == "truth" else dtype) for kind in operation.kinds]
        jobs.append((f"{operation.name} {dtype}", lambda: operation.call(*arguments)))

    for dtype in ("float32", "float64"):
        powers = [whole_power(n) for n in range(-8, 9) if n]
        for operation in (*OPERATIONS.values(), *powers, LOGSUMEXP_SLOPE):
            elementwise_job(operation, dtype)
            for pullback in operation.pullbacks:
                if pullback is not None and pullback.operation is not None:
                    elementwise_job(pullback.operation, dtype)
        for reduction in vars(reductions).values():
            if isinstance(reduction, reductions.Reduction):
                for kernel in (cpu.row_kernel(reduction), cpu.block_kernel(reduction)):
                    arguments = [np.ones((1, 1), dtype)] * reduction.arity
                    jobs.append((f"{reduction.name} {dtype}", lambda k=kernel, a=arguments: k(*a)))
        position, table = np.zeros(1, np.int64), np.ones((1, 1), dtype)
        jobs.append((f"gather {dtype}", lambda p=position, t=table: indexing.gather()(t, p)))
        jobs.append((f"scatter_add {dtype}", lambda p=position, t=table: indexing.scatter_add()(p, t, t.copy())))
    return jobs
