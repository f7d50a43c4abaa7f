"""What operations on arrays are in a program's terms: formulas, folds, views and calls of nodes.

All functions here take nodes of a program and give nodes of it. They know of no Python numbers that take the dtype they
meet, and of none of NumPy's rules: what stands in for arrays, and what follows from these, stands above.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache as once
from typing import Any

import numpy as np

from ..kernels import formula, philox, reductions
from ..kernels import scalars as scalar
from ..kernels.cpu import elementwise as cpu
from ..kernels.formula import NUMBER, TRUTH, Expression
from ..kernels.placement import CPU
from ..kernels.shapes import broadcast_shapes
from .calls import call, frozen
from .layout import can_reshape
from .program import (
    Call,
    Constant,
    Draw,
    Fold,
    Input,
    Join,
    Look,
    Map,
    Node,
    Pad,
    Program,
    View,
    dtype_name,
    reshaped,
    root_of,
)

Shape = tuple[int, ...]


@once
def compiles(dtype: np.dtype[Any]) -> bool:
    """Tell whether there are loops for a dtype."""
    return dtype.char in cpu.DTYPES[formula.COMPARISON] and dtype.isnative


def number(program: Program, value: float, dtype: Any = None) -> Node:
    """Give a number that stays the same."""
    return program.constant(frozen(np.array(value, dtype)))


# ---- views ----------------------------------------------------------------------------------------------------------


def shape_seen(node: Node, view: Callable[[Any], Any]) -> Shape:
    """Give the shape that a view of an array of a node's shape has."""
    like = np.ndarray(node.shape, np.int8, _ELEMENT, 0, (0,) * len(node.shape))  # a tenth of np.broadcast_to's time
    return tuple(view(like).shape)


_ELEMENT = np.zeros((), np.int8)


def reshape(program: Program, node: Node, shape: Shape) -> Node:
    """Give the elements in another shape, of as many."""
    node = reshaped(node)
    if node.shape == shape:
        return node
    if compiles(node.dtype) and not can_reshape(node, shape):
        # NumPy would copy as well; what lies in C order afterwards has any shape
        kind = TRUTH if node.dtype == np.bool_ else NUMBER
        node = mapped(program, formula.variable(0, kind), [node], node.dtype)
    return program.add(View("reshape", shape), (node,), shape, node.dtype)


def transpose(program: Program, node: Node, order: tuple[int, ...]) -> Node:
    """Give the elements with the axes in another order."""
    if order == tuple(range(len(order))):
        return node
    return program.add(View("transpose", order), (node,), tuple(node.shape[axis] for axis in order), node.dtype)


def broadcast(program: Program, node: Node, shape: Shape) -> Node:
    """Repeat the elements along new and stretched axes."""
    return node if shape == node.shape else program.add(View("broadcast", shape), (node,), shape, node.dtype)


def index(program: Program, node: Node, parts: tuple[Any, ...]) -> Node:
    """Give the elements at an index of slices, whole numbers, None and ellipses."""
    if Ellipsis not in parts:
        parts = (*parts, Ellipsis)  # a single element then is a view as well
    return program.add(View("index", parts), (node,), shape_seen(node, lambda x: x[parts]), node.dtype)


def join(program: Program, nodes: Sequence[Node], axis: int) -> Node:
    """Put values of one dtype, which loops can write, one after the other along an axis."""
    first = nodes[0]
    nodes = [node for node in nodes if node.shape[axis]] or [first]
    if len(nodes) == 1:
        return nodes[0]
    length = sum(node.shape[axis] for node in nodes)
    shape = (*first.shape[:axis], length, *first.shape[axis + 1 :])
    return program.add(Join(axis), nodes, shape, first.dtype)


def pad(program: Program, node: Node, starts: Sequence[int], shape: Shape) -> Node:
    """Put zeros around a value, which begins at some place along each axis of a shape."""
    if node.shape == shape:
        return node
    if not node.size:
        node = broadcast(program, number(program, 0, node.dtype), shape)
        return program.add(Map(None, dtype_name(node.dtype)), (node,), shape, node.dtype)
    if isinstance(root_of(node).operation, Draw):  # which is nowhere in memory
        node = program.add(Map(None, dtype_name(node.dtype)), (node,), node.shape, node.dtype)
    padded = program.add(Pad(tuple(starts)), (node,), shape, node.dtype)
    return program.add(Map(None, dtype_name(node.dtype)), (padded,), shape, node.dtype)


# ---- formulas -------------------------------------------------------------------------------------------------------


def convert(program: Program, node: Node, dtype: Any) -> Node:
    """Convert the elements."""
    wanted = np.dtype(dtype)
    if wanted == node.dtype:
        return node
    # what lies outside of the range of few or unsigned bits, each way of conversion takes elsewhere
    outside = node.dtype.kind == "f" and (wanted.kind == "u" or (wanted.kind == "i" and wanted.itemsize < 4))
    if outside or not (compiles(node.dtype) and compiles(wanted)):
        return call(program, lambda x: x.astype(wanted), "astype", node)
    return program.add(Map(None, wanted.name), (node,), node.shape, wanted)


def mapped(program: Program, expression: Expression, nodes: Sequence[Node], dtype: np.dtype[Any]) -> Node:
    """Apply a formula to nodes of one dtype, which the result has as well."""
    shape = broadcast_shapes(*(node.shape for node in nodes))
    return program.add(Map(expression, dtype_name(dtype)), nodes, shape, dtype)


def computed(program: Program, expression: Expression, nodes: Sequence[Node], dtype: np.dtype[Any]) -> Node:
    """Apply an elementwise formula, whose numbers are of a dtype; a formula of truth gives truth values."""
    if dtype == np.bool_ and expression.kind == NUMBER:
        whole = np.dtype(cpu.computed_in([expression], "bool"))
        kinds = formula.inputs(expression)
        nodes = [x if kinds.get(i) == TRUTH else convert(program, x, whole) for i, x in enumerate(nodes)]
        return convert(program, computed(program, expression, nodes, whole), bool)
    node = _known(program, expression, nodes, dtype)
    if node is None:
        if not compiles(dtype) or any([x.dtype is not dtype for x in nodes]):
            kinds = formula.inputs(expression)
            nodes = [_in_dtype(program, x, dtype, kinds.get(i) == TRUTH) for i, x in enumerate(nodes)]
        shape = broadcast_shapes(*[node.shape for node in nodes])
        result = _BOOL if expression.kind == TRUTH else dtype
        node = program.add(Map(expression, dtype_name(dtype)), nodes, shape, result)
    return node


_BOOL = np.dtype(bool)


def _in_dtype(program: Program, node: Node, dtype: np.dtype[Any], truth: bool) -> Node:
    """Give a number that stays the same in the dtype it is wanted in, once and for all; anything else as it is."""
    value = None if truth or dtype.kind != "f" or node.dtype == dtype else program.number_of(node)
    if value is not None:
        return number(program, value, dtype)
    return node if compiles(node.dtype) else convert(program, node, dtype)


_ARITHMETIC = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "neg": np.negative}


def _known(program: Program, expression: Expression, nodes: Sequence[Node], dtype: np.dtype[Any]) -> Node | None:
    """Give the result of simple arithmetic on numbers at once: a mean's slope is often made of them alone."""
    function = _ARITHMETIC.get(expression.function.name if expression.function is not None else "")
    if function is None or nodes[0].shape:
        return None
    values = []
    for node in nodes:
        value = program.number_of(node)
        if value is None:
            return None
        values.append(value)
    # `is`, since == of expressions writes a comparison
    if any(x is not formula.variable(i) for i, x in enumerate(expression.arguments)):
        return None
    with np.errstate(all="ignore"):
        return number(program, function(*(np.asarray(v, dtype) for v in values)), dtype)


def draw(program: Program, generator: Any, kind: str, shape: Shape, dtype: np.dtype[Any]) -> Node:
    """Give random numbers that every run draws anew, from where the generator is then."""
    if generator not in program.streams:
        program.streams[generator] = program.input((2,), np.uint64), 0
    state, used = program.streams[generator]
    program.streams[generator] = state, used + philox.blocks_of(math.prod(shape), dtype_name(dtype))
    drawn = program.add(Draw(kind, philox.first_of(used, dtype_name(dtype))), (state,), shape, dtype)
    # they have no memory: a formula is what they are read by
    return mapped(program, formula.variable(0), [drawn], dtype)


# ---- folds ----------------------------------------------------------------------------------------------------------


def fold(
    program: Program, name: str, axes: tuple[int, ...], nodes: Sequence[Node], numbers: Sequence[float] = ()
) -> Node:
    """Apply one of `kernels.reductions`: its stages, and the formula at the end; a finish drops the axes."""
    first, reduction = nodes[0], reductions.TABLE[name]
    if first.dtype == np.float16:
        return fold(program, name, axes, [convert(program, x, np.float32) for x in nodes], numbers)
    if not compiles(first.dtype):
        raise TypeError(f"{name}: no kernel for dtype {first.dtype}: convert to a real dtype first")
    if reduction.wide and len(reduction.stages) == 1 and first.dtype == np.float32 and program.target is CPU:
        # As the CPU's kernels compute; there is little float64 on many GPUs. What several stages compute is shared with
        # the way back, in the elements' dtype, which is worth more than the last digit.
        wide = fold(program, name, axes, [convert(program, x, np.float64) for x in nodes], numbers)
        return convert(program, wide, np.float32)
    ndim = len(first.shape)
    rest = tuple(axis for axis in range(ndim) if axis not in axes)
    base = reshaped(first)
    if len(axes) == ndim and base is not first and len(nodes) == 1 and not reduction.spreads:
        # all elements, whatever their shape
        return fold(program, name, tuple(range(len(base.shape))), [base], numbers)
    together = axes and axes[-1] - axes[0] + 1 == len(axes) and (axes[0] == 0 or axes[-1] == ndim - 1)
    if not together and axes:  # axes in the middle: they go to the end
        ordered = rest + axes
        moved = [transpose(program, x, ordered) for x in nodes]
        result = fold(program, name, tuple(range(len(rest), ndim)), moved, numbers)
        back = tuple(int(axis) for axis in np.argsort(ordered))
        return transpose(program, result, back) if reduction.spreads else result
    dtype = first.dtype
    if reduction.accumulates and dtype.kind in "iub" and reduction.gives is None:
        dtype = np.dtype(reduction.result_dtype(dtype_name(dtype)))
        nodes = [convert(program, x, dtype) for x in nodes]
    length = math.prod(first.shape[axis] for axis in axes)
    count = number(program, float(length), dtype) if dtype.kind == "f" else nodes[0]
    given = [*nodes, *(number(program, x, dtype) for x in numbers)]
    results: list[Node] = []
    kept: Node | None = None
    for stage in reduction.stages:
        value = _stage(program, stage.value, [*given, *results], dtype)
        kept = value if stage.kept else kept
        if reduction.gives is not None:
            value = convert(program, value, reduction.gives)
        shape = tuple(1 if axis in axes else size for axis, size in enumerate(value.shape))
        if axes and shape != value.shape:
            value = program.add(Fold(stage.combine, axes), (value,), shape, value.dtype)
        if stage.after is not None:
            value = _stage(program, stage.after, [value, count], dtype)
        results.append(value)
    if reduction.spreads:
        return _stage(program, reduction.result, [*given, *results, count, kept or results[-1]], dtype)
    shape = tuple(first.shape[axis] for axis in rest)
    if not shape:  # one number, which whatever follows takes as such
        results = [reshape(program, node, shape) for node in results]
    # otherwise the axes stay until the end, so that what follows may still be in the same loop
    end = dtype if reduction.gives is None else np.dtype(reduction.gives)
    return reshape(program, _stage(program, reduction.result, [*given, *results, count], end), shape)


def _stage(program: Program, expression: Expression, nodes: Sequence[Node], dtype: np.dtype[Any]) -> Node:
    used = formula.inputs(expression)
    if len(used) == 1 and expression is formula.variable(next(iter(used))):
        return nodes[next(iter(used))]
    new = {formula.variable(old): formula.variable(position) for position, old in enumerate(used)}
    return mapped(program, formula.substitute(expression, new), [nodes[old] for old in used], dtype)


# ---- calls ----------------------------------------------------------------------------------------------------------


def product(program: Program, first: Node, second: Node) -> Node:
    """Multiply matrices: by BLAS, or as a formula where there is nothing to add up."""
    shape = _product_shape(first.shape, second.shape)
    dtype = np.result_type(first.dtype, second.dtype)
    if len(first.shape) == len(second.shape) == 2 and first.shape[1] == 1:
        return computed(program, scalar.mul.expression, [first, second], dtype)
    nodes = [convert(program, x, dtype) for x in (first, second)]
    flat = len(first.shape) <= 2 and len(second.shape) <= 2  # np.dot has less overhead, but other rules for stacks
    function, label = (np.dot, "dot") if flat else (np.matmul, "matmul")
    return program.add(Call(function, "matmul", label, True), nodes, shape, dtype)


def _product_shape(first: Shape, second: Shape) -> Shape:
    if not first or not second:
        raise ValueError("matmul: an operand has no dimensions")
    rows, columns = first[:-1], second[-1:] if len(second) > 1 else ()
    inner = second[-2] if len(second) > 1 else second[0]
    if first[-1] != inner:
        raise ValueError(f"matmul: shapes {first} and {second} do not match: {first[-1]} != {inner}")
    if len(first) <= 2 and len(second) <= 2:
        return (*rows, *columns)
    stack = broadcast_shapes(first[:-2], second[:-2])
    return (*stack, *first[-2:-1], *columns) if len(first) > 1 else (*stack, *columns)


def made_again(program: Program, make: Callable[[], Any], like: Any) -> Node:
    """Give what a function of arrays from outside gives: an array like one, made in every run."""
    bring = program.target.bring
    return program.add(Call(lambda: bring(make()), make, "positions", False), (), like.shape, like.dtype)


def checked(program: Program, node: Node, begin: Look, label: str, identity: Any) -> Node:
    """Have the elements looked at in every run.

    What nothing has to be computed for is looked at while everything else is under way.
    """
    if isinstance(root_of(node).operation, Input | Constant):
        program.checks[identity, node] = begin
        return node

    def look(array: Any) -> Any:
        begin(array)()
        return array

    return program.add(Call(look, identity, label, False), (node,), node.shape, node.dtype)
