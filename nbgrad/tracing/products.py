"""Products of matrices that can be one: of all steps with the same weights, and sums of them over all steps.

A loop of a recurrence multiplies a little at every step. What it multiplies by the same matrix and has from the
beginning is multiplied at once; and the gradient of the matrix, a sum of products, is the product of what all steps
have, put together.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np

from ..kernels import formula, placement, scalars
from ..kernels.cpu.products import is_small
from ..kernels.strides import dense
from . import lowering
from .layout import access, can_reshape
from .program import Access, Call, Constant, Input, Map, Node, Program, View
from .rewriting import is_sum, readers_of, rewritten, terms_of

#: Products from which it is worth their while to be one.
_LEAST = 3


def products_of_all_steps(program: Program) -> Program:
    """Multiply all matrices of an argument by another one at once."""
    found: dict[tuple[Node, Node], dict[int, Node]] = defaultdict(dict)
    for node in program.nodes:
        step = _step_of(node.inputs[0]) if _is_product(node) else None
        if step is not None and isinstance(step.source.operation, (Input, Constant)):
            found[step.source, node.inputs[1]][step.number] = node
    chosen = {
        node: (source, weights, number)
        for (source, weights), steps in found.items()
        if len(steps) >= _LEAST and sorted(steps) == list(range(source.shape[0])) and can_reshape(source, _flat(source))
        for number, node in steps.items()
    }

    def replaced(node: Node, places: dict[Node, Node]) -> Node | None:
        if node not in chosen:
            return None
        source, weights, number = chosen[node]
        rows = source.shape[1]
        whole = lowering.reshape(program, places[source], _flat(source))
        product = lowering.product(program, whole, places[weights])
        return lowering.index(program, product, (slice(number * rows, (number + 1) * rows),))

    return rewritten(program, replaced) if chosen else program


def sums_of_products(program: Program) -> Program:
    """Multiply what a sum of products takes, put together, once."""
    if sum([_is_product(node) for node in program.nodes]) < _LEAST:
        return program
    readers, results = readers_of(program), set(program.outputs)

    def replaced(node: Node, places: dict[Node, Node]) -> Node | None:
        if not is_sum(node) or len(node.shape) != 2 or any(map(is_sum, readers[node])):
            return None
        terms = terms_of(node, readers, results)
        products = [term for term in terms if _is_product(term) and _is_turned(term.inputs[0])]
        products = [term for term in products if len(readers[term]) == 1 and term not in results]
        if len(products) < _LEAST or len(set(products)) < len(products):
            return None
        products.sort(key=lambda term: -term.inputs[1].number)  # the walk back meets the last step first
        firsts = [term.inputs[0].inputs[0] for term in products]
        steps = [_step_of(first) for first in firsts]
        source = steps[0].source if steps[0] is not None else None
        numbers = [step.number for step in steps if step is not None and step.source is source]
        if source is not None and numbers == list(range(source.shape[0])) and can_reshape(source, _flat(source)):
            first = lowering.reshape(program, places[source], _flat(source))
        else:
            first = lowering.join(program, [places[x] for x in firsts], 0)
        second = lowering.join(program, [places[term.inputs[1]] for term in products], 0)
        total = lowering.product(program, lowering.transpose(program, first, (1, 0)), second)
        for term in terms:
            if term not in products:
                total = lowering.mapped(program, scalars.add.expression, [total, places[term]], node.dtype)
        return total

    return rewritten(program, replaced)


def products_in_order(program: Program) -> Program:
    """Have products of stacks written in the order of axes in which they are wanted, where else a loop would copy them.

    So heads of attention come out beside each other, for the next product: BLAS writes rows with any step between.
    """
    if program.target is not placement.CPU or not any([_is_stacked(node) for node in program.nodes]):
        return program
    readers, results = readers_of(program), set(program.outputs)

    def replaced(node: Node, places: dict[Node, Node]) -> Node | None:
        if not isinstance(node.operation, Map) or node.operation.expression is not formula.variable(0):
            return None
        (product,), order = node.inputs, tuple(range(len(node.shape)))
        while len(readers[product]) == 1 and product not in results and isinstance(product.operation, View):
            if product.operation.kind != "transpose":
                return None
            order = tuple([product.operation.argument[axis] for axis in order])
            (product,) = product.inputs
        alone = len(readers[product]) == 1 and product not in results
        if not alone or not _is_stacked(product) or node.dtype != product.dtype:
            return None
        call = Call(_InOrder(order), ("matmul", order), "matmul", True)
        return program.add(call, [places[x] for x in product.inputs], node.shape, node.dtype)

    return rewritten(program, replaced)


class _InOrder:
    """Multiplies matrices into an array that has the product's axes in another order."""

    def __init__(self, order: tuple[int, ...]) -> None:
        self.back = tuple(sorted(range(len(order)), key=order.__getitem__))

    def __call__(self, x: Any, w: Any, y: Any) -> None:
        np.matmul(x, w, y.transpose(self.back))


def _is_stacked(node: Node) -> bool:
    """Tell whether a node is a product of stacks of matrices that BLAS multiplies."""
    if not isinstance(node.operation, Call) or node.operation.identity != "matmul" or len(node.shape) < 3:
        return False
    *stack, m, n = node.shape
    return node.dtype.char in "fd" and not is_small(math.prod(stack), m, node.inputs[0].shape[-1], n)


# ---- as loops -------------------------------------------------------------------------------------------------------


class Laid(NamedTuple):
    """How a product is laid out: stacks of (m, k) by (k, n), the steps over these in bytes, the operands' places."""

    sizes: tuple[int, int, int, int]
    steps: list[int]
    places: list[Access]


def laid_out(product: Node) -> Laid | None:
    """Give the layout of a product of two matrices or vectors, or of stacks of as many matrices; None of any other."""
    x, w = product.inputs
    dimensions = len(x.shape), len(w.shape)
    if product.dtype.char not in "fd" or any(v.dtype != product.dtype for v in (x, w)):
        return None
    stacks = dimensions == (3, 3) and x.shape[0] == w.shape[0]
    if max(dimensions) > 2 and not stacks:
        return None
    places = [access(x), access(w), Access(product, 0, dense(product.shape))]
    m, n = x.shape[-2] if len(x.shape) > 1 else 1, w.shape[-1] if len(w.shape) > 1 else 1
    # of each operand over the stack, rows and columns; a vector is a row on the left, a column on the right
    steps = []
    for place, missing in zip(places, _missing(*dimensions), strict=True):
        given = iter(place.strides)
        steps.append([0 if axis in missing else next(given) * product.dtype.itemsize for axis in range(3)])
    flat = [each[0] for each in steps] + [step for each in steps for step in each[1:]]
    return Laid((x.shape[0] if stacks else 1, m, x.shape[-1], n), flat, places)


def _missing(first: int, second: int) -> tuple[set[int], set[int], set[int]]:
    """Give which of stack, rows and columns the operands of a product and its result lack, by the first two's ndim."""
    stack = set() if first == 3 else {0}
    rows, columns = {1} if first == 1 else set(), {2} if second == 1 else set()
    return stack | rows, stack | columns, stack | rows | columns


class _Step(NamedTuple):
    """One of the matrices of an array."""

    source: Node
    number: int


def _is_product(node: Node) -> bool:
    """Tell whether a node is a product of two matrices of its dtype."""
    product = isinstance(node.operation, Call) and node.operation.identity == "matmul" and node.operation.into
    return product and all(len(x.shape) == 2 and x.dtype == node.dtype for x in node.inputs)


def _is_turned(node: Node) -> bool:
    return isinstance(node.operation, View) and node.operation.kind == "transpose"


def _step_of(node: Node) -> _Step | None:
    """Tell which matrix of an array of three dimensions a node is; None if it is none."""
    view = node.operation
    if not isinstance(view, View) or view.kind != "index" or len(node.inputs[0].shape) != 3:
        return None
    first, *rest = view.argument
    if type(first) is not int or any(part is not Ellipsis and part != slice(None) for part in rest):
        return None
    (source,) = node.inputs
    return _Step(source, first % source.shape[0])


def _flat(source: Node) -> tuple[int, int]:
    steps, rows, columns = source.shape
    return steps * rows, columns
