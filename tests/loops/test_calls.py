"""Compiled derivatives: called from Python, from other compiled functions, in the graph, and found in the cache."""

import copy
import math
import pickle

import numba
import numpy as np
import pytest
from workers import run_python

import nbgrad


@nbgrad.njit
def weighted(x, w, n):
    s = 0.0
    for i in range(x.size):
        s += x[i] * x[i] * w * n
    return s


X = np.array([1.0, 2.0, 3.0])


def test_the_function_itself():
    assert weighted(X, 2.0, 3) == weighted.py_func(X, 2.0, 3) == weighted(X, n=3, w=2.0)
    assert "nbgrad.njit" in repr(weighted) and weighted.__name__ == "weighted"


def test_value_and_grad():
    value, (gx, gw, gn) = weighted.value_and_grad(X, 2.0, 3)
    assert (value, gw, gn) == (84.0, 42.0, None)
    np.testing.assert_array_equal(gx, 12 * X)
    value, gradient = nbgrad.value_and_grad(weighted)(X, 2.0, 3)
    np.testing.assert_array_equal(gradient, gx)
    assert value == 84.0
    gw, gx = nbgrad.grad(weighted, argnums=(1, 0))(X, 2, 3)
    assert gw == 42.0
    np.testing.assert_array_equal(gx, 12 * X)
    with pytest.raises(TypeError, match=r"argument 'n' of weighted is int64.*no gradients"):
        nbgrad.grad(weighted, argnums=2)(X, 2.0, np.int64(3))
    with pytest.raises(TypeError, match="takes x, w, n"):
        weighted.value_and_grad(X)


def test_from_compiled_functions():
    @numba.njit
    def descend(x):
        for _ in range(2):
            value, gradients = weighted.value_and_grad(x, 0.05, 2)
            x = x - gradients[0]
        return value, weighted(x, 1.0, 1), weighted.vjp(x, 1.0, 1, 2.0)[1][1]

    x = X
    for _ in range(2):
        value, x = weighted(x, 0.05, 2), x - nbgrad.grad(weighted)(x, 0.05, 2)
    np.testing.assert_allclose(descend(X), (value, (x * x).sum(), 2 * (x * x).sum()))


def test_tangents():
    value, tangent = weighted.jvp(X, 2.0, 3, np.ones(3), 0.0)
    assert (value, tangent) == (84.0, 72.0)


def test_in_the_graph():
    x, w = nbgrad.tensor(X, requires_grad=True), nbgrad.tensor(2.0, requires_grad=True)
    y = weighted(x, w, 3)
    (y * y).backward()
    np.testing.assert_allclose(x.grad.data, 2 * 84 * 12 * X)
    np.testing.assert_allclose(w.grad.data, 2 * 84 * 42)
    assert nbgrad.autograd.gradcheck(lambda a, b: weighted(a, b, 3), (x, w), order=2)
    assert not weighted(nbgrad.tensor(X), 2.0, 3).requires_grad

    def third(a):
        (g,) = nbgrad.autograd.grad(weighted(a, 2.0, 3) ** 2, a, create_graph=True)
        (h,) = nbgrad.autograd.grad((g * g).sum(), a, create_graph=True)
        return nbgrad.autograd.grad(h.sum(), a)[0]

    def known(a):
        (g,) = nbgrad.autograd.grad(((a * a).sum() * 6.0) ** 2, a, create_graph=True)
        (h,) = nbgrad.autograd.grad((g * g).sum(), a, create_graph=True)
        return nbgrad.autograd.grad(h.sum(), a)[0]

    np.testing.assert_allclose(third(x).data, known(x).data)


def test_a_step_of_a_jitted_function():
    step = nbgrad.jit(nbgrad.value_and_grad(lambda a: weighted(a, 2.0, 3) * a.sum()))
    for x in (X, X + 1):
        value, gradient = step(x)
        np.testing.assert_allclose(value, 6 * (x * x).sum() * x.sum())
        np.testing.assert_allclose(gradient, 12 * x * x.sum() + 6 * (x * x).sum())


def test_arrays_of_traces_and_of_many_examples():
    expected, slope = 6 * (X * X).sum(), 12 * X
    np.testing.assert_allclose(nbgrad.jit(weighted)(X, 2.0, 3), expected)
    np.testing.assert_allclose(nbgrad.jit(lambda x: weighted(x, n=3, w=2.0) + 1)(X), expected + 1)
    rows = np.stack([X, -X, 2 * X])
    np.testing.assert_allclose(nbgrad.vmap(lambda x: weighted(x, 2.0, 3))(rows), expected * np.array([1, 1, 4]))
    gradient = nbgrad.grad(weighted)
    whole = nbgrad.value_and_grad(weighted)
    for found in (nbgrad.jit(gradient)(X, 2.0, 3), nbgrad.jit(whole)(X, 2.0, 3)[1]):
        np.testing.assert_allclose(found, slope)
    by_row = nbgrad.vmap(lambda x: gradient(x, 2.0, 3))
    for found in (by_row(rows), nbgrad.jit(by_row)(rows)):
        np.testing.assert_allclose(found, 12 * rows)
    hessian = nbgrad.jit(nbgrad.hessian(lambda x: weighted(x, 2.0, 3)))
    np.testing.assert_allclose(hessian(X), 12 * np.eye(3))


def test_pickles_and_copies_are_the_function_of_that_name():
    assert pickle.loads(pickle.dumps(weighted)) is weighted and copy.deepcopy(weighted) is weighted


def test_source():
    text = weighted.source("vjp", X, 2.0, 3)
    assert text.startswith("def weighted_vjp(x, w, n, cotangent):") and "x_bar[i] +=" in text
    assert weighted.source("jvp", X, 2.0, 3).count("_dot") > 3


def test_what_is_no_argument():
    with pytest.raises(TypeError, match=r"no option cache: there are checkpoint, boundscheck"):
        nbgrad.njit(cache=True)
    with pytest.raises(TypeError, match="a function defined by def"):
        nbgrad.njit(3)
    with pytest.raises(TypeError, match="line 19: a tuple where a number is needed"):
        weighted.value_and_grad(X, (1.0, 2), 3)


def test_writes_to_variables_are_refused():
    @nbgrad.njit
    def doubled(x):
        x[0] *= 2.0
        return x[0]

    with pytest.raises(TypeError, match="writes to 'x', which is a Variable"):
        doubled(nbgrad.tensor(X, requires_grad=True))


def test_errors_pass_through():
    @nbgrad.njit
    def rooted(x):
        if x < 0:
            raise ValueError("negative")
        return math.sqrt(x)

    with pytest.raises(ValueError, match="negative"):
        rooted.value_and_grad(-1.0)
    assert rooted.value_and_grad(4.0) == (2.0, (0.25,))


def test_a_derivative_by_hand():
    @nbgrad.njit
    def rounded(x, y):
        return np.floor(x) * y

    @rounded.derivative
    def _(cotangent, value, x, y):
        return cotangent * y, cotangent * value / y

    @nbgrad.njit
    def total(x):
        s = 0.0
        for i in range(x.size):
            s += rounded(x[i], 2.0) * x[i]
        return s

    assert rounded.value_and_grad(2.5, 3.0) == (6.0, (3.0, 2.0))
    np.testing.assert_array_equal(nbgrad.grad(total)(np.array([1.5, 2.5])), [2 * 1.5 + 2.0, 2 * 2.5 + 4.0])
    assert rounded.jvp(2.5, 3.0, 1.0, 0.0) == (6.0, 3.0)


def test_c_functions():
    @nbgrad.njit
    def product(x, y):
        return x * y * y

    assert product.cfunc("float64(float64, float64)").ctypes(2.0, 3.0) == 18.0
    assert product.cfunc("float64(float64, float64)", by=1).ctypes(2.0, 3.0) == 12.0


def test_explain():
    @nbgrad.njit
    def repeated(x, n):
        for _ in range(n):
            x = x * x
        return x

    assert "8 bytes a turn: x_1_at_start (float64)" in repeated.explain(2.0, 3)
    assert weighted.explain(X, 2.0, 3) == "weighted keeps nothing"


SECOND = """
import numpy as np, nbgrad
from nbgrad.loops import compiled
from nbgrad.kernels import cache

@nbgrad.njit
def cubes(x):
    s = 0.0
    for v in x:
        s += v * v * v
    return s

def written(*arguments):
    raise AssertionError("compiled again")

if {again}:
    cache.write = compiled.lower = written
print(cubes(np.ones(3)), nbgrad.grad(cubes)(np.array([1.0, 2.0])))
"""


SQUARES = """
import nbgrad

@nbgrad.njit
def squares(x):
    s = 0.0
    for v in x:
        s += v * v
    return s
"""


def test_a_function_that_moved_to_another_module_is_compiled_again(tmp_path):
    """Compiled code goes back to the module that it was made in, which need not be there."""
    program = "import sys; sys.path.insert(0, {0!r}); import numpy as np, {1}; print({1}.squares(np.ones(3)))"
    for name in ("first", "second"):
        place = tmp_path / name
        place.mkdir()
        (place / f"{name}.py").write_text(SQUARES)
        found = run_python(program.format(str(place), name), NBGRAD_CACHE_DIR=str(tmp_path / "cache"))
        assert found.strip() == "3.0"


def test_a_second_process_compiles_nothing(tmp_path):
    (tmp_path / "first.py").write_text(SECOND.format(again=False))
    (tmp_path / "second.py").write_text(SECOND.format(again=True).replace("raise Assert", "raise  Assert"))
    environment = {"NBGRAD_CACHE_DIR": str(tmp_path / "cache")}
    for name in ("first", "second"):
        found = run_python(f"exec(compile(open({str(tmp_path / (name + '.py'))!r}).read(), "
                           f"{str(tmp_path / (name + '.py'))!r}, 'exec'))", **environment)  # fmt: skip
        assert found.split() == "3.0 [ 3. 12.]".split(), found
