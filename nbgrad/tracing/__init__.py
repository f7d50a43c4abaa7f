"""Compilation of whole functions: traced once, fused into a few kernels, replayed.

`symbol` stands in for arrays while a function is traced, `program` is what the trace leaves, `plan` makes kernels and
buffers of it, `compiled` is the function that users call. None of them is imported before it is needed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any


def jit(
    function: Callable[..., Any] | None = None,
    *,
    static_argnums: int | Sequence[int] = (),
    donate_argnums: int | Sequence[int] = (),
) -> Any:
    """Compile a function of arrays, Variables and numbers, and of nests of them, to a few fused kernels.

    The function is traced once for each combination of dtypes, shapes and static arguments; a trace of other sizes
    finds its kernels compiled already. Python's control flow may depend on shapes and on static arguments, which are
    named by their positions; on an element of a traced array it raises TypeError, as do random numbers of
    other libraries, which would be the same in every run; nbgrad's are drawn anew. Modules and optimisers that the
    function mentions are trained in place. Arrays from outside are read in every run, but what is computed of them
    alone stays what it was when the function was traced; names from outside (globals, attributes, items) that stand for
    another value by now have it traced anew. Results are what the function gives, as new arrays; arguments named by
    `donate_argnums` may be written over with results, and must not be used again. Works on transforms
    (``jit(value_and_grad(f))``), and under the graph as one Function.

    >>> import numpy as np, nbgrad
    >>> @nbgrad.jit
    ... def energy(x):
    ...     return (np.sin(x) ** 2).sum()
    >>> print(f"{energy(np.array([0.5, 1.0])):.4f}")
    0.9379
    """
    if function is None:
        return functools.partial(jit, static_argnums=static_argnums, donate_argnums=donate_argnums)
    if not callable(function):
        raise TypeError(f"jit: compiles a function, got {type(function).__name__}")
    from .collecting import nothing_collected

    with nothing_collected():
        from .compiled import Jitted

    static = (static_argnums,) if isinstance(static_argnums, int) else static_argnums
    donate = (donate_argnums,) if isinstance(donate_argnums, int) else donate_argnums
    return Jitted(function, static, donate)
