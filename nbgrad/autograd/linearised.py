"""A function at some arguments, with the graph between these and its value, along which derivatives go both ways."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arrays import as_array, is_array
from ..engine import gradients
from ..forward import push
from ..function import DIFFERENTIABLE
from ..grad_mode import differentiating, enable_grad
from ..kernels import dispatch
from ..nests import count, flatten, like_structure, unflatten
from ..variable import Variable
from . import transforms


class Linearised:
    """A function at some arguments: its value, and the graph between that and the arguments asked for.

    With `constants`, leaves of these that have no gradients, as whole numbers, texts and None, are constants, and their
    cotangents are None; otherwise they are refused.
    """

    def __init__(
        self,
        what: str,
        function: Callable[..., Any],
        argnums: int | Sequence[int],
        arguments: Any,
        options: dict[str, Any] | None = None,
        has_aux: bool = False,
        constants: bool = False,
    ) -> None:
        self.what, self.function = what, function
        wanted, self.single = transforms._numbers_of_arguments(argnums, None)
        positions = transforms._positions(what, function, arguments, wanted)
        given: list[Any] = []
        self.nests = [flatten(arguments[position], given) for position in positions]
        inside = differentiating.get()
        #: Whether Variables come out.
        self.variables = inside or any(isinstance(x, Variable) for x in given)
        #: Which leaves are differentiated by, and the Variables in their places.
        self.takes = [not constants or _has_gradients(x) for x in given]
        places = [
            transforms._leaf(function, wanted, x) if takes else x for x, takes in zip(given, self.takes, strict=True)
        ]
        self.inputs: list[Variable] = [x for x, takes in zip(places, self.takes, strict=True) if takes]
        if given and not self.inputs:
            raise TypeError(
                f"{what}: argument {', '.join(map(str, wanted))} of {transforms._name(function)} holds no float32 or "
                "float64, by which it could be differentiated: convert it first"
            )
        replaced, leaves = list(arguments), iter(places)
        for position, nest in zip(positions, self.nests, strict=True):
            replaced[position] = unflatten(nest, leaves)
        token = differentiating.set(True)
        try:
            with enable_grad():
                value = function(*replaced, **(options or {}))
        finally:
            differentiating.reset(token)
        aux: Any = None
        if has_aux:
            value, aux = transforms.with_aux(what, function, value)
        found: list[Any] = []
        self.structure = flatten(value, found)
        #: What is no result of numbers, in the places where it stands.
        self.others = {i: x for i, x in enumerate(found) if not _is_result(x)}
        for x in self.others.values():
            if x is not None:
                raise TypeError(
                    f"{what}: {transforms._name(function)} gave a {type(x).__name__}: results are Variables, arrays, "
                    "numbers, and nests of them; what else there is goes out with has_aux"
                )
        self.outputs = [as_result(x) for x in found if _is_result(x)]
        ends = (*self.outputs, *transforms.variables_in(aux))
        #: Whether the derivatives are to be differentiable themselves.
        self.recorded = inside or (self.variables and transforms.leads_outside(ends, self.inputs))
        without = transforms.without_graph if self.variables else transforms.without_variables
        self.aux: Any = aux if self.recorded else without(aux)

    @property
    def value(self) -> Any:
        """What the function gave."""
        return self.like_value(self.outputs if self.recorded else [y.data for y in self.outputs])

    def wanted(self, x: Any) -> Any:
        """Give an array as it is wanted, as a Variable if such come out, and anything else as it is."""
        return Variable(x, requires_grad=False) if self.variables and is_array(x) else x

    def like_value(self, parts: Sequence[Any]) -> Any:
        """Give a nest like the function's value."""
        rest = iter([self.wanted(part) for part in parts])
        places = range(len(parts) + len(self.others))
        return unflatten(self.structure, iter([self.others[i] if i in self.others else next(rest) for i in places]))

    def like_arguments(self, parts: Sequence[Any]) -> Any:
        """Give nests like the arguments that are differentiated by, None for their constants."""
        rest = iter([self.wanted(part) for part in parts])
        leaves = iter([next(rest) if takes else None for takes in self.takes])
        nests = tuple(unflatten(nest, leaves) for nest in self.nests)
        return nests[0] if self.single else nests

    def leaves_like_value(self, cotangent: Any) -> list[Any]:
        """Take a nest like the function's value apart."""
        results = len(self.outputs) + len(self.others)
        leaves = self._like(self.structure, cotangent, "cotangents", f"{results} results")
        return [leaf for i, leaf in enumerate(leaves) if i not in self.others]

    def leaves_like_arguments(self, tangent: Any) -> list[Any]:
        """Take nests like the arguments apart."""
        structure = self.nests[0] if self.single else (tuple, tuple(self.nests))
        leaves = self._like(structure, tangent, "tangents", f"{len(self.takes)} arguments")
        return [leaf for leaf, takes in zip(leaves, self.takes, strict=True) if takes]

    def _like(self, structure: Any, given: Any, what: str, whose: str) -> list[Any]:
        """Take a nest apart that is to be like another one."""
        leaves: list[Any] = []
        alike = like_structure(structure, given, leaves)
        if not alike or any([isinstance(leaf, list | tuple | dict) for leaf in leaves]):
            found: list[Any] = []
            flatten(given, found)
            if len(found) != count(structure):
                raise ValueError(f"{self.what}: {len(found)} {what} of {whose}: give one for each")
            raise ValueError(f"{self.what}: the {what} are a nest of another structure than the {whose}")
        return leaves

    def back(self, cotangent: Any) -> Any:
        """Give the cotangents of the arguments."""
        seeds = self.leaves_like_value(cotangent)
        pairs = zip(self.outputs, seeds, strict=True)
        starts = [like(f"{self.what}: cotangent {i}", y, g) for i, (y, g) in enumerate(pairs)]
        made = self.pulled(starts, self.recorded or any([start.requires_grad for start in starts]))
        return self.like_arguments(made if self._shown(seeds) else [g.data for g in made])

    def pulled(self, starts: Sequence[Variable], recorded: bool) -> list[Variable]:
        """Give the cotangents of the inputs, zeros where there is no way to them."""
        pairs = [(y, start) for y, start in zip(self.outputs, starts, strict=True) if y.requires_grad]
        found: list[Any] = [None] * len(self.inputs)
        if pairs:
            ys, gys = zip(*pairs, strict=True)
            found = gradients(list(ys), self.inputs, list(gys), True, create_graph=recorded)
        return [zeros(x) if g is None else g for g, x in zip(found, self.inputs, strict=True)]

    def forth(self, tangent: Any) -> Any:
        """Give the tangent of the value."""
        tangents = self.leaves_like_arguments(tangent)
        pairs = zip(self.inputs, tangents, strict=True)
        given = [like(f"{self.what}: tangent {i}", x, t) for i, (x, t) in enumerate(pairs)]
        made = self.pushed(self.outputs, given, self.recorded or any([t.requires_grad for t in given]))
        return self.like_value(made if self._shown(tangents) else [t.data for t in made])

    def _shown(self, seeds: Sequence[Any]) -> bool:
        """Tell whether Variables come out of a walk that begins with these."""
        return self.variables or any(isinstance(seed, Variable) for seed in seeds)

    def pushed(self, outputs: Sequence[Variable], tangents: Sequence[Variable], recorded: bool) -> list[Variable]:
        """Give the tangents of Variables that depend on the inputs, zeros for those that do not."""
        with enable_grad():
            found = push(outputs, self.inputs, tangents, create_graph=recorded)
        return [zeros(y) if t is None else t for t, y in zip(found, outputs, strict=True)]

    def gradient(self) -> list[Variable]:
        """Give the gradient of a value of one element, recorded, by each of the inputs."""
        y = self.one(self.what)
        found: list[Any] = [None] * len(self.inputs)
        if y.requires_grad:
            found = gradients([y], self.inputs, [None], True, create_graph=True)
        return [zeros(x) if g is None else g for g, x in zip(found, self.inputs, strict=True)]

    def one(self, what: str) -> Variable:
        """Give the value of a function that has one element."""
        if len(self.outputs) != 1 or self.outputs[0].size != 1:
            shapes = [y.shape for y in self.outputs]
            raise TypeError(f"{what}: the function gave shapes {shapes}, not one element: jacobian takes any")
        return self.outputs[0]


def _has_gradients(x: Any) -> bool:
    """Tell whether a leaf is one to differentiate by: Python's numbers count as floating ones."""
    if isinstance(x, Variable) or is_array(x) or isinstance(x, np.generic):
        return bool(x.dtype.kind == "f") and np.dtype(x.dtype.char) in DIFFERENTIABLE
    return isinstance(x, float)


def _is_result(x: Any) -> bool:
    return isinstance(x, Variable | bool | int | float | np.generic) or is_array(x)


def as_result(x: Any) -> Variable:
    """Give a result of a function as a Variable."""
    return x if isinstance(x, Variable) else Variable(as_array(x), requires_grad=False)


def like(what: str, x: Variable, value: Any) -> Variable:
    """Give a cotangent or a tangent as a Variable of the dtype and the shape of what it belongs to.

    Raises ValueError for another shape, but that numbers and arrays of one element are taken for one another.
    """
    own = x._array
    if type(value) is type(own) is np.ndarray and value.dtype == own.dtype and value.shape == own.shape:
        return Variable(value, requires_grad=False)
    made = value if isinstance(value, Variable) else Variable(as_array(value), requires_grad=False)
    if made.dtype.kind not in "fiub":
        raise TypeError(f"{what} has dtype {made.dtype} for dtype {x.dtype}: convert it first")
    made = made if made.dtype == x.dtype else made.astype(x.dtype)
    if made.shape != x.shape:
        if made.size != x.size or x.size != 1:
            raise ValueError(f"{what} has shape {made.shape} for shape {x.shape}: give the same shape")
        made = made.reshape(x.shape)
    return made


def zeros(x: Variable) -> Variable:
    """Give zeros like a Variable."""
    return Variable(dispatch.zeros(x.shape, x.dtype, x.data), requires_grad=False)
