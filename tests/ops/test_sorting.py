"""Order and places in it: torch's values, places and gradients, NaN, ties, and what is refused."""

import numpy as np
import pytest
from cases import ANY
from families import Member, check_derivatives, check_traced, check_values, parameters
from peers import peer

import nbgrad

MEMBERS = [
    Member("sort", lambda x: nbgrad.sort(x, 0).values, lambda t, x: x.sort(0).values),
    Member("sort down", lambda x: nbgrad.sort(x, descending=True).values, lambda t, x: x.sort(descending=True).values),
    Member("msort", nbgrad.msort, lambda t, x: t.msort(x)),
    Member("topk", lambda x: nbgrad.topk(x, 2).values, lambda t, x: x.topk(2).values),
    Member("topk least", lambda x: nbgrad.topk(x, 1, 0, False).values, lambda t, x: x.topk(1, 0, False).values),
    Member("kthvalue", lambda x: nbgrad.kthvalue(x, 2, 1).values, lambda t, x: x.kthvalue(2, 1).values),
    Member("median", lambda x: nbgrad.median(x, 1).values, lambda t, x: x.median(1).values),
    Member("median of all", nbgrad.median, lambda t, x: x.median(), traced=False),
    Member("nanmedian", lambda x: nbgrad.nanmedian(x, 0, True).values, lambda t, x: x.nanmedian(0, True).values),
    Member("mode", lambda x: nbgrad.mode(x, 1).values, lambda t, x: x.mode(1).values),
    Member("quantile", lambda x: nbgrad.quantile(x, 0.3, 1), lambda t, x: x.quantile(0.3, 1)),
    Member(
        "quantiles",
        lambda x: nbgrad.quantile(x, [0.1, 0.6], 0, True, interpolation="midpoint"),
        lambda t, x: x.quantile(t.tensor([0.1, 0.6], dtype=x.dtype), 0, True, interpolation="midpoint"),
    ),
    Member("nanquantile", lambda x: nbgrad.nanquantile(x, 0.7), lambda t, x: x.nanquantile(0.7)),
]
QUICK = {"sort down", "topk least", "median", "mode", "quantiles"}
every_member = pytest.mark.parametrize("member", parameters(MEMBERS, QUICK))


@every_member
def test_values_are_torchs(member):
    check_values(member)


@every_member
def test_derivatives_are_those_of_differences(member):
    check_derivatives(member)


@every_member
def test_compiled(member, kernels):
    check_traced(member)


def random(*shape, values=6):
    return np.random.default_rng(7).integers(0, values, shape).astype(np.float64)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("dim", [0, 1, -1])
def test_places_are_those_of_a_stable_order(dim, descending):
    torch = peer("torch")
    x = random(7, 9)
    x[0, 3] = x[4, 5] = np.nan
    wanted = torch.sort(torch.tensor(x), dim=dim, descending=descending, stable=True)
    found = nbgrad.sort(nbgrad.tensor(x), dim, descending)
    np.testing.assert_array_equal(found.indices.data, wanted.indices)
    np.testing.assert_array_equal(found.values.data, wanted.values)
    np.testing.assert_array_equal(nbgrad.argsort(x, dim, descending), wanted.indices)


@pytest.mark.parametrize(("count", "size"), [(0, 5), (2, 5), (5, 5), (3, 400), (399, 400)])
@pytest.mark.parametrize("largest", [True, False])
def test_the_first_ones_are_those_of_the_whole_order(count, size, largest):
    x = random(3, size, values=10**6)
    found = nbgrad.topk(nbgrad.tensor(x), count, largest=largest)
    order = np.argsort(-x if largest else x, -1, kind="stable")[:, :count]
    np.testing.assert_array_equal(found.values.data, np.take_along_axis(x, order, -1))
    np.testing.assert_array_equal(np.take_along_axis(x, found.indices.data, -1), found.values.data)


@pytest.mark.parametrize("name", ["median", "nanmedian", "mode"])
def test_middles_and_modes_are_torchs_with_ties_and_nan(name):
    torch = peer("torch")
    x = random(9, 6, values=3)
    if name != "mode":
        x[2, :3] = np.nan
        x[5] = np.nan
    for dim in (0, 1):
        found, wanted = getattr(nbgrad, name)(nbgrad.tensor(x), dim), getattr(torch, name)(torch.tensor(x), dim)
        np.testing.assert_array_equal(found.values.data, wanted.values)
        picked = np.take_along_axis(x, np.expand_dims(found.indices.data, dim), dim).squeeze(dim)
        np.testing.assert_array_equal(picked, found.values.data)


@pytest.mark.parametrize("name", ["median", "nanmedian"])
def test_equal_elements_share_the_gradient_of_the_median_of_all(name):
    torch = peer("torch")
    values = [1.0, 3.0, 2.0, 2.0, 2.0, 0.0]
    x, y = nbgrad.tensor(values, requires_grad=True), torch.tensor(values, requires_grad=True)
    getattr(nbgrad, name)(x).backward()
    getattr(torch, name)(y).backward()
    np.testing.assert_allclose(x.grad.data, y.grad)
    assert getattr(nbgrad, name)(nbgrad.tensor([1, 4, 3])).item() == 3
    assert np.isnan(getattr(nbgrad, name)(nbgrad.zeros(0)).data)
    assert getattr(nbgrad, name)(nbgrad.tensor([np.inf, 1.0, np.inf])).item() == np.inf


@pytest.mark.parametrize("name", ["median", "nanmedian"])
def test_the_median_of_all_is_traced_and_batched(name):
    several = np.array([[1.0, 3.0, 2.0, 2.0], [2.0, np.nan, 1.0, 1.0], [4.0, 1.0, 0.0, 2.0]])
    slopes = nbgrad.value_and_grad(lambda x: getattr(nbgrad, name)(x) * 2.0)
    expected = [slopes(x) for x in several]
    compiled = nbgrad.jit(slopes)
    for found in ([compiled(x) for x in several], list(zip(*nbgrad.vmap(slopes)(several), strict=True))):
        for (value, slope), (value_, slope_) in zip(found, expected, strict=True):
            np.testing.assert_array_equal(value, value_)
            np.testing.assert_array_equal(slope, slope_)


def test_quantiles_meet_nan_and_infinities():
    x = nbgrad.tensor([[1.0, np.nan, 3.0], [np.inf, np.inf, 0.0]])
    assert np.isnan(nbgrad.quantile(x, 0.5, 1).data).tolist() == [True, False]
    assert nbgrad.nanquantile(x, 0.5, 1).tolist() == [2.0, np.inf]
    q = nbgrad.tensor([0.25, 0.5], requires_grad=True)
    assert nbgrad.autograd.gradcheck(lambda q: nbgrad.quantile(nbgrad.tensor([1.0, 2.0, 5.0, 7.0]), q), (q,))


@pytest.mark.parametrize("dim", [None, 0, 1])
@pytest.mark.parametrize("name", ["unique", "unique_consecutive"])
def test_different_elements_are_torchs(name, dim):
    torch = peer("torch")
    x = random(6, 4, values=2)
    found = getattr(nbgrad, name)(nbgrad.tensor(x), return_inverse=True, return_counts=True, dim=dim)
    wanted = getattr(torch, name)(torch.tensor(x), return_inverse=True, return_counts=True, dim=dim)
    for mine, theirs in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(mine.data, theirs)
    assert not found[0].requires_grad
    leaf = nbgrad.tensor(x, requires_grad=True)
    values = getattr(nbgrad, name)(leaf, dim=dim)
    np.testing.assert_array_equal(values.data, found[0].data)
    (values * values).sum().backward()  # to the first of equal ones
    np.testing.assert_allclose(leaf.grad.sum().item(), 2 * values.sum().item())
    assert not leaf.grad.data[leaf.grad.data != 0].size > values.size


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda x: nbgrad.sort(x, 2), IndexError, "sort: dimension 2 is out of range"),
        (lambda x: nbgrad.topk(x, 5), ValueError, "topk: 5 elements of 4 in dimension 1"),
        (lambda x: nbgrad.kthvalue(x, 0), ValueError, "kthvalue: number 0 of 4"),
        (lambda x: nbgrad.median(x[:, :0], 1), IndexError, "median: no elements"),
        (lambda x: nbgrad.mode(x[:, :0], 1), IndexError, "mode: no elements"),
        (lambda x: nbgrad.quantile(x, 1.5), ValueError, "quantile: q is 1.5"),
        (lambda x: nbgrad.quantile(x, 0.5, interpolation="cubic"), ValueError, "quantile: interpolation"),
        (lambda x: nbgrad.quantile(nbgrad.arange(3), 0.5), TypeError, "quantile: dtype int64"),
        (lambda x: nbgrad.quantile(x[:0], 0.5), ValueError, "quantile: no elements"),
    ],
)
def test_wrong_arguments_are_refused(call, error, says):
    with pytest.raises(error, match=says):
        call(nbgrad.ones(3, 4))


def test_scalars_pass_for_vectors():
    x = nbgrad.tensor(3.0, requires_grad=True)
    for name in ("sort", "mode", "median", "kthvalue", "topk"):
        arguments = {"kthvalue": (1,), "topk": (1,), "median": (0,)}.get(name, ())
        values, places = getattr(nbgrad, name)(x, *arguments)
        assert values.item() == 3 and places.item() == 0 and values.shape == ()


def test_sorting_along_the_domain_keeps_places_of_numbers():
    x = Member("x", None, None, (ANY,)).arrays()[0]
    np.testing.assert_array_equal(np.take_along_axis(x, nbgrad.argsort(x), -1), np.sort(x))
