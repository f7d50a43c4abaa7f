"""Gradients held against finite differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arrays import Array
from ..engine import gradients
from ..grad_mode import enable_grad
from ..kernels import dispatch
from ..variable import Variable


class GradcheckError(AssertionError):
    """A gradient differs from finite differences."""


def gradcheck(
    function: Callable[..., Any],
    inputs: Variable | Sequence[Any],
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-4,
    order: int = 1,
    *,
    raise_exception: bool = True,
    fast_mode: bool = False,
) -> bool:
    """Hold the gradients of a function against central differences; with ``order=2`` those of its gradients too.

    Every element of every Jacobian is compared: ``|a - n| <= atol + rtol * |n|``. Inputs that require gradients must be
    float64, since differences of float32 show nothing at these tolerances. `fast_mode`, PyTorch's look at one direction
    only, is taken, and every element compared all the same.

    Gives True. Raises GradcheckError with the worst element, in the place of which ``raise_exception=False`` gives
    False; TypeError for inputs that cannot be checked.

    >>> import nbgrad
    >>> nbgrad.autograd.gradcheck(nbgrad.tanh, nbgrad.randn(3, requires_grad=True), order=2)
    True
    """
    given = _given("gradcheck", inputs)
    if order not in (1, 2):
        raise ValueError(f"gradcheck: order is 1 or 2, got {order}")
    try:
        _check(function, given, eps, atol, rtol, "gradient")
        if order == 2:
            _check_second(function, given, _seeds(function, given), eps, atol, rtol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    function: Callable[..., Any],
    inputs: Variable | Sequence[Any],
    grad_outputs: Variable | Sequence[Any] | None = None,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-4,
    *,
    raise_exception: bool = True,
    fast_mode: bool = False,
) -> bool:
    """Hold the gradients of a function's gradients, by its inputs and the cotangents, against central differences.

    `grad_outputs` are the cotangents at which this is done, one for each output; some are drawn where none are given.
    Gives and raises as `gradcheck` does, and ValueError for another number of cotangents than of outputs.

    >>> import nbgrad
    >>> nbgrad.autograd.gradgradcheck(nbgrad.tanh, nbgrad.randn(3, requires_grad=True))
    True
    """
    given = _given("gradgradcheck", inputs)
    seeds = _seeds(function, given)
    if grad_outputs is not None:
        cotangents = [grad_outputs] if isinstance(grad_outputs, Variable) else list(grad_outputs)
        if len(cotangents) != len(seeds):
            raise ValueError(
                f"gradgradcheck: {len(cotangents)} grad_outputs for {len(seeds)} outputs that require gradients: "
                "give one for each"
            )
        seeds = [Variable(c.data) for c in cotangents]
    try:
        _check_second(function, given, seeds, eps, atol, rtol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def _given(what: str, inputs: Variable | Sequence[Any]) -> tuple[Any, ...]:
    """Give inputs as a tuple; raises TypeError unless some require gradients, all of which are float64."""
    given = (inputs,) if isinstance(inputs, Variable) else tuple(inputs)
    checked = [x for x in given if isinstance(x, Variable) and x.requires_grad]
    if not checked:
        raise TypeError(f"{what}: no input requires a gradient")
    for x in checked:
        if x.dtype != np.float64:
            raise TypeError(f"{what}: an input of dtype {x.dtype} requires a gradient: give float64")
    return given


def _seeds(function: Callable[..., Any], given: Sequence[Any]) -> list[Variable]:
    """Draw a cotangent for each output that has a gradient."""
    random = np.random.default_rng(0)
    with enable_grad():
        outputs = [y for y in _outputs(function(*given)) if y.requires_grad]
    drawn = [np.asarray(random.uniform(0.5, 1.5, y.shape), y.dtype) for y in outputs]
    return [Variable(dispatch.beside(c, y.data)) for c, y in zip(drawn, outputs, strict=True)]


def _check_second(
    function: Callable[..., Any], given: Sequence[Any], seeds: list[Variable], eps: float, atol: float, rtol: float
) -> None:
    """Check the gradients as functions of the inputs and of the cotangents."""

    def first(*arguments: Any) -> list[Any]:
        xs, cotangents = arguments[: len(given)], arguments[len(given) :]
        ys = [y for y in _outputs(function(*xs)) if y.requires_grad]
        wanted = [x for x in xs if isinstance(x, Variable) and x.requires_grad]
        return [g for g in gradients(ys, wanted, list(cotangents), None, create_graph=True) if g is not None]

    _check(first, (*given, *seeds), eps, atol, rtol, "second derivative")


def _outputs(result: Any) -> list[Variable]:
    ys = list(result) if isinstance(result, tuple | list) else [result]
    return [y for y in ys if isinstance(y, Variable) and y.dtype.kind == "f"]


def _check(
    function: Callable[..., Any], inputs: Sequence[Any], eps: float, atol: float, rtol: float, what: str
) -> None:
    # leaves of our own: the caller's arrays and gradients stay as they are
    own = [Variable(x.data.copy(), requires_grad=x.requires_grad) if isinstance(x, Variable) else x for x in inputs]
    wanted = [(number, x) for number, x in enumerate(own) if isinstance(x, Variable) and x.requires_grad]
    with enable_grad():
        outputs = _outputs(function(*own))
    if what == "gradient" and not any(y.requires_grad for y in outputs):
        raise GradcheckError("no output of the function requires a gradient, though an input does")
    analytic: list[list[Array]] = []
    for y in outputs:
        rows = []
        for index in range(y.size):
            seed = np.zeros(y.shape, y.dtype)
            seed.flat[index] = 1
            seed = dispatch.beside(seed, y.data)
            found: list[Variable | None] = [None] * len(wanted)
            if y.requires_grad:  # a constant has zero derivatives, which is checked as well
                found = gradients([y], [x for _, x in wanted], [seed], True, False)
            rows.append(
                [
                    np.zeros(x.shape) if g is None else dispatch.in_numpy(g.data)
                    for g, (_, x) in zip(found, wanted, strict=True)
                ]
            )
        analytic.append(
            [np.array([row[i] for row in rows]).reshape(y.shape + x.shape) for i, (_, x) in enumerate(wanted)]
        )
    worst: tuple[float, str] | None = None
    for position, (number, x) in enumerate(wanted):
        for place in np.ndindex(x.shape):
            numeric = _difference(function, own, x, place, eps)
            if len(numeric) != len(outputs):
                raise GradcheckError(f"{what}: the number of outputs changes with the inputs")
            for which, difference in enumerate(numeric):
                mine = analytic[which][position][(..., *place)]
                excess = np.abs(mine - difference) - (atol + rtol * np.abs(difference))
                excess = np.where(np.isnan(excess) & ~(np.isnan(mine) & np.isnan(difference)), np.inf, excess)
                if not excess.size or not np.max(excess) > 0:
                    continue
                at = np.unravel_index(int(np.argmax(excess)), excess.shape)
                if worst is None or excess[at] > worst[0]:
                    worst = (
                        float(excess[at]),
                        (
                            f"{what} of output {which} at {tuple(map(int, at))} by input {number} at {place}: "
                            f"{mine[at]!r} by backward, {difference[at]!r} by central differences"
                        ),
                    )
    if worst is not None:
        raise GradcheckError(worst[1])


def _difference(function: Callable[..., Any], inputs: list[Any], x: Variable, index: Any, eps: float) -> list[Array]:
    """Give the central difference of every output by one element."""
    before = x.data[index].item()
    values = []
    for step in (eps, -eps):
        x.data[index] = before + step
        with enable_grad():
            values.append([np.array(dispatch.in_numpy(y.data)) for y in _outputs(function(*inputs))])
    x.data[index] = before
    return [(high - low) / (2 * eps) for high, low in zip(*values, strict=True)]
