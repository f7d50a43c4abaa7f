"""Every public operation: gradients to second order, tangents, under jit; or it is said why not.

`tests/cuda/test_every_operation.py` has them on a device, and `tests/func/test_samples.py` for many examples at once.
"""

import importlib

import cases
import every_operation
import numpy as np
import pytest
from families import parameters
from interpreter import interpret_loops

import nbgrad
from nbgrad import Variable, registry

#: Whose gradients are not those of all the numbers that are given, and why.
ONE_SIDED = {
    "reads half of a symmetric matrix": """cholesky linalg.cholesky linalg.cholesky_ex linalg.eigh linalg.eigvalsh
        linalg.ldl_factor linalg.ldl_factor_ex""",
    "is called with what is detached": """as_strided_scatter igamma igammac linalg.ldl_solve ormqr special.gammainc
        special.gammaincc""",
    "rounds to float32": "astype float",
    "is no number where a mask leaves one element, or none": "masked.log_softmax masked.logaddexp masked.std",
}

#: What jit refuses, by what it says.
REFUSED = {
    "gives a shape that depends on elements": "argwhere bincount masked_select nonzero unique_consecutive",
    "they depend on elements, which a traced function's must not": "unique",
    "asks for the elements of a traced array": "allclose equal",
    "changed in place": "bernoulli_ cauchy_ exponential_ geometric_ log_normal_ normal_ random_ uniform_",
}


#: What the usual run compiles: what is called, and not compiled, in every run.
USUALLY = set(
    "fractional_max_pool2d histogramdd lu lu_unpack matrix_exp multinomial nonzero_static unravel_index".split()
)


def named(table):
    return {name: words for words, names in table.items() for name in names.split()}


def test_every_operation_is_called():
    """`multi_head_attention_forward` is what nn.MultiheadAttention calls, which has tests of its own."""
    for name in registry.LATER:
        registry.load(name)
    every = {entry.names for entry in registry.ENTRIES.values() if entry.public or entry.method}
    every |= {(name,) for name in nbgrad.nn.functional.__all__}
    for module in ("fft", "linalg", "masked", "special", "signal.windows"):
        there = importlib.import_module(f"nbgrad.{module}")
        every |= {(f"{module}.{name}",) for name in (there.HOMES if module == "linalg" else there.__all__)}
    called = {call.name for call in every_operation.calls()}
    without = {names for names in every if not called.intersection(names) and not names[0].endswith("_")}
    left_out = {*every_operation.EMPTY, "cuda", "multi_head_attention_forward"}
    assert without == {names for names in every if left_out.intersection(names)}
    assert set(named(ONE_SIDED)) | set(named(REFUSED)) <= called


@pytest.mark.slow
@pytest.mark.parametrize("call", every_operation.calls(), ids=repr)
def test_derivatives(call):
    """To second order, against differences; and tangents, against the gradients."""
    draws, has_gradient = every_operation.nature(call)
    if has_gradient and not draws and call.name not in named(ONE_SIDED):
        cases.check_to_second_order(call.of_floats, [call.arrays[i] for i in call.floating])


@pytest.mark.parametrize("call", parameters(every_operation.calls(), USUALLY))
def test_compiled(call, monkeypatch):
    """Values, gradients, and gradients of these, under jit as they are eagerly; random numbers are the same as well."""
    interpret_loops(monkeypatch)
    compiled = nbgrad.jit(lambda *xs: tuple(call.results(*xs)))
    constants = [Variable(array, requires_grad=False) for array in call.arrays]
    refused = named(REFUSED).get(call.name)
    if refused is not None:
        with pytest.raises(TypeError, match=refused):
            compiled(*constants)
        return
    nbgrad.manual_seed(0)
    expected = call.results(*constants)
    nbgrad.manual_seed(0)
    for mine, wanted in zip(compiled(*constants), expected, strict=True):
        assert (mine.shape, mine.dtype) == (wanted.shape, wanted.dtype)
        np.testing.assert_allclose(mine.data, wanted.data, rtol=1e-9, atol=1e-10)
    draws, has_gradient = every_operation.nature(call)
    if draws or not has_gradient:
        return
    first = nbgrad.grad(call.total, call.floating)
    for mine, wanted in zip(nbgrad.jit(first)(*call.arrays), first(*call.arrays), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=1e-9, atol=1e-10)
    second = nbgrad.grad(lambda *xs: sum((g * _waves(g)).sum() for g in first(*xs)), call.floating)
    for mine, wanted in zip(nbgrad.jit(second)(*call.arrays), second(*call.arrays), strict=True):
        np.testing.assert_allclose(mine, wanted, rtol=1e-8, atol=1e-9)


def _waves(x):
    return np.cos(np.arange(x.size)).reshape(x.shape)
