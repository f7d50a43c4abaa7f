"""How each library takes a value and gradients: a workload in, a step to be timed out.

A step is a function without arguments that computes the value and all gradients once and returns them as the library
has them; `arrays_of` turns those into NumPy arrays, outside the timing. Everything that users do once (making leaves,
compiling) happens before the step is handed out. A library is imported when its first step is made.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from .workloads import Workload

Step = Callable[[], tuple[Any, ...]]


class Library(NamedTuple):
    """A library as the tables show it, the package it comes from, and how it makes a step."""

    label: str
    package: str
    make_step: Callable[[Workload], Step]


def _eager(functions: Any, leaf: Callable[..., Any], constant: Callable[..., Any], workload: Workload) -> Step:
    """Give the step of a define-by-run library: nbgrad's and torch's programs are the same, word for word."""
    formula = workload.formula
    leaves = [leaf(array) for array in workload.parameters]
    arguments = (functions, *leaves, *(constant(array) for array in workload.constants))
    gradient = None if workload.cotangent is None else constant(workload.cotangent)

    def step() -> tuple[Any, ...]:
        for x in leaves:
            x.grad = None
        value = formula(*arguments)
        value.backward(gradient)
        return value, *[x.grad for x in leaves]

    return step


def _nbgrad(workload: Workload) -> Step:
    import nbgrad
    from nbgrad.nn import functional

    functions = SimpleNamespace(
        exp=nbgrad.exp,
        tanh=nbgrad.tanh,
        relu=nbgrad.relu,
        sum=nbgrad.sum,
        cross_entropy=functional.cross_entropy,
        bce_with_logits=functional.binary_cross_entropy_with_logits,
    )

    def leaf(array: Any) -> Any:
        return nbgrad.tensor(array, requires_grad=True)

    return _eager(functions, leaf, nbgrad.tensor, workload)


def _torch(workload: Workload) -> Step:
    import torch

    functions = SimpleNamespace(
        exp=torch.exp,
        tanh=torch.tanh,
        relu=torch.relu,
        sum=torch.sum,
        cross_entropy=torch.nn.functional.cross_entropy,
        bce_with_logits=torch.nn.functional.binary_cross_entropy_with_logits,
    )

    def leaf(array: Any) -> Any:
        return torch.tensor(array, requires_grad=True)

    return _eager(functions, leaf, torch.tensor, workload)


def _jax(workload: Workload, jit: bool) -> Step:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)  # float32 arrays stay float32: `check` looks at every dtype

    def cross_entropy(logits: Any, labels: Any) -> Any:
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(labels.size), labels])

    def bce_with_logits(logits: Any, targets: Any) -> Any:
        return jnp.mean(jax.nn.softplus(logits) - targets * logits)

    functions = SimpleNamespace(
        exp=jnp.exp,
        tanh=jnp.tanh,
        relu=jax.nn.relu,
        sum=jnp.sum,
        cross_entropy=cross_entropy,
        bce_with_logits=bce_with_logits,
    )
    count = len(workload.parameters)
    arrays = [jnp.asarray(array) for array in (*workload.parameters, *workload.constants)]

    def function(*arguments: Any) -> Any:
        return workload.formula(functions, *arguments)

    if workload.cotangent is None:
        both = jax.value_and_grad(function, tuple(range(count)))
    else:
        gradient = jnp.asarray(workload.cotangent)

        def both(*arguments: Any) -> Any:
            value, pullback = jax.vjp(lambda *leaves: function(*leaves, *arguments[count:]), *arguments[:count])
            return value, pullback(gradient)

    if jit:
        both = jax.jit(both)

    def step() -> tuple[Any, ...]:
        value, gradients = jax.block_until_ready(both(*arrays))
        return value, *gradients

    return step


def _autograd(workload: Workload) -> Step:
    import autograd
    import autograd.numpy as anp
    from autograd.scipy.special import logsumexp

    def cross_entropy(logits: Any, labels: Any) -> Any:
        return anp.mean(logsumexp(logits, axis=1) - logits[np.arange(labels.size), labels])

    def bce_with_logits(logits: Any, targets: Any) -> Any:
        return anp.mean(anp.logaddexp(0, logits) - targets * logits)

    functions = SimpleNamespace(
        exp=anp.exp,
        tanh=anp.tanh,
        relu=lambda x: anp.maximum(x, 0),
        sum=anp.sum,
        cross_entropy=cross_entropy,
        bce_with_logits=bce_with_logits,
    )
    arrays = (*workload.parameters, *workload.constants)
    positions = tuple(range(len(workload.parameters)))

    def function(*arguments: Any) -> Any:
        return workload.formula(functions, *arguments)

    if workload.cotangent is None:
        value_and_grad = autograd.value_and_grad(function, positions)

        def step() -> tuple[Any, ...]:
            value, gradients = value_and_grad(*arrays)
            return value, *gradients
    else:
        make_vjp = autograd.make_vjp(function, positions)  # value_and_grad is for scalars only

        def step() -> tuple[Any, ...]:
            pullback, value = make_vjp(*arrays)
            return value, *pullback(workload.cotangent)

    return step


def _numpy(workload: Workload) -> Step:
    arrays = (*workload.parameters, *workload.constants)
    return lambda: workload.by_hand(*arrays)


LIBRARIES = {
    "nbgrad": Library("nbgrad", "nbgrad", _nbgrad),
    "torch": Library("torch eager", "torch", _torch),
    "jax": Library("JAX jit", "jax", lambda workload: _jax(workload, jit=True)),
    "jax-eager": Library("JAX without jit", "jax", lambda workload: _jax(workload, jit=False)),
    "autograd": Library("autograd", "autograd", _autograd),
    "numpy": Library("NumPy by hand", "numpy", _numpy),
}


def takes_part(library: str, workload: Workload) -> bool:
    """Tell whether a library runs a workload: JAX without jit only where the work is small."""
    return library != "jax-eager" or workload.small


def missing_packages() -> list[str]:
    """Give the packages to compare with that cannot be imported."""
    return sorted({library.package for library in LIBRARIES.values() if not importlib.util.find_spec(library.package)})


def arrays_of(results: tuple[Any, ...]) -> list[np.ndarray]:
    """Give what a step returned as NumPy arrays."""
    return [np.asarray(x.detach().numpy() if hasattr(x, "detach") else x) for x in results]


def checked_step(library: str, workload: Workload) -> Step:
    """Give a library's step for a workload after comparing its value and gradients with hand-written NumPy's.

    Raises AssertionError where a shape, a dtype or a number differs.
    """
    step = LIBRARIES[library].make_step(workload)
    expected = arrays_of(_numpy(workload)())
    found = arrays_of(step())
    assert len(found) == len(expected) == 1 + len(workload.parameters), f"{library}: {len(found)} results"
    relative, absolute = (1e-9, 1e-12) if workload.dtype == "float64" else (2e-4, 1e-5)
    for number, (x, y) in enumerate(zip(found, expected, strict=True)):
        what = f"{library}, {workload.name}: " + (f"gradient {number}" if number else "value")
        assert x.dtype == y.dtype == np.dtype(workload.dtype), f"{what} has dtype {x.dtype}, not {workload.dtype}"
        assert x.shape == y.shape, f"{what} has shape {x.shape}, not {y.shape}"
        np.testing.assert_allclose(x, y, relative, absolute * np.abs(y).max(), err_msg=what)
    return step
