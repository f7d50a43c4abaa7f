"""Indexing of traced arrays by arrays, which are read in every run."""

import numpy as np
import pytest

import nbgrad
from nbgrad import Variable

pytestmark = pytest.mark.usefixtures("kernels")

X = np.arange(12.0).reshape(4, 3)


def gradient_of(pick):
    return nbgrad.grad(lambda x: (pick(x) * pick(x)).sum())


@pytest.mark.parametrize("given", [lambda x: x, Variable])
def test_positions_from_outside_are_those_of_the_run(given):
    rows, columns, mask = np.array([0, 2]), np.array([1, 1]), np.array([True, False, True, False])
    picks = [
        lambda x: x[rows],
        lambda x: x[rows, columns],
        lambda x: x[rows, 1:],
        lambda x: x[mask],
        lambda x: x[:, columns],
    ]
    compiled = [(nbgrad.jit(pick), nbgrad.jit(gradient_of(pick)), pick) for pick in picks]
    for change in (lambda: None, lambda: rows.fill(3), lambda: columns.fill(-1), lambda: mask[:].sort()):
        change()
        for values, gradient, pick in compiled:
            found, slope = values(given(X)), gradient(X)
            np.testing.assert_array_equal(getattr(found, "data", found) if given is Variable else found, pick(X))
            np.testing.assert_array_equal(slope, gradient_of(pick)(X))


def test_a_mask_from_outside_that_picks_more_or_less_is_refused():
    mask = np.array([True, False, True, False])
    compiled = nbgrad.jit(lambda x: x[mask] * 2)
    np.testing.assert_array_equal(compiled(X), X[mask] * 2)
    mask[1] = True
    with pytest.raises(TypeError, match=r"a mask from outside .* picks 3 elements where the trace had 2"):
        compiled(X)
    mask[0] = False
    np.testing.assert_array_equal(compiled(X), X[mask] * 2)


def test_positions_out_of_range_are_refused_in_the_run_that_has_them():
    rows = np.array([0, 2])
    compiled = nbgrad.jit(gradient_of(lambda x: x[rows]))
    compiled(X)
    rows[0] = 4
    with pytest.raises(IndexError, match="in 4 rows"):
        compiled(X)
    rows[0] = -4
    np.testing.assert_array_equal(compiled(X), gradient_of(lambda x: x[rows])(X))


CUBE = np.arange(24.0).reshape(2, 4, 3)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize(
    "rows", [np.array([1, 0, -1]), np.array([[0, 1], [-2, 0]], np.int32), np.array([1], np.uint8)], ids=str
)
def test_positions_along_one_axis(axis, rows):
    key = (*[slice(None)] * axis, rows) if axis >= 0 else (..., rows)
    weights = np.cos(np.arange(CUBE[key].size)).reshape(CUBE[key].shape)
    slope = np.zeros_like(CUBE)
    np.add.at(slope, key, weights)

    def traced(x, rows):
        return x[(*key[:-1], rows)] * 1.0

    for dtype in ("float64", "float32"):
        x = CUBE.astype(dtype)
        for pick in (lambda x, rows: traced(x, key[-1]), traced):  # from outside, and as an argument
            jitted = nbgrad.jit(pick)
            np.testing.assert_array_equal(jitted(x, rows), x[key])
            gradient = nbgrad.jit(nbgrad.grad(lambda x, rows, pick=pick: (pick(x, rows) * weights).sum()))
            np.testing.assert_allclose(gradient(x, rows), slope, 1e-6)
        with pytest.raises(IndexError, match="positions from"):
            nbgrad.jit(traced)(x, np.full_like(rows, 9))


@pytest.mark.parametrize("offset", [-2, 0, 1])
@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3)])
def test_a_diagonal_is_a_view(shape, offset):
    x = np.arange(float(np.prod(shape))).reshape(shape)
    function = nbgrad.value_and_grad(lambda x: (np.diagonal(x, offset) ** 3).sum() + nbgrad.trace(x @ x.T))
    jitted = nbgrad.jit(function)
    for found, wanted in zip(jitted(x), function(x), strict=True):
        np.testing.assert_allclose(found, wanted, 1e-14)
    assert "gather" not in jitted.explain(x) and "scatter" not in jitted.explain(x)


def test_positions_that_are_no_range_are_looked_at():
    for rows in ([0, 1, 3], [2, 1, 0], [3, 3], [0, 5]):
        jitted = nbgrad.jit(lambda x, rows=rows: x[rows, rows[::-1]] * 1.0)
        try:
            expected = CUBE[0][rows, rows[::-1]]
        except IndexError:
            with pytest.raises(IndexError):
                jitted(CUBE[0])
        else:
            np.testing.assert_array_equal(jitted(CUBE[0]), expected)


def test_an_empty_list_picks_nothing():
    assert nbgrad.jit(lambda x: x[[]] * 2)(X).shape == (0, 3)
    assert nbgrad.jit(lambda x, i: x[i, []] * 2)(X, np.zeros((2, 0), int)).shape == (2, 0)


def test_classes_from_outside_that_only_have_to_be_looked_at():
    classes = np.zeros(4, int)
    compiled = nbgrad.jit(lambda x: nbgrad.nn.functional.cross_entropy(x, classes))
    assert compiled(np.ones((4, 1))) == 0  # of one class the loss reads nothing
    classes[1] = 1
    with pytest.raises(IndexError, match="classes from 0 to 1"):
        compiled(np.ones((4, 1)))


class One:
    def __index__(self):
        return 1


@pytest.mark.parametrize(
    "key",
    [
        True, False, np.True_, np.array(True), ((0, 1),), (slice(None), (2, 0)), (True, 0), (None, True), (..., True),
        (True, slice(1, 3)), (True, np.array([0, 1])), One(), np.int8(2), nbgrad.tensor([1, 0]), nbgrad.tensor(1),
        (slice(None), nbgrad.tensor([2, 2])),
    ],
)  # fmt: skip
@pytest.mark.parametrize("x", [X, np.array(3.0)])
def test_what_picks_and_what_gives_a_view(x, key):
    """NumPy copies for truth values, lists and tuples, and views for numbers and slices."""
    plain = tuple(p.data if isinstance(p, Variable) else p for p in (key if type(key) is tuple else (key,)))
    try:
        expected = x[plain] * 2
    except IndexError:
        for function in (lambda x: x[key] * 2, gradient_of(lambda x: x[key])):
            with pytest.raises(IndexError):
                nbgrad.jit(function)(x)
        return
    np.testing.assert_array_equal(nbgrad.jit(lambda x: x[key] * 2)(x), expected)
    slopes = np.zeros_like(x)
    np.add.at(slopes, plain, expected)
    np.testing.assert_array_equal(nbgrad.jit(gradient_of(lambda x: x[key]))(x), slopes)


ALL_THAT_PICKS = {
    "lists in tuples": ((0, 3), (1, 0)),
    "a tuple and a slice": ((0, 3), slice(None)),
    "a range": range(1, 4, 2),
    "a range and a number": (range(3), 1),
    "a nested list": [[0, 1], [3, 3]],
    "truth": True,
    "NumPy's truth": np.True_,
    "truth and a slice": (True, slice(1, 3)),
    "a Variable": nbgrad.tensor([2, 0, 2]),
}


@pytest.mark.parametrize("name", ALL_THAT_PICKS)
def test_whatever_picks_elements_is_told_from_what_leaves_a_view(name):
    index = ALL_THAT_PICKS[name]

    def pick(x):
        return x[index]

    expected, slope = pick(Variable(X)).data, gradient_of(pick)(X)
    for given in (X, Variable(X)):
        found = nbgrad.jit(lambda x: pick(x) * 2.0)(given)
        np.testing.assert_array_equal(getattr(found, "data", found) if given is not X else found, expected * 2)
    np.testing.assert_array_equal(nbgrad.jit(gradient_of(pick))(X), slope)


@pytest.mark.parametrize(
    ("pick", "given", "changed"),
    [
        (lambda x, c: np.compress(c, x, 0), [True, False, True, False], [False, True, True, False]),
        (lambda x, c: np.compress(c, x, 0), [True, False, True, False], [True, True, True, False]),
        (lambda x, c: np.extract(np.broadcast_to(c[:, None], x.shape), x), [True, False, True, True], [1, 1, 0, 1]),
        (lambda x, c: np.repeat(x, c, 0), [1, 2, 0, 1], [0, 1, 1, 2]),
        (lambda x, c: np.repeat(x, c, 0), [1, 2, 0, 1], [0, 1, 1, 3]),
        (lambda x, c: np.delete(x, c, 0), [0, 2], [3, 1]),
        (lambda x, c: np.roll(x, c, (0, 1)), [1, 2], [0, 1]),
    ],
)
@pytest.mark.parametrize("of", [lambda pick: pick, gradient_of], ids=["value", "gradient"])
def test_functions_that_pick_by_arrays_from_outside(of, pick, given, changed):
    given = np.array(given)
    function = of(lambda x: pick(x, given))
    compiled = nbgrad.jit(function)
    np.testing.assert_array_equal(compiled(X), function(X))
    size = pick(X, given).size
    given[...] = changed
    if pick(X, given).size == size:
        np.testing.assert_array_equal(compiled(X), function(X))
    else:
        with pytest.raises(TypeError, match="where the trace had"):
            compiled(X)


KEYS_TO_JOIN = {
    "a stretch": [(slice(1, 3),)],
    "rows": [(0,), (2,)],
    "a column": [(slice(None), 1)],
    "the last column": [(Ellipsis, -1)],
    "columns": [(slice(None), slice(2, None)), (slice(None), 0)],
    "everything": [(Ellipsis,)],
    "an axis of one element": [(slice(1, 3), slice(None), 0)],
}
KEYS_THAT_STAY = {
    "two axes": [(slice(1, 3), slice(0, 2))],
    "steps": [(slice(None, None, 2),)],
    "one over another": [(slice(0, 2),), (slice(1, 3),)],
    "nothing": [(slice(2, 2),)],
}


@pytest.mark.parametrize("name", [*KEYS_TO_JOIN, *KEYS_THAT_STAY])
@pytest.mark.parametrize("scalar", [False, True])
def test_writes_to_stretches_of_an_axis_are_joins(name, scalar):
    keys = (KEYS_TO_JOIN | KEYS_THAT_STAY)[name]
    shape = (3, 4, 1) if name == "an axis of one element" else (3, 4)

    def function(x, v):
        y = x * 2.0
        for k, key in enumerate(keys):
            part = y[key]
            y[key] = v[0, 0] * (k + 1.0) if scalar else (part + 1.0) * (v.reshape(-1)[0] + k)
        return nbgrad.sin(y).sum() + (y * y).sum()

    x, v = np.arange(12.0).reshape(shape) / 10, np.linspace(1.0, 2.0, 12).reshape(3, 4)
    compiled, eager = nbgrad.jit(nbgrad.value_and_grad(function, (0, 1))), nbgrad.value_and_grad(function, (0, 1))
    found, wanted = compiled(x, v), eager(x, v)
    np.testing.assert_allclose(found[0], wanted[0], rtol=1e-12)
    for mine, other in zip(found[1], wanted[1], strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-12, atol=1e-14)
    steps = str(nbgrad.jit(function).explain(nbgrad.tensor(x), nbgrad.tensor(v)))
    # what is read in between makes joins of both
    assert ("put" in steps) == (name in KEYS_THAT_STAY and (scalar or name != "one over another"))


def test_values_of_rows_broadcast_into_what_they_are_written_to():
    def function(x, v):
        x = x * 1.0
        x[1:3] = v
        x[:, 0] = v[0]
        x[0] = v[None]
        return (x * x).sum()

    x, v = np.ones((3, 4)), np.array([1.0, 2.0, 3.0, 4.0])
    for mine, other in zip(
        nbgrad.jit(nbgrad.value_and_grad(function, (0, 1)))(x, v)[1],
        nbgrad.value_and_grad(function, (0, 1))(x, v)[1],
        strict=True,
    ):
        np.testing.assert_allclose(mine, other, rtol=1e-12)


@pytest.mark.parametrize("key", [(slice(None), [0, 2]), ([0, 2], slice(None)), (..., slice(None), [0]), ([0], [1])])
def test_an_index_of_more_axes_than_there_are_is_refused(key):
    for function in (lambda x: x[key], nbgrad.grad(lambda x: x[key].sum())):
        with pytest.raises(IndexError, match="too many indices"):
            nbgrad.jit(function)(np.arange(12.0))
