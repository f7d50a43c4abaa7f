"""Picking and putting by arrays of positions: against torch, and what is refused."""

import numpy as np
import pytest
from cases import ANY, assert_same_as_torch, check_to_second_order, draw
from peers import peer

import nbgrad
from nbgrad import Variable
from nbgrad.ops.places import ExtremeAt

PLACES = np.array([[0, 2, 1], [1, 1, 2], [0, 0, 0], [2, 1, 0]])
LINES = np.array([3, 0, 3])
MASK = np.array([[True, False, True], [False, False, True], [True, True, False], [False, True, True]])
#: Calls by name: arguments, of which a shape stands for an array with a gradient.
CALLS = {
    "index_select": [(0, LINES)],
    "gather": [(1, PLACES[:2]), (0, PLACES[:, :2])],
    "take": [(PLACES,)],
    "masked_select": [(MASK,)],
    "index_add": [(0, LINES, [3, 3])],
    "index_copy": [(0, np.array([3, 0]), [2, 3])],
    "index_fill": [(1, np.array([2, 0]), 5.0)],
    "index_reduce": [(0, LINES, [3, 3], kind) for kind in ("prod", "mean", "amax", "amin")],
    "index_put": [((LINES, np.array([0, 1, 2])), [3])],
    "scatter": [(1, np.array([[0, 2], [1, 0]]), [2, 2])],
    "scatter_add": [(1, PLACES[:2], [2, 3]), (0, PLACES[:, :2], [4, 2])],
    "scatter_reduce": [(1, PLACES, [4, 3], kind) for kind in ("sum", "prod", "mean", "amax", "amin")],
    "put": [(np.array([5, 0, 7]), [3])],
    "masked_fill": [(MASK, 2.0)],
    "masked_scatter": [(MASK, [9])],
    "select_scatter": [([4], 1, -1)],
    "slice_scatter": [([4, 2], 1, 0, 3, 2)],
    "diagonal_scatter": [([2], 1)],
}
EACH = [(name, i) for name, calls in CALLS.items() for i in range(len(calls))]


def arguments_of(name, i):
    """Give arrays for the shapes, and a function that puts them in their places."""
    given = CALLS[name][i]
    shapes = [a for a in given if isinstance(a, list)]
    arrays = [draw(ANY, (4, 3)), *(draw(ANY, tuple(shape), seed=7 + j) for j, shape in enumerate(shapes))]

    def filled(xs, convert):
        rest = iter(xs)
        return [
            next(rest)
            if isinstance(a, list)
            else tuple(map(convert, a))
            if isinstance(a, tuple)
            else convert(a)
            if isinstance(a, np.ndarray)
            else a
            for a in given
        ]

    return arrays, filled


@pytest.mark.filterwarnings("ignore:index_reduce")
@pytest.mark.parametrize(("name", "i"), EACH)
def test_values_and_gradients_are_torchs(name, i):
    arrays, filled = arguments_of(name, i)
    assert_same_as_torch(
        lambda x, *xs: getattr(x, name)(*filled(xs, lambda a: a)),
        lambda t, x, *xs: getattr(x, name)(*filled(xs, t.tensor)),
        arrays,
    )


@pytest.mark.parametrize(("name", "i"), EACH)
def test_gradients_agree_with_differences(name, i):
    arrays, filled = arguments_of(name, i)
    check_to_second_order(lambda x, *xs: getattr(x, name)(*filled(xs, lambda a: a)), arrays)


@pytest.mark.parametrize("name", ["index_select", "gather", "index_add", "scatter_add", "masked_fill", "index_fill"])
def test_compiled_positions_are_read_in_every_run(name, kernels):
    arrays, filled = arguments_of(name, 0)
    (positions,) = [a for a in CALLS[name][0] if isinstance(a, np.ndarray)]

    def program(positions, x, *xs):
        return (getattr(nbgrad, name)(x, *filled(xs, lambda _: positions)) ** 2).sum()

    compiled = nbgrad.jit(nbgrad.value_and_grad(program, tuple(range(1, len(arrays) + 1))))
    for now in (positions, positions[::-1].copy()):
        value, slopes = compiled(now, *arrays)
        expected, gradients = nbgrad.value_and_grad(program, tuple(range(1, len(arrays) + 1)))(now, *arrays)
        np.testing.assert_allclose(value, expected, rtol=1e-12)
        for slope, gradient in zip(slopes, gradients, strict=True):
            np.testing.assert_allclose(slope, gradient, rtol=1e-12)


def test_places_and_counts_are_torchs():
    torch = peer("torch")
    x = np.array([[0.0, 2.0, 0.5], [3.0, 0.0, -1.0]])
    whole, edges = np.array([1, 3, 1, 0]), np.array([0.0, 0.5, 2.0])
    calls = {
        "nonzero": (x,),
        "argwhere": (x,),
        "searchsorted": (edges, x),
        "bucketize": (x, edges),
        "bincount": (whole,),
        "unravel_index": (whole, (2, 2)),
    }
    for name, arrays in calls.items():
        ours = getattr(nbgrad, name)(*[Variable(a) if isinstance(a, np.ndarray) else a for a in arrays])
        theirs = getattr(torch, name)(*[torch.tensor(a) if isinstance(a, np.ndarray) else a for a in arrays])
        for found, expected in zip(*((y,) if not isinstance(y, tuple) else y for y in (ours, theirs)), strict=True):
            assert found.dtype == np.int64
            np.testing.assert_array_equal(found.data, expected, err_msg=name)
    np.testing.assert_array_equal(nbgrad.histc(Variable(x), 4, -1, 3).data, torch.histc(torch.tensor(x), 4, -1, 3))
    for bins in (3, np.array([-1.0, 0.0, 2.5, 3.0])):
        ours = nbgrad.histogram(Variable(x), bins if isinstance(bins, int) else Variable(bins))
        theirs = torch.histogram(torch.tensor(x), bins if isinstance(bins, int) else torch.tensor(bins))
        for found, expected in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(found.data, expected)
    np.testing.assert_array_equal(nbgrad.tril_indices(3, 4, -1).data, torch.tril_indices(3, 4, -1))
    np.testing.assert_array_equal(nbgrad.triu_indices(3, 4).data, torch.triu_indices(3, 4))
    np.testing.assert_array_equal(
        nbgrad.nonzero_static(Variable(x), size=5).data, torch.nonzero_static(torch.tensor(x), size=5)
    )


X = nbgrad.ones(4, 3)
REFUSALS = {
    "select": (lambda: X.index_select(0, np.array([4])), IndexError, "positions from 4 to 4 of 4 elements"),
    "negative": (lambda: X.gather(1, PLACES - 1), IndexError, "gather: positions from -1 to 1 of 3 elements"),
    "floating": (lambda: X.gather(1, X), TypeError, "gather: positions have dtype float64"),
    "dimensions": (lambda: X.gather(1, LINES), ValueError, r"gather: positions have shape \(3,\), input \(4, 3\)"),
    "more": (lambda: X.gather(1, PLACES.repeat(2, 0)), ValueError, "are more than input of shape"),
    "source": (lambda: X.scatter(1, PLACES, X[:2]), ValueError, r"are more than the elements of \(2, 3\)"),
    "dtype": (lambda: X.scatter_add(1, PLACES, X.astype("float32")), TypeError, "src has dtype float32, input float64"),
    "reduce": (lambda: X.scatter_reduce(1, PLACES, X, "max"), ValueError, "scatter_reduce: reduce is 'max'"),
    "nothing": (lambda: X.scatter(1, PLACES), TypeError, "scatter: give src or value"),
    "add": (lambda: X.index_add(0, LINES, X), ValueError, r"index_add: source has shape \(4, 3\): it must be \(3, 3\)"),
    "fill": (lambda: X.index_fill(0, LINES, X[0]), ValueError, r"index_fill: the value has shape \(3,\)"),
    "mask": (lambda: X.masked_fill(PLACES, 1.0), TypeError, "masked_fill: the mask has dtype int64"),
    "few": (lambda: X.masked_scatter(MASK, X[0]), ValueError, "masked_scatter: 3 elements for 7 places"),
    "put": (lambda: X.put(LINES, X), ValueError, "put: 12 elements for 3 positions"),
    "slice": (lambda: X.slice_scatter(X[0], 0), ValueError, r"slice_scatter: src has shape \(3,\): it must be"),
    "counts": (lambda: nbgrad.bincount(np.array([-1])), ValueError, "bincount: .* takes a vector of numbers from 0 on"),
    "bins": (lambda: nbgrad.histc(X, 0), ValueError, "histc: 0 bins"),
    "sorted": (lambda: nbgrad.searchsorted(X, X[0]), ValueError, "searchsorted: a sequence of shape"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name):
    work, kind, message = REFUSALS[name]
    with pytest.raises(kind, match=message):
        work()


@pytest.mark.parametrize("place", [-1, 4])
def test_positions_outside_are_refused_whatever_stands_for_them(place):
    """Compiled and for many examples they are not known beforehand; negative ones would count from the end."""
    x, index = np.arange(12.0).reshape(4, 3), np.array([0, place])
    calls = [
        lambda x, i: nbgrad.gather(x, 0, i[:, None]),
        lambda x, i: nbgrad.index_select(x, 0, i),
        lambda x, i: nbgrad.scatter(x, 0, i[:, None], 1.0),
        lambda x, i: nbgrad.scatter_add(x, 0, i[:, None], x),
        lambda x, i: nbgrad.index_add(x, 0, i, x[:2]),
        lambda x, i: nbgrad.index_fill(x, 0, i, 7.0),
        lambda x, i: nbgrad.nn.functional.embedding(i, x),
        lambda x, i: nbgrad.nn.functional.one_hot(i, 4),
    ]
    for number, call in enumerate(calls):
        compiled = nbgrad.jit(call)
        compiled(x, np.array([0, 3]))
        # computed inside, so that no array from outside can be looked at
        inner = nbgrad.jit(lambda x, i, call=call: call(x, i * 1))
        many = nbgrad.vmap(call, (None, 0))
        for run, given in ((call, index), (compiled, index), (inner, index), (many, index[None])):
            with pytest.raises((IndexError, ValueError), match=r"from|out of bounds"):
                run(x, given)
                pytest.fail(f"call {number} took {place}")


POSITIONS, EACH_LINE = np.array([2, 0, 2]), np.array([[0, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0]])
ADDING = {
    "index_add": lambda x: nbgrad.index_add(x, 0, POSITIONS, x),
    "index_put": lambda x: nbgrad.index_put(x, (POSITIONS,), x, True),
    "scatter_add": lambda x: nbgrad.scatter_add(x, 0, EACH_LINE, x),
    "scatter_reduce": lambda x: nbgrad.scatter_reduce(x, 0, EACH_LINE, x, "sum"),
    "diag": lambda x: nbgrad.diag(x[0]),
    "diag_embed": lambda x: nbgrad.diag_embed(x, -1),
    "index_select": nbgrad.grad(lambda x: (nbgrad.index_select(x, 0, POSITIONS) ** 2).sum()),
    "gather": nbgrad.grad(lambda x: (nbgrad.gather(x, 0, EACH_LINE) ** 2).sum()),
}


@pytest.mark.parametrize("name", ADDING)
@pytest.mark.parametrize("dtype", [">f4", ">f8"])
def test_arrays_of_other_byte_orders_are_added_to_zeros(name, dtype):
    x = np.arange(1.0, 13.0).reshape(3, 4)
    for _ in range(3):  # what memory holds is another matter each time
        found = ADDING[name](x.astype(dtype))
        np.testing.assert_array_equal(found, ADDING[name](x))


@pytest.mark.filterwarnings("ignore:index_reduce")
@pytest.mark.parametrize("kind", ["amax", "amin"])
@pytest.mark.parametrize(("rows", "dtype"), [(4, "float32"), (4, "float64"), (900, "float64")])
def test_extrema_at_places_are_one_node_whose_ties_share(rows, dtype, kind):
    random = np.random.default_rng(rows)
    x, source = (random.integers(-2, 3, (n, 5)).astype(dtype) for n in (rows, 3 * rows))
    lines, weights = random.integers(0, rows, 3 * rows), draw(ANY, (rows, 5), dtype)
    y = Variable(x).index_reduce(0, lines, Variable(source), kind)
    assert type(y.creator) is ExtremeAt
    wide = np.broadcast_to(lines[:, None], source.shape)
    z = Variable(x).scatter_reduce(0, wide, Variable(source), kind)
    assert type(z.creator) is ExtremeAt and np.array_equal(y.data, z.data)
    assert_same_as_torch(
        lambda x, s: x.index_reduce(0, lines, s, kind) * weights,
        lambda t, x, s: x.index_reduce(0, t.tensor(lines), s, kind) * t.tensor(weights),
        [x, source],
    )
    left = Variable(x).index_reduce(0, lines, Variable(source), kind, include_self=False)
    met = np.isin(np.arange(rows), lines)
    extremum = np.full(x.shape, -np.inf if kind == "amax" else np.inf)
    (np.maximum if kind == "amax" else np.minimum).at(extremum, lines, source)
    np.testing.assert_array_equal(left.data, np.where(met[:, None], extremum, x))


# ---- traced positions and masks -------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:index_reduce")
def test_extrema_at_traced_positions_and_traced_masks_are_what_they_are_eagerly():
    x, source, mask = draw(ANY, (4, 3)), draw(ANY, (3, 3), seed=7), MASK
    source[2] = source[0]  # a tie, whose gradient is shared
    calls = {
        "index_reduce": (lambda x, s, places: nbgrad.index_reduce(x, 0, places, s, "amax"), np.array([3, 0, 3])),
        "masked_scatter": (lambda x, s, mask: nbgrad.masked_scatter(x, mask, s), mask),
    }
    compiled = {}
    for name, (function, where) in calls.items():
        compiled[name] = nbgrad.jit(function)
        np.testing.assert_array_equal(compiled[name](x, source, where), function(x, source, where))
        gradient = nbgrad.grad(lambda *given, f=function: (f(*given) ** 2).sum(), (0, 1))
        for mine, wanted in zip(nbgrad.jit(gradient)(x, source, where), gradient(x, source, where), strict=True):
            np.testing.assert_allclose(mine, wanted, rtol=1e-13)
        many = nbgrad.vmap(function)(np.stack([x, x + 1]), np.stack([source, -source]), np.stack([where, where[::-1]]))
        one_by_one = [function(x, source, where), function(x + 1, -source, where[::-1])]
        np.testing.assert_array_equal(many, one_by_one)
    with pytest.raises(IndexError, match=r"index_reduce: positions from 0 to 4|scatter: index"):
        compiled["index_reduce"](x, source, np.array([4, 0, 3]))
    with pytest.raises(ValueError, match="masked_scatter: 9 elements for 12 places"):
        compiled["masked_scatter"](x, source, np.ones_like(mask))
    with pytest.raises(TypeError, match=r"products at positions that jit traces.*take the positions from outside"):
        nbgrad.jit(lambda x, s, places: nbgrad.index_reduce(x, 0, places, s, "prod"))(x, source, np.array([3, 0, 3]))
