"""Derivatives of users' loops run as plain Python, from their source, and held against finite differences."""

from __future__ import annotations

import numpy as np
from interpreter import elementary as numpys

from nbgrad.loops import support
from nbgrad.loops.compiled import floating, written


class Names(dict):
    """What source calls: NumPy's and SciPy's functions for ours."""

    def __missing__(self, key):
        name, _, dtype = key.rpartition("_")
        if dtype not in ("float32", "float64"):
            raise KeyError(key)
        number, function = np.dtype(dtype).type, numpys(name)
        return lambda *xs: number(function(*map(np.float64, xs)))


def spoiled(kept, shape):
    """Give the memory of the turn before, in which nothing is left of it."""
    found = support.reused(kept, shape)
    found[...] = np.nan if found.dtype.kind == "f" else np.iinfo(found.dtype).max if found.dtype.kind in "iu" else True
    return found


def kinds_of(arguments):
    found = []
    for x in arguments:
        if isinstance(x, tuple):
            fields = getattr(x, "_fields", ())
            found.append(("tuple" + (":" + ",".join(fields) if fields else ""), tuple(kinds_of(x))))
            continue
        dtype = "bool" if isinstance(x, bool) else "int64" if isinstance(x, int) else str(np.asarray(x).dtype)
        found.append((dtype, x.ndim if isinstance(x, np.ndarray) else None))
    return found


def source(function, kind, arguments, wanted=None, **how):
    """Give the source of a derivative, and what it names."""
    kinds = kinds_of(arguments)
    floats = [floating(kind) for kind in kinds] if wanted is None else wanted
    return written(function, "derivative", kind, kinds, floats, **how)


def derivative(function, kind, arguments, wanted=None, **how):
    """Give a derivative as a function that Python runs line by line."""
    text, constants = source(function, kind, arguments, wanted, **how)
    names = Names(support.common_names() | support.OURS | {"reused": spoiled} | constants)
    exec(compile(text, "<derivative>", "exec"), names)
    return names["derivative"]


def leaves(results):
    """List the results, of a function that may give several."""
    if isinstance(results, tuple | list):
        return [leaf for item in results for leaf in leaves(item)]
    return [results]


def copied(arguments):
    return [x.copy(order="K") if isinstance(x, np.ndarray) else x for x in arguments]


def differentiable(x):
    return np.asarray(x).dtype.kind == "f" and not isinstance(x, bool | int)


def check(function, *arguments, tolerance=1e-6, **how):
    """Hold the value, the way back and the tangent against the function itself and differences of it."""
    rng = np.random.default_rng(0)
    expected = leaves(function(*copied(arguments)))
    cotangents = [rng.normal(size=np.shape(y)) if np.ndim(y) else rng.normal() for y in expected if differentiable(y)]
    directions = [rng.normal(size=np.shape(x)) if np.ndim(x) else rng.normal() for x in arguments if differentiable(x)]
    before = copied(arguments)
    values, gradients = derivative(function, "vjp", arguments, reusing=True, **how)(*arguments, *cotangents)
    for x, known in zip(arguments, before, strict=True):
        np.testing.assert_array_equal(x, known, err_msg="the derivative wrote to an argument")
    for found, y in zip(leaves(values), expected, strict=True):
        np.testing.assert_allclose(found, y, rtol=1e-12, atol=1e-12)
    assert [g is not None for g in gradients] == [differentiable(x) for x in arguments]
    by_gradient = sum(np.sum(g * d) for g, d in zip((g for g in gradients if g is not None), directions, strict=True))

    values, tangents = derivative(function, "jvp", arguments, reusing=True)(*arguments, *directions)
    for found, y in zip(leaves(values), expected, strict=True):
        np.testing.assert_allclose(found, y, rtol=1e-12, atol=1e-12)
    floating = [t for t, y in zip(leaves(tangents), expected, strict=True) if differentiable(y)]
    by_tangent = sum(np.sum(t * c) for t, c in zip(floating, cotangents, strict=True))

    def moved(step):
        rest = iter(directions)
        shifted = [x + step * next(rest) if differentiable(x) else x for x in copied(arguments)]
        results = [y for y in leaves(function(*shifted)) if differentiable(y)]
        return sum(np.sum(y * c) for y, c in zip(results, cotangents, strict=True))

    step = 1e-6
    by_difference = (moved(step) - moved(-step)) / (2 * step)
    scale = max(1.0, abs(by_difference))
    assert abs(by_gradient - by_tangent) < 1e-9 * max(scale, abs(by_tangent)), (by_gradient, by_tangent)
    assert abs(by_gradient - by_difference) < tolerance * scale, (by_gradient, by_difference)
    return gradients
