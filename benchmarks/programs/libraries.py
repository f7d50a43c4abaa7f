"""How each library takes a value and gradients of the corpus' programs, and what it has under NumPy's names.

A step is a function without arguments that gives the value and all gradients. What users do once (compiling, moving
arrays to where the library wants them) happens before it is handed out.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache as once
from functools import partial
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from .declaration import Array, Program

Step = Callable[[], tuple[Any, ...]]


class _Names(SimpleNamespace):
    """NumPy's names as a module has them, and some that it has not."""

    def __init__(self, module: ModuleType, **more: Any) -> None:
        super().__init__(**more)
        self.module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self.module, name)


def _cross_entropy(m: Any, score: Any, labels: Any) -> Any:
    return m.mean(m.logsumexp(score, -1) - score[np.arange(len(labels)), labels])


@once
def nbgrad_names() -> _Names:
    """Give NumPy itself, which works on Variables and traced arrays, and functions of nbgrad."""
    import nbgrad
    from nbgrad.nn import functional

    return _Names(
        np,
        **{name: getattr(nbgrad, name) for name in ("erf", "grad", "logsumexp", "relu", "sigmoid", "softmax")},
        softplus=functional.softplus,
        cross_entropy=functional.cross_entropy,
        cholesky=np.linalg.cholesky,
        solve=np.linalg.solve,
        integers=lambda x: x.astype(np.int64),
        segment_sum=lambda rows, places, count: nbgrad.zeros((count, rows.shape[1]), dtype=rows.dtype).index_add(
            0, places, rows
        ),
    )


@once
def jax_names() -> _Names:
    """Give `jax.numpy` and functions of `jax.nn`."""
    import jax
    import jax.numpy as jnp

    config: Any = jax.config
    config.update("jax_enable_x64", True)  # float32 arrays stay float32: dtypes are compared

    names = _Names(
        jnp,
        **{name: getattr(jax.nn, name) for name in ("relu", "sigmoid", "softmax", "softplus")},
        erf=jax.scipy.special.erf,
        grad=jax.grad,
        logsumexp=lambda x, axis, keepdims=False: jax.scipy.special.logsumexp(x, axis=axis, keepdims=keepdims),
        cholesky=jnp.linalg.cholesky,
        solve=jnp.linalg.solve,
        integers=lambda x: x.astype(np.int64),
        segment_sum=lambda rows, places, count: jax.ops.segment_sum(rows, places, num_segments=count),
    )
    names.cross_entropy = lambda score, labels: (
        -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(score), labels[:, None], 1))
    )
    return names


@once
def torch_names() -> _Names:
    """Give torch, whose functions take NumPy's arguments under other names."""
    import torch

    def segment_sum(rows: Any, places: Any, count: int) -> Any:
        return rows.new_zeros((count, rows.shape[1])).index_add(0, places, rows)

    functional = torch.nn.functional
    return _Names(
        torch,
        swapaxes=torch.swapaxes,
        softplus=functional.softplus,
        cross_entropy=functional.cross_entropy,
        cholesky=torch.linalg.cholesky,
        solve=torch.linalg.solve,
        grad=lambda function: torch.func.grad(function),
        eye=lambda count: torch.eye(count, dtype=torch.float64),
        integers=lambda x: x.long(),
        segment_sum=segment_sum,
    )


@once
def autograd_names() -> _Names:
    """Give `autograd.numpy`, and what has to be composed of it."""
    import autograd
    import autograd.numpy as anp
    from autograd.extend import defvjp, primitive
    from autograd.scipy import special

    def softmax(x: Any, axis: int) -> Any:
        return anp.exp(x - special.logsumexp(x, axis=axis, keepdims=True))

    @primitive
    def segment_sum(rows: Any, places: Any, count: int) -> Any:
        total = np.zeros((count, rows.shape[1]), rows.dtype)
        np.add.at(total, places, rows)
        return total

    defvjp(segment_sum, lambda _, rows, places, count: lambda cotangent: cotangent[places], argnums=[0])
    names = _Names(
        anp,
        erf=special.erf,
        grad=autograd.elementwise_grad,
        logsumexp=lambda x, axis, keepdims=False: special.logsumexp(x, axis=axis, keepdims=keepdims),
        softmax=softmax,
        relu=lambda x: anp.maximum(x, 0),
        sigmoid=lambda x: 0.5 * (1 + anp.tanh(0.5 * x)),
        softplus=lambda x: anp.logaddexp(x, 0),
        cholesky=anp.linalg.cholesky,
        solve=anp.linalg.solve,
        integers=lambda x: x.astype(np.int64),
        segment_sum=segment_sum,
    )
    names.cross_entropy = partial(_cross_entropy, names)
    return names


def jitted_by_nbgrad(program: Program) -> Any:
    """Give the jitted function of a program's arguments."""
    import nbgrad

    formula = partial(program.formula, nbgrad_names())
    return nbgrad.jit(nbgrad.value_and_grad(formula, tuple(range(program.parameters))))


def _nbgrad(program: Program, arrays: tuple[Array, ...]) -> Step:
    jitted = jitted_by_nbgrad(program)

    def step() -> tuple[Any, ...]:
        value, gradients = jitted(*arrays)
        return value, *gradients

    return step


def jitted_by_jax(program: Program) -> Any:
    """Give the jitted function of a program's arguments."""
    names = jax_names()
    import jax

    return jax.jit(jax.value_and_grad(partial(program.formula, names), tuple(range(program.parameters))))


def _jax(program: Program, arrays: tuple[Array, ...]) -> Step:
    jitted = jitted_by_jax(program)
    import jax

    wait: Any = jax.block_until_ready
    on_device = [jax.numpy.asarray(array) for array in arrays]

    def step() -> tuple[Any, ...]:
        value, gradients = wait(jitted(*on_device))
        return value, *gradients

    return step


def _torch(program: Program, arrays: tuple[Array, ...], compiled: bool = False) -> Step:
    import torch

    leaves = [torch.tensor(array, requires_grad=True) for array in arrays[: program.parameters]]
    arguments = [*leaves, *map(torch.tensor, arrays[program.parameters :])]
    function: Any = partial(program.formula, torch_names())
    if compiled:
        torch._dynamo.reset()
        names = torch_names()

        def formula(*arguments: Any) -> Any:
            return program.formula(names, *arguments)

        function = torch.compile(formula, dynamic=False)

    def step() -> tuple[Any, ...]:
        for x in leaves:
            x.grad = None
        value = function(*arguments)
        value.backward()
        return value, *[x.grad for x in leaves]

    if compiled:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            step()
    return step


def _autograd(program: Program, arrays: tuple[Array, ...]) -> Step:
    import autograd

    names = autograd_names()
    chosen = tuple(range(program.parameters))
    function = autograd.value_and_grad(partial(program.formula, names), chosen)

    def step() -> tuple[Any, ...]:
        value, gradients = function(*arrays)
        return value, *gradients

    return step


#: How each library makes a step of a program and its arrays.
LIBRARIES: dict[str, Callable[[Program, tuple[Array, ...]], Step]] = {
    "nbgrad": _nbgrad,
    "jax": _jax,
    "torch": _torch,
    "torch.compile": partial(_torch, compiled=True),
    "autograd": _autograd,
}
#: What imports each library, and gives its names.
NAMES: dict[str, Callable[[], _Names]] = {
    "nbgrad": nbgrad_names,
    "jax": jax_names,
    "torch": torch_names,
    "torch.compile": torch_names,
    "autograd": autograd_names,
}
LABELS = {
    "nbgrad": "nbgrad.jit",
    "jax": "JAX jit",
    "torch": "torch eager",
    "torch.compile": "torch.compile",
    "autograd": "autograd",
}


def as_array(x: Any) -> Array:
    """Give a library's array as NumPy's."""
    return np.asarray(x.detach().numpy() if hasattr(x, "detach") else x)


def reference(program: Program, arrays: tuple[Array, ...]) -> list[Array]:
    """Give the value and the gradients in float64, by torch."""
    wide = tuple(x.astype(np.float64) if x.dtype.kind == "f" else x for x in arrays)
    return [as_array(x) for x in _torch(program, wide)()]


def compared(program: Program, library: str, step: Step, arrays: tuple[Array, ...], expected: list[Array]) -> None:
    """Compare a step's results with those that torch computed in float64.

    Raises AssertionError where a shape, a dtype or a number differs.
    """
    found = [as_array(x) for x in step()]
    dtype = np.dtype(program.dtype)
    relative = 1e-8 if dtype == np.float64 else 2e-3
    for number, (x, y) in enumerate(zip(found, expected, strict=True)):
        what = f"{library}, {program.name}: " + (f"gradient {number}" if number else "value")
        if library != "autograd":  # which computes some of float32 in float64
            assert x.dtype == dtype, f"{what} has dtype {x.dtype}, not {dtype}"
        assert x.shape == y.shape, f"{what} has shape {x.shape}, not {y.shape}"
        np.testing.assert_allclose(x, y, relative, relative * np.abs(y).max() / 2, err_msg=what)
