"""Random programs: the way back, the tangent and differences agree; threads share loops, segments are run again."""

import math
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, reject, settings
from loop_generator import programs
from numba import prange
from plainly import derivative, leaves

from nbgrad.loops.compiled import defined

X = np.array([0.7, -0.4, 1.3, 0.2])


def helper(p, q):
    if p > q:
        return p * q
    return q - 0.5 * p


def as_python(program, given):
    """Give what a program gives uncompiled; leaves out what Python refuses, of which a kernel makes inf and NaN."""
    try:
        return leaves(program(*given))
    except (ArithmeticError, ValueError):
        reject()


def compare(text):
    """Hold the derivatives of a program against each other and against differences, where these say anything."""
    program = defined("program", text, {"np": np, "math": math, "helper": helper, "prange": prange})
    how = {"parallel": True, "checkpoint": (None, True, 2)[len(text) % 3]}
    program.__globals__["__name__"] = "program"
    given = (X, 0.6, -1.1, 3)
    with np.errstate(all="ignore"):
        expected = as_python(program, given)
        assume(all(np.all(np.isfinite(y)) and np.all(np.abs(y) < 1e6) for y in expected))
        rng = np.random.default_rng(1)
        cotangents = [1.0, rng.normal(size=4)]
        directions = [rng.normal(size=4), 0.3, -0.8]
        values, gradients = derivative(program, "vjp", given, **how)(*given, *cotangents)
        for found, y in zip(leaves(values), expected, strict=True):
            np.testing.assert_allclose(found, y, rtol=1e-12, atol=1e-12, err_msg=text)
        _, tangents = derivative(program, "jvp", given)(*given, *directions)
        back = sum(np.sum(g * d) for g, d in zip(gradients[:3], directions, strict=True))
        along = sum(np.sum(t * c) for t, c in zip(leaves(tangents), cotangents, strict=True))
        # where numbers overflow on the way and are dropped, 0 * inf is NaN on the way back
        assume(np.isfinite(back) and np.isfinite(along) and abs(along) < 1e6)
        scale = max(1.0, abs(along), max(np.max(np.abs(y)) for y in expected))
        assert abs(back - along) <= 1e-9 * scale, f"{text}\nback {back}, along {along}"

        def at(step):
            rest = [x + step * d for x, d in zip(given[:3], directions, strict=True)]
            return sum(np.sum(y * c) for y, c in zip(as_python(program, (*rest, 3)), cotangents, strict=True))

        slopes = [(at(step) - at(-step)) / (2 * step) for step in (1e-5, 1e-6, 1e-7)]
        one_sided = [(at(step) - at(0)) / step for step in (1e-6, -1e-6)]
        # where a branch changes nearby, differences tell nothing
        smooth = abs(slopes[0] - slopes[1]) + abs(one_sided[0] - one_sided[1]) < 1e-3 * scale
        if smooth:
            assert abs(slopes[1] - along) < 1e-3 * scale, f"{text}\nalong {along}, differences {slopes}"


@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(programs())
def test_random_programs(text):
    compare(text)


@pytest.mark.slow
@settings(max_examples=int(os.environ.get("NBGRAD_LOOPS", 3000)), suppress_health_check=list(HealthCheck))
@given(programs())
def test_many_random_programs(text):
    compare(text)
