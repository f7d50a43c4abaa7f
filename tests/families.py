"""What all tests of a family of operations do: hold each against torch, differences, tangents, and itself compiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cases
import numpy as np
import pytest
from cases import ANY, Intervals, draw

import nbgrad


class Member(NamedTuple):
    """An operation, what it is compared with, and where its inputs may be drawn from."""

    name: str
    #: Of arrays or Variables.
    function: Callable[..., Any]
    #: The same of torch's module and its tensors.
    torch: Callable[..., Any]
    domains: tuple[Intervals, ...] = (ANY,)
    #: One shape for all inputs, or one for each.
    shapes: tuple[Any, ...] = (3, 4)
    #: How often it may be differentiated.
    order: int = 2
    #: Whether it can be traced.
    traced: bool = True

    def __repr__(self) -> str:
        return self.name

    def arrays(self, dtype: str = "float64") -> list[Any]:
        each = isinstance(self.shapes[0], tuple) if self.shapes else False
        shapes = self.shapes if each else (self.shapes,) * len(self.domains)
        return [draw(d, shape, dtype, i) for i, (d, shape) in enumerate(zip(self.domains, shapes, strict=True))]


def parameters(members: Sequence[Member], quick: set[str] | None = None) -> list[Any]:
    """Give members to parametrise with, those that are not quick for the long run only."""
    return [
        pytest.param(m, marks=() if quick is None or m.name in quick else pytest.mark.slow, id=m.name) for m in members
    ]


def check_values(member: Member) -> None:
    """Hold values and gradients against torch's, in both dtypes, contiguous and strided; arrays give arrays."""
    for dtype, layout in (("float64", "contiguous"), ("float64", "strided"), ("float32", "contiguous")):
        arrays = [cases.LAYOUTS[layout](x) if x.ndim else x for x in member.arrays(dtype)]
        if member.order:
            cases.assert_same_as_torch(member.function, member.torch, arrays, tolerance=LOOSE[dtype])
        found = member.function(*arrays)
        assert not isinstance(found, nbgrad.Variable)
        with nbgrad.no_grad():
            np.testing.assert_array_equal(found, member.function(*map(nbgrad.Variable, arrays)).data)
        if not member.order:
            torch = cases.peer("torch")
            wanted = member.torch(torch, *[torch.tensor(np.array(x, order="C")) for x in arrays]).numpy()
            assert found.dtype == wanted.dtype
            np.testing.assert_allclose(found, wanted, **LOOSE[dtype])


#: What counts as equal where a composition rounds in another order.
LOOSE = {"float32": {"rtol": 2e-4, "atol": 2e-5}, "float64": {"rtol": 1e-9, "atol": 1e-10}}


def check_derivatives(member: Member) -> None:
    """Hold gradients to second order against differences, and tangents against the gradients."""
    if member.order:
        cases.check_gradients(member.function, member.arrays(), member.order)


def check_traced(member: Member) -> None:
    """Hold value and gradient against themselves, compiled by jit."""
    if not member.traced:
        return
    arrays = member.arrays()
    functions = [member.function]
    if member.order:
        functions.append(nbgrad.grad(lambda *xs: (member.function(*xs) ** 2).sum(), 0))
    for f in functions:
        np.testing.assert_allclose(nbgrad.jit(f)(*arrays), f(*arrays), rtol=1e-10, atol=1e-11)
