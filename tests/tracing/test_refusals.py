"""What a trace refuses, with the line and the remedy."""

import functools

import numpy as np
import pytest

import nbgrad
from nbgrad import Variable

X = np.linspace(-1.5, 2.0, 12).reshape(3, 4)


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (lambda x: x if x.sum() > 0 else -x, "a branch"),
        (lambda x: float(x.sum()) * x, r"float\(\)"),
        (lambda x: int(x.sum()) * x, r"int\(\)"),
        (lambda x: np.asarray(x) * 2, "conversion to an array"),
        (lambda x: x * x.sum().item(), r"item\(\)"),
        (lambda x: [1, 2][x.astype("int64")[0, 0]], "index|item"),
    ],
)
@pytest.mark.parametrize("wrap", [np.array, Variable], ids=["array", "Variable"])
def test_elements_of_traced_arrays_are_refused(function, what, wrap):
    if wrap is Variable and what == "conversion to an array":
        with pytest.raises(RuntimeError, match="losing the gradient unseen"):
            nbgrad.jit(function)(wrap(X))
        return
    with pytest.raises(TypeError, match=f"({what}).*test_refusals.py") as caught:
        nbgrad.jit(function)(wrap(X))
    assert "nbgrad.where" in str(caught.value)


def test_changes_in_place_are_refused():
    def function(x):
        x[0] = 1
        return x

    with pytest.raises(TypeError, match=r"changed in place at .*test_refusals.py"):
        nbgrad.jit(function)(X)


def test_what_left_its_function_is_refused():
    kept = []

    @nbgrad.jit
    def function(x):
        kept.append(x * 2)
        return x.sum()

    function(X)
    with pytest.raises(TypeError, match="left its function"):
        nbgrad.jit(lambda x: x + kept[0])(X)
    assert "traced array of shape (3, 4)" in repr(kept[0])
    np.testing.assert_allclose(function(X + 1), (X + 1).sum())  # and all is well


@pytest.mark.parametrize("function", [lambda x: x[x > 0].sum(), lambda x: x[(x > 0) & (x < 1)] * 2])
def test_shapes_that_depend_on_elements_are_refused(function):
    with pytest.raises(TypeError, match=r"truth values.*shape that depends on elements"):
        nbgrad.jit(function)(X)


def test_called_functions_keep_their_shapes():
    with pytest.raises(TypeError, match=r"unique gave shape \(2,\).*where the trace had \(12,\)"):
        nbgrad.jit(lambda x: np.unique(x) * 2)(np.array([1.0, 2.0] * 6).reshape(3, 4))
    assert nbgrad.jit(lambda x: np.linalg.norm(x) * 2)(X).shape == ()


def test_variables_from_outside_are_refused_where_their_gradient_would_be_lost():
    w = Variable(np.ones(3))
    with pytest.raises(TypeError, match=r"Variable of shape \(3,\) that requires a gradient and is no argument"):
        nbgrad.jit(lambda x: (x * w).sum())(np.ones(3))
    frozen = w.detach()
    np.testing.assert_array_equal(nbgrad.jit(lambda x: x * frozen)(np.ones(3)).data, 1.0)


def test_changes_by_operators_are_refused():
    def function(x):
        y = x * 1
        y += 1
        return y

    with pytest.raises(TypeError, match=r"changed in place at .*write x = x \+ y"):
        nbgrad.jit(function)(X)


def test_arrays_changed_after_use_are_refused():
    outside = np.ones(3)

    def changing(x):
        y = x + outside
        outside[0] += 1
        return y

    with pytest.raises(TypeError, match="was changed in place after the traced function had used it"):
        nbgrad.jit(changing)(np.ones(3))

    def making(x):
        a = np.zeros(3)
        a += 1  # before it is used
        return x + a

    assert (nbgrad.jit(making)(np.ones(3)) == 2).all()


def test_a_traced_array_that_got_away_computes_nothing():
    kept = []
    nbgrad.jit(lambda x: kept.append(x) or x * 2)(X)
    with pytest.raises(TypeError, match="has left its function"):
        kept[0] + 1


def test_an_element_written_into_an_array_from_outside_is_refused_with_the_remedy():
    def function(x):
        out = np.zeros(3)
        out[0] = x[0, 0]
        return x.sum() + out.sum()

    with pytest.raises(TypeError, match=r"np\.stack or nbgrad\.where"):
        nbgrad.jit(function)(X)


def test_what_got_away_before_an_error_is_of_no_use():
    away = []
    with pytest.raises(ZeroDivisionError):
        nbgrad.jit(lambda x: away.append(x * 2) or 1 / 0)(X)
    with pytest.raises(TypeError, match="has left its function"):
        away[0] + 1


def test_gradients_outside_of_a_trace_are_not_filled():
    w, x = Variable(np.ones(3)), np.arange(1.0, 4.0)

    def step(x, **options):
        (x * w).sum().backward(**options)
        return w.grad.data * 1

    for options in ({}, {"create_graph": True}, {"inputs": [w]}):
        with pytest.raises(TypeError, match=r"fill grad of a Variable of shape \(3,\) that is no argument"):
            nbgrad.jit(functools.partial(step, **options))(x)
        assert w.grad is None

    def slope(v):
        (v * v * w).sum().backward(inputs=v)
        return v.grad

    given = Variable(x)
    np.testing.assert_array_equal(nbgrad.jit(slope)(given).data, 2 * x)
    assert given.grad is None and w.grad is None
    (x * w).sum().backward()
    np.testing.assert_array_equal(w.grad.data, x)
