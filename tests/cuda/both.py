"""Running the same on the CPU and on the device, and comparing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import cases
import numpy as np

import nbgrad
from nbgrad import Variable

#: Formulas are contracted and libraries order their roundings differently from target to target.
TOLERANCE = {"float32": {"rtol": 2e-5, "atol": 2e-6}, "float64": {"rtol": 4e-13, "atol": 4e-14}}

LAYOUTS = ("contiguous", "strided", "broadcast", "0-d", "empty")


def on_device(array: Any, layout: str = "contiguous") -> Any:
    """Give an array of CuPy's with the elements and the layout of one of NumPy's."""
    import cupy

    if layout == "strided" and array.ndim:
        spread = cupy.zeros(tuple(2 * n + 1 for n in array.shape), array.dtype)
        view = spread[tuple(slice(1, None, 2) for _ in array.shape)]
        view[...] = cupy.asarray(np.ascontiguousarray(array))
        return view
    if layout == "broadcast" and array.ndim:
        return cupy.broadcast_to(cupy.asarray(np.ascontiguousarray(array[:1])), array.shape)
    return cupy.asarray(np.asarray(array, order="C"))


def results(
    function: Callable[..., Any], xs: Sequence[Variable], moved: Callable[[Any], Any], order: int
) -> list[list[Any]]:
    """Give the value of a function, its gradients, and the gradients of these, as far as `order` goes."""
    random = np.random.default_rng(5)
    wanted = [x for x in xs if x.requires_grad]
    levels = [[function(*xs)]]
    for depth in range(order):
        current = [y for y in levels[-1] if y.requires_grad]
        if not current or not wanted:
            break
        seeds = [Variable(moved(np.asarray(random.uniform(0.5, 2, y.shape), y.dtype))) for y in current]
        found = nbgrad.autograd.grad(current, wanted, seeds, create_graph=depth + 1 < order, allow_unused=True)
        levels.append([g for g in found if g is not None])
    return levels


def assert_same(
    function: Callable[..., Any],
    arrays: Sequence[Any],
    layout: str = "contiguous",
    order: int = 1,
    tolerance: dict[str, dict[str, float]] = TOLERANCE,
) -> None:
    """Hold value and gradients on the device against the CPU's: shapes, dtypes, and elements to a few ulp."""
    placed = [cases.LAYOUTS[layout](array) if array.ndim else array for array in arrays]
    here = results(function, [Variable(array) for array in placed], lambda a: a, order)
    xs = [Variable(on_device(array, layout)) for array in placed]
    there = results(function, xs, on_device, order)
    assert [len(level) for level in here] == [len(level) for level in there]
    for depth, (expected_level, level) in enumerate(zip(here, there, strict=True)):
        for expected, actual in zip(expected_level, level, strict=True):
            assert actual.is_cuda
            assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
            limits = tolerance.get(str(expected.dtype), {"rtol": 0, "atol": 0})
            # what a second derivative is made of may cancel
            limits = {name: limit * 10**depth for name, limit in limits.items()}
            np.testing.assert_allclose(
                actual.cpu().detach().numpy(), expected.data, **limits, err_msg=f"derivative {depth}, {layout}"
            )
    for x, array in zip(xs, placed, strict=True):
        np.testing.assert_array_equal(x.detach().cpu().numpy(), array)
