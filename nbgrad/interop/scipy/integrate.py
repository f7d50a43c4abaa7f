"""Ordinary differential equations, differentiated by their adjoint equation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...arrays import is_array
from ...function import Function
from ...nests import flatten, unflatten
from ...variable import Variable, data_of


class ODE(Function):
    """The solution at some times: of the values at the first, the times, and the numbers in the equation.

    The cotangent runs back along the equation of R. Chen et al., "Neural ordinary differential equations" (2018).
    """

    def __init__(self, function: Callable[..., Any], solve: Callable[..., Any], fill: Callable[..., Any]) -> None:
        self.function, self.solve, self.fill = function, solve, fill

    def forward(self, *xs: Any) -> Any:
        y0, t, *numbers = xs
        self.path = self.solve(self._slope, y0, t, (numbers,))
        return self.path

    def _slope(self, y: Any, t: Any, numbers: Any) -> Any:
        return data_of(self.function(y, t, *self.fill(numbers)))

    def backward(self, *gys: Any) -> Any:
        from ..autograd.operators import make_vjp

        assert self.inputs is not None
        (gy,) = gys
        _, t, *numbers = [x.data for x in self.inputs]
        size, sizes = self.path.shape[1], [x.size for x in numbers]
        bounds = np.cumsum([0, *sizes])

        def whole(y: Any, time: Any, *given: Any) -> Any:
            return self.function(y, time, *self.fill(given))

        def slope(state: Any, time: Any) -> Any:
            back, value = make_vjp(whole, tuple(range(2 + len(numbers))))(state[:size], np.asarray(time), *numbers)
            return np.concatenate([value, *(np.reshape(g, -1) for g in back(-state[size : 2 * size]))])

        adjoint, total, by_time = gy[-1], np.zeros(bounds[-1]), np.zeros(len(t))
        for i in range(len(t) - 1, 0, -1):
            by_time[i] = self._slope(self.path[i], t[i], numbers) @ gy[i]
            state = np.concatenate([self.path[i], adjoint, [0.0], total])
            state = self.solve(slope, state, t[[i, i - 1]], ())[1]
            adjoint, total = state[size : 2 * size] + gy[i - 1], state[2 * size + 1 :]
        by_time[0] = -(self._slope(self.path[0], t[0], numbers) @ (adjoint - gy[0]))
        parts = [total[a:b].reshape(x.shape) for a, b, x in zip(bounds, bounds[1:], numbers, strict=False)]
        return adjoint, by_time, *parts


def odeint(func: Callable[..., Any], y0: Any, t: Any, args: tuple[Any, ...] = (), **options: Any) -> Any:
    """Solve y' = func(y, t, *args) by SciPy's odeint, differentiable by y0, t and the arrays in args, once.

    nbgrad.jit does not compile it: its steps depend on elements.
    """
    try:
        import scipy.integrate
    except ImportError:
        raise ImportError("odeint: SciPy computes it: pip install scipy") from None
    leaves: list[Any] = []
    structure = flatten(tuple(args), leaves)
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, Variable) or is_array(leaf)]

    def fill(numbers: Any) -> Any:
        filled = list(leaves)
        for i, number in zip(places, numbers, strict=True):
            filled[i] = number
        return unflatten(structure, iter(filled))

    def solve(function: Callable[..., Any], start: Any, times: Any, args: tuple[Any, ...]) -> Any:
        return scipy.integrate.odeint(function, start, times, args, **options)

    given = [y0, t, *(leaves[i] for i in places)]
    found = ODE(func, solve, fill)(*given)
    return found if any(isinstance(x, Variable) for x in given) else found.data
