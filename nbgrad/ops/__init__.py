"""The library's functions, a file for each family, and their places as operators and methods of Variable."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from .. import registry
from ..kernels.operators import install_operators
from ..recording import giving_way, recorded_by
from ..variable import Variable
from . import arithmetic as arithmetic  # each registers its operations
from . import extrema as extrema
from . import inplace
from . import joining as joining
from . import norms as norms
from . import scan as scan
from . import slicing as slicing
from . import statistics as statistics
from .elementwise import OPERATIONS, TABLE, add, whole_power
from .indexing import GetItem, getitem
from .linalg import calls, matmul
from .pullback import back_of
from .shape import astype, sum_to, swapaxes, transpose
from .transfer import beside, clone

__all__ = ["ADDITION", "add", "astype", "beside", "clone", "getitem", "sum_to"]

#: Addition, whose `call` accumulates gradients as arrays.
ADDITION = OPERATIONS["add"]


def _matrices_transposed(x: Variable) -> Variable:
    if x.ndim < 2:
        raise ValueError(f"mT: shape {x.shape}: takes matrices")
    return swapaxes(x, -2, -1)


def _matrix_transposed(x: Variable) -> Variable:
    if x.ndim not in (0, 2):
        raise ValueError(f"H: shape {x.shape}: takes a matrix")
    return transpose(x)


def _divmod(x: Variable, y: Any) -> tuple[Any, Any]:
    return x // y, x % y


def _rdivmod(x: Variable, y: Any) -> tuple[Any, Any]:
    return y // x, y % x


def _round(x: Variable, digits: int = 0) -> Variable:
    rounded: Variable = registry.load("round").function(x, decimals=digits)
    return rounded


def _contains(x: Variable, value: object) -> bool:
    return bool((x == value).any())


def _install() -> None:
    install_operators(Variable, TABLE.__getitem__)
    methods: dict[str, Any] = registry.methods()
    methods["__matmul__"] = giving_way("__matmul__", matmul, lambda: calls.product)
    methods["__rmatmul__"] = lambda self, other: matmul(other, self)
    methods["__getitem__"] = giving_way("__getitem__", getitem, lambda: recorded_by(GetItem, getitem))
    methods |= {"__divmod__": _divmod, "__rdivmod__": _rdivmod, "__round__": _round, "__contains__": _contains}
    arithmetic.install(methods)
    inplace.install(methods)
    methods["T"] = property(transpose, doc="The Variable with its dimensions reversed.")
    methods["mT"] = methods["mH"] = property(_matrices_transposed, doc="The last two dimensions in reverse order.")
    methods["H"] = property(_matrix_transposed, doc="The matrix transposed, as real numbers have it.")
    for name, method in methods.items():
        setattr(Variable, name, method)
    registry.install_method = partial(setattr, Variable)


_install()


def kernel_catalogue() -> list[tuple[str, Any]]:
    """List the float32 and float64 kernels of values and first derivatives, each with a call that compiles it."""
    from ..kernels import reductions, scans
    from ..kernels.cpu import channels, classes, indexing, matrix_vector, norms, other_factors, pool, scan, windows
    from ..kernels.cpu import reduction_loops as cpu
    from ..kernels.cpu.reduction import reduce_elements
    from ..kernels.cpu.small import conversion, copies, products, views, writer
    from ..kernels.cpu.small import reductions as small
    from ..kernels.cpu.small import scans as small_scans
    from ..kernels.windows import Frame

    jobs: list[tuple[str, Any]] = [("the thread pool", pool.compiled)]
    works: list[Any] = [views.getitem, views.reshape, views.permute, views.broadcast, views.spread, products.product]
    works += [copies.cat, copies.stack, copies.put, copies.rows, copies.gather, copies.scatter, copies.take, copies.add]
    works += [
        conversion.cast,
        products.linear,
        writer.references,
        small.places,
        lambda: small_scans.scan(scans.TABLE["cumsum"]),
    ]
    works += [small.sum_to, lambda: small.reduce(reductions.sum), lambda: small.spread(reductions.softmax)]
    jobs += [(f"small {work().name}", work().address) for work in works]
    jobs.append(("recorded", lambda: GetItem.apply))
    for number, folds in matrix_vector.KINDS:
        jobs.append((f"lines {'folded' if folds else 'added'} {number}", partial(matrix_vector.address, number, folds)))

    def elementwise_job(operation: Any, dtype: str) -> None:
        arguments = [np.ones(1, "?" if kind == "truth" else dtype) for kind in operation.kinds]
        jobs.append((f"{operation.name} {dtype}", lambda: operation.call(*arguments)))

    for dtype in ("float32", "float64"):
        powers = [whole_power(n) for n in range(-8, 9) if n]
        listed = list(reductions.TABLE.values())
        rules = [operation for r in listed if r.rule is not None for operation in back_of(r).operations]
        for operation in dict.fromkeys((*OPERATIONS.values(), *powers, *rules)):
            elementwise_job(operation, dtype)
            for pullback in operation.pullbacks:
                if pullback is not None and pullback.operation is not None:
                    elementwise_job(pullback.operation, dtype)
        for reduction in listed:
            for kernel in (cpu.row_kernel(reduction), cpu.block_kernel(reduction)):
                arguments = [np.ones((1, 1), dtype)] * reduction.arity + [np.ones(1)] * reduction.numbers
                jobs.append((f"{reduction.name} {dtype}", lambda k=kernel, a=arguments: k(*a)))
        lines = np.ones((2, 1), dtype)
        for name in scans.TABLE.keys() - {"recurrence"}:
            jobs.append((f"{name} {dtype}", lambda n=name, x=lines: scan.scan_array(n, x, 1)))
        jobs.append((f"recurrence {dtype}", lambda x=lines: scan.recur(x[:1], x, 0)))
        position, table = np.zeros(1, np.int64), np.ones((1, 1), dtype)
        jobs.append((f"gather {dtype}", lambda p=position, t=table: indexing.gather()(t, p)))
        jobs.append((f"scatter_add {dtype}", lambda p=position, t=table: indexing.scatter_add()(p, t, t.copy())))
        for axis in (0, 1):
            jobs.append((f"prod_vjp {dtype}", lambda t=table, a=axis: other_factors.products_of_others(t, t[0], (a,))))
        one = table[0, 0, ...]
        for mean in (False, True):
            for loss in (OPERATIONS["squared_error"], OPERATIONS["bce_with_logits"]):
                add_up = partial(reduce_elements, loss.name, loss.expression, mean, table, table)
                jobs.append((f"sum of {loss.name} {dtype}", add_up))
        state, row = np.ones((1, 2), dtype), table[0]
        jobs.append((f"cross_entropy {dtype}", partial(classes.cross_entropy, table, position, one)))
        slope = partial(classes.cross_entropy_slope, one, table, position, one, state)
        jobs.append((f"cross_entropy_vjp {dtype}", slope))
        jobs.append((f"nll {dtype}", partial(classes.nll, table, position, one)))
        jobs.append((f"nll_vjp {dtype}", partial(classes.nll_slope, one, position, one, (1, 1))))
        jobs.append((f"layer_norm {dtype}", partial(norms.layer_norm, table, row, row, one)))
        moments = np.ones((1, 2))
        jobs.append((f"layer_norm_vjp {dtype}", partial(norms.layer_norm_slope, table, table, row, moments)))
        jobs.append((f"layer_norm_columns {dtype}", partial(norms.layer_norm_columns, table, table, moments)))
        channel, frame = np.ones((1, 1, 1), dtype), Frame((1,), (1,), (1,), (0,), (1,), (0,))
        jobs.append((f"channel_norm {dtype}", partial(channels.channel_norm, channel, row, row, one)))
        jobs.append((f"channel_norm_vjp {dtype}", partial(channels.channel_norm_slope, channel, channel, row, moments)))
        jobs.append((f"columns {dtype}", partial(windows.columns, channel, frame)))
        jobs.append((f"overlapped {dtype}", partial(windows.overlapped, channel[None], frame)))
        jobs.append((f"highest {dtype}", partial(windows.highest, channel, frame)))
    return jobs
