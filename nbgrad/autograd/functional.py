"""PyTorch's `autograd.functional`: derivatives of functions of Variables."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arrays import as_array, is_array
from ..engine import gradients
from ..function import DIFFERENTIABLE
from ..grad_mode import differentiating, enable_grad
from ..kernels import dispatch
from ..variable import Variable, get_default_dtype


def jacobian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """Give the Jacobian of `func` at `inputs`, with PyTorch's signature.

    For one input and one output it is a Variable of shape (*output shape, *input shape); for tuples of them a tuple
    of these, outputs outside, inputs inside. With `create_graph` it can be differentiated. `strict` refuses outputs
    that do not depend on an input, and with `create_graph` a Jacobian that does not depend on any. All rows are found
    in one walk, whether `vectorize` says so or not, but the `strategy` "forward-mode" is only there with it. Where all
    inputs are arrays, `func` gets Variables, and arrays come out, unless `create_graph`.

    Raises TypeError for inputs and outputs that are no floating Variables, RuntimeError in strict mode, ValueError for
    another strategy.

    >>> import nbgrad
    >>> jacobian(lambda x: x * x, nbgrad.tensor([1.0, 2.0]))
    Variable([[2., 0.],
              [0., 4.]])
    """
    _check_strategy("jacobian", strategy, vectorize)
    at = _Run("jacobian", func, inputs, create_graph)
    forward = strategy == "forward-mode"
    rows = at.columns(strict) if forward else [at.rows(y, number, strict) for number, y in enumerate(at.outputs)]
    if at.arrays:
        rows = [[gx.data if isinstance(gx, Variable) else gx for gx in row] for row in rows]
    else:
        rows = [[gx if isinstance(gx, Variable) else Variable(gx, requires_grad=False) for gx in row] for row in rows]
    for row in rows:
        at.check_differentiable(row, strict)
    picked = [row[0] if at.single_input else tuple(row) for row in rows]
    return picked[0] if at.single_output else tuple(picked)


def hessian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """Give the Hessian of a function with one element as its value, with PyTorch's signature.

    Raises ValueError for a value of more elements, and whatever `jacobian` raises.

    >>> import nbgrad
    >>> hessian(lambda x: (x**3).sum(), nbgrad.tensor([1.0, 2.0]))
    Variable([[ 6.,  0.],
              [ 0., 12.]])
    """

    def slopes(*xs: Variable) -> Any:
        found = _slopes(_of_one_element("hessian", func(*xs)), xs)
        return found if isinstance(inputs, tuple | list) else found[0]

    return jacobian(slopes, inputs, create_graph, strict, vectorize, outer_jacobian_strategy)


def vjp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Give (outputs, products of cotangents with the Jacobian) of a function, with PyTorch's signature.

    `v` has the structure and the shapes of the outputs, and may be None for one output of one element; the products
    those of the inputs. `strict` refuses outputs that do not depend on the inputs, and inputs that none depends on.

    >>> import nbgrad
    >>> vjp(lambda x: x * x, nbgrad.tensor([1.0, 2.0]), nbgrad.tensor([1.0, 10.0]))
    (Variable([1., 4.]), Variable([ 2., 40.]))
    """
    at = _Run("vjp", func, inputs, create_graph)
    starts = _vectors("vjp", v, at.outputs, "output", create_graph)
    found = at.pulled(starts, strict)
    at.check_differentiable(found, strict)
    return at.value(), at.like_inputs(found)


def jvp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Give (outputs, products of the Jacobian with tangents) of a function, with PyTorch's signature.

    `v` has the structure and the shapes of the inputs, and may be None for one input of one element; the products those
    of the outputs. Tangents go forth along the graph. `strict` refuses outputs that do not depend on the inputs, and
    inputs that none depends on.

    >>> import nbgrad
    >>> jvp(lambda x: x * x, nbgrad.tensor([1.0, 2.0]), nbgrad.tensor([1.0, 10.0]))
    (Variable([1., 4.]), Variable([ 2., 40.]))
    """
    at = _Run("jvp", func, inputs, create_graph)
    tangents = _vectors("jvp", v, at.inputs, "input", create_graph)
    found = at.pushed(at.outputs, tangents, strict, "output")
    if strict:
        at.pulled([_zeros(y) for y in at.outputs], strict)  # which tells an input that nothing depends on
        at.check_differentiable(found, strict)
    return at.value(), at.like_outputs(found)


def vhp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Give (value, products of vectors with the Hessian) of a function with one element as its value: two walks back.

    `v` and the products have the structure and the shapes of the inputs.

    >>> import nbgrad
    >>> vhp(lambda x: (x**3).sum(), nbgrad.tensor([1.0, 2.0]), nbgrad.tensor([1.0, 10.0]))
    (Variable(9.), Variable([  6., 120.]))
    """
    at = _Run("vhp", func, inputs, create_graph)
    vectors = _vectors("vhp", v, at.inputs, "input", create_graph)
    slopes = _slopes(_of_one_element("vhp", at.given_outputs), at.inputs)
    value = at.value()
    at.outputs = list(slopes)
    found = at.pulled(vectors, strict)
    at.check_differentiable(found, strict)
    return value, at.like_inputs(found)


def hvp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """Give (value, products of the Hessian with vectors) of a function with one element as its value: back, then forth.

    `v` and the products have the structure and the shapes of the inputs.

    >>> import nbgrad
    >>> hvp(lambda x: (x**3).sum(), nbgrad.tensor([1.0, 2.0]), nbgrad.tensor([1.0, 10.0]))
    (Variable(9.), Variable([  6., 120.]))
    """
    at = _Run("hvp", func, inputs, create_graph)
    vectors = _vectors("hvp", v, at.inputs, "input", create_graph)
    slopes = _slopes(_of_one_element("hvp", at.given_outputs), at.inputs)
    found = at.pushed(slopes, vectors, strict, "slope")
    at.check_differentiable(found, strict)
    return at.value(), at.like_inputs(found)


def _check_strategy(what: str, strategy: str, vectorize: bool) -> None:
    if strategy == "forward-mode" and not vectorize:
        raise ValueError(f"{what}: strategy 'forward-mode' is not supported without vectorize=True, as in PyTorch")
    if strategy not in ("forward-mode", "reverse-mode"):
        raise ValueError(f"{what}: strategy {strategy!r} is not supported: use 'reverse-mode' or 'forward-mode'")


def _of_one_element(what: str, y: Any) -> Variable:
    if not isinstance(y, Variable) or y.size != 1:
        got = f"shape {y.shape}" if isinstance(y, Variable) else type(y).__name__
        raise ValueError(f"{what}: func gave {got}: its value must be a Variable of one element")
    return y


def _slopes(y: Variable, xs: Sequence[Variable]) -> tuple[Variable, ...]:
    found: list[Any] = [None] * len(xs)
    if y.requires_grad:
        found = gradients([y], list(xs), [None], True, create_graph=True)
    return tuple(_zeros(x) if gx is None else gx for gx, x in zip(found, xs, strict=True))


def _zeros(x: Variable) -> Variable:
    return Variable(dispatch.zeros(x.shape, x.dtype, x.data), requires_grad=False)


def _fresh(what: str, position: int, x: Any, create_graph: bool) -> Variable:
    """Give an input its own place in the graph, linked to its past only if that is to be differentiated too."""
    if isinstance(x, np.generic | float) or is_array(x):
        x = Variable(as_array(x) if type(x) is not float else np.asarray(x, get_default_dtype()), requires_grad=False)
    if not isinstance(x, Variable):
        raise TypeError(f"{what}: input {position} is a {type(x).__name__}: give Variables or arrays")
    if x.dtype not in DIFFERENTIABLE:
        raise TypeError(f"{what}: input {position} has dtype {x.dtype}, which has no gradients: use float32 or float64")
    if create_graph and x.requires_grad:
        return x.clone()
    return Variable(x.data)


def _vectors(what: str, v: Any, like: Sequence[Variable], of: str, create_graph: bool) -> list[Variable]:
    """Give the vectors of a product, one for each Variable that they are like."""
    if v is None:
        if len(like) != 1 or like[0].size != 1:
            raise RuntimeError(f"{what}: give v, like the {of}s: it may be None for one {of} of one element only")
        return [Variable(dispatch.full(like[0].shape, 1, like[0].dtype, like[0].data), requires_grad=False)]
    given = list(v) if isinstance(v, tuple | list) else [v]
    if len(given) != len(like):
        raise RuntimeError(f"{what}: v has {len(given)} parts for {len(like)} {of}s: give one for each")
    made = []
    for number, (part, x) in enumerate(zip(given, like, strict=True)):
        vector = part if isinstance(part, Variable) else Variable(as_array(part), requires_grad=False)
        if vector.shape != x.shape:
            raise RuntimeError(f"{what}: v has shape {vector.shape} for {of} {number} of shape {x.shape}")
        vector = vector if vector.dtype == x.dtype else vector.astype(x.dtype)
        made.append(vector if create_graph else vector.detach())
    return made


class _Run:
    """A function that was run on inputs of its own, and what there is between these and its outputs."""

    def __init__(self, what: str, func: Callable[..., Any], inputs: Any, create_graph: bool) -> None:
        self.what, self.create_graph = what, create_graph
        self.single_input = not isinstance(inputs, tuple | list)
        given = (inputs,) if self.single_input else tuple(inputs)
        #: Whether arrays come out, as they went in.
        self.arrays = not create_graph and not any(isinstance(x, Variable) for x in given)
        with enable_grad():
            self.inputs = [_fresh(what, position, x, create_graph) for position, x in enumerate(given)]
            token = differentiating.set(True)
            try:
                self.given_outputs = func(*self.inputs)
            finally:
                differentiating.reset(token)
        self.single_output = not isinstance(self.given_outputs, tuple | list)
        self.outputs: list[Variable] = [self.given_outputs] if self.single_output else list(self.given_outputs)
        for position, y in enumerate(self.outputs):
            if not isinstance(y, Variable):
                raise TypeError(f"{what}: output {position} is a {type(y).__name__}: func must give Variables")

    def _given(self, x: Variable) -> Any:
        return x.data if self.arrays else x if self.create_graph else x.detach()

    def value(self) -> Any:
        """What the function gave, cut off the graph unless that is to stay."""
        found = tuple(map(self._given, self.outputs))
        return found[0] if self.single_output else found

    def like_inputs(self, found: Sequence[Variable]) -> Any:
        """Give one for each input as the inputs were given."""
        return self._given(found[0]) if self.single_input else tuple(map(self._given, found))

    def like_outputs(self, found: Sequence[Variable]) -> Any:
        """Give one for each output as the outputs were given."""
        return self._given(found[0]) if self.single_output else tuple(map(self._given, found))

    def pulled(self, starts: Sequence[Variable], strict: bool) -> list[Variable]:
        """Give the cotangents of the inputs."""
        pairs = [(y, g) for y, g in zip(self.outputs, starts, strict=True) if y.requires_grad]
        if strict and len(pairs) < len(self.outputs):
            raise RuntimeError(f"{self.what}: an output does not depend on the inputs, which strict forbids")
        found: list[Any] = [None] * len(self.inputs)
        if pairs:
            ys, gys = zip(*pairs, strict=True)
            with enable_grad():
                found = gradients(list(ys), self.inputs, list(gys), True, self.create_graph)
        for number, gx in enumerate(found):
            if gx is None and strict:
                raise RuntimeError(f"{self.what}: no output depends on input {number}, which strict forbids")
        return [_zeros(x) if gx is None else gx for gx, x in zip(found, self.inputs, strict=True)]

    def pushed(self, ys: Sequence[Variable], tangents: Sequence[Variable], strict: bool, of: str) -> list[Variable]:
        """Give the tangents of Variables that depend on the inputs."""
        from ..forward import push

        with enable_grad():
            found = push(ys, self.inputs, tangents, self.create_graph)
        for number, t in enumerate(found):
            if t is None and strict:
                raise RuntimeError(f"{self.what}: {of} {number} does not depend on the inputs, which strict forbids")
        return [_zeros(y) if t is None else t for t, y in zip(found, ys, strict=True)]

    def rows(self, y: Variable, position: int, strict: bool) -> list[Any]:
        """Give the Jacobians of one output by all inputs, all rows in one walk back."""
        from ..func.walking import walked

        used = [False] * len(self.inputs)

        def walk(seed: Variable) -> list[Variable]:
            found: list[Any] = [None] * len(self.inputs)
            if y.requires_grad:
                found = gradients([y], self.inputs, [seed], True, self.create_graph)
            for number, gx in enumerate(found):
                used[number] = used[number] or gx is not None
            return [_zeros(x) if gx is None else gx for gx, x in zip(found, self.inputs, strict=True)]

        with enable_grad():
            made = walked(y, None, max(x.nbytes for x in (y, *self.inputs)), walk, self.create_graph)
        self._check_strict(strict, position, used)
        return made

    def columns(self, strict: bool) -> list[list[Any]]:
        """Give the Jacobians of all outputs by all inputs, all columns of an input in one walk forth."""
        from ..forward import push
        from ..func.walking import moved_behind, walked

        columns = []
        used = []
        for x in self.inputs:
            reached = [False] * len(self.outputs)

            def walk(seed: Variable, x: Variable = x, reached: list[bool] = reached) -> list[Variable]:
                found = push(self.outputs, [x], [seed], self.create_graph)
                for number, t in enumerate(found):
                    reached[number] = reached[number] or t is not None
                return [_zeros(y) if t is None else t for t, y in zip(found, self.outputs, strict=True)]

            with enable_grad():
                made = walked(x, None, max(v.nbytes for v in (x, *self.outputs)), walk, self.create_graph)
            columns.append([moved_behind(column, x.ndim) for column in made])
            used.append(reached)
        for position in range(len(self.outputs)):
            self._check_strict(strict, position, [reached[position] for reached in used])
        return [list(row) for row in zip(*columns, strict=True)]

    def check_differentiable(self, found: Sequence[Any], strict: bool) -> None:
        """Refuse derivatives that are to be differentiated and depend on no input, if strict."""
        for number, one in enumerate(found):
            if strict and self.create_graph and not (isinstance(one, Variable) and one.requires_grad):
                raise RuntimeError(
                    f"{self.what}: derivative {number} does not depend on the inputs, which strict forbids with "
                    "create_graph"
                )

    def _check_strict(self, strict: bool, position: int, used: Sequence[bool]) -> None:
        for number, one in enumerate(used):
            if strict and not one:
                raise RuntimeError(
                    f"{self.what}: output {position} does not depend on input {number}, which strict forbids"
                )
