"""Every operation for many examples at once, with its gradients and tangents: as one by one."""

from contextlib import contextmanager

import cases
import numpy as np
import pytest

import nbgrad
from nbgrad.batching import hot
from nbgrad.func import grad, hessian, jacfwd, jacrev, vmap
from nbgrad.nn import functional as F

CLOSE = {"rtol": 1e-10, "atol": 1e-11}


def one_by_one(function, arrays, dims):
    """Give the stack of what a function gives for each example."""
    size = next(a.shape[0] for a, d in zip(arrays, dims, strict=True) if d == 0)
    rows = [[a if d is None else a[i] for a, d in zip(arrays, dims, strict=True)] for i in range(size)]
    return np.stack([np.asarray(nbgrad.variable.data_of(function(*row))) for row in rows])


def check(function, arrays, differentiable=True):
    """Hold a function of arrays against itself one by one: for many examples of all arguments, and of one only."""
    kinds = [(0,) * len(arrays)]
    if len(arrays) > 1:
        kinds += [tuple(0 if i == k else None for i in range(len(arrays))) for k in range(len(arrays))]
    for dims in kinds:
        given = [a if d == 0 else a[0] for a, d in zip(arrays, dims, strict=True)]
        found = vmap(function, dims)(*given)
        expected = one_by_one(function, given, dims)
        assert found.dtype == expected.dtype
        np.testing.assert_allclose(found, expected, **CLOSE, err_msg=str(dims))
        if not differentiable:
            continue
        wanted = tuple(i for i, a in enumerate(arrays) if a.dtype.kind == "f")
        weights = np.random.default_rng(5).normal(size=expected.shape[1:])

        def total(*xs, weights=weights):
            return (function(*xs) * weights).sum()

        slopes = vmap(grad(total, wanted), dims)(*given)
        for k, slope in zip(wanted, slopes, strict=True):
            np.testing.assert_allclose(
                slope, one_by_one(lambda *xs, k=k: grad(total, k)(*xs), given, dims), **CLOSE, err_msg=str((dims, k))
            )
    if differentiable:
        first = [a[0] for a in arrays]
        with units(apart=False):
            expected = jacrev(function, wanted)(*first)
        for transform in (jacfwd, jacrev):
            for apart in (True, False):
                with units(apart):
                    found = transform(function, wanted)(*first)
                for mine, other in zip(found, expected, strict=True):
                    np.testing.assert_allclose(mine, other, **CLOSE, err_msg=f"{transform.__name__}, {apart}")


@contextmanager
def units(apart):
    """Have walks keep unit vectors as what they are, however few, or spread all of them out."""
    before = hot.LEAST, hot.EXAMPLES
    hot.LEAST, hot.EXAMPLES = (1, 0) if apart else (1 << 30, 0)
    try:
        yield
    finally:
        hot.LEAST, hot.EXAMPLES = before


ELEMENTWISE = [*cases.ELEMENTWISE, *cases.SELDOM]


@pytest.mark.parametrize("case", ELEMENTWISE, ids=cases.numbered(ELEMENTWISE))
def test_elementwise(case):
    shapes = [(2, 3, 2), (2, 2), (2, 3, 1)]
    arrays = [cases.draw(d, shape) for d, shape in zip(case.domains, shapes, strict=False)]
    check(case.function, arrays, case.differentiable)


FOLDS = [*cases.REDUCTIONS, *cases.NORMS, *cases.WITHOUT_NAN, *cases.STATISTICS]


@pytest.mark.parametrize("case", FOLDS, ids=repr)
def test_reductions(case):
    x = cases.draw(cases.ANY, (2, 3, 4))
    for axes, keepdim in ((None, False), (0, False), ((1,), True), ((0, 1), False)):
        check(lambda v, a=axes, k=keepdim: case.function(v, a, k), [x])
    check(lambda v: case.function(v), [cases.draw(cases.ANY, (3,))])


@pytest.mark.parametrize("case", cases.SCANS, ids=repr)
def test_scans(case):
    x = cases.draw(cases.ANY, (2, 3, 4))
    for dim in (0, 1, -1):
        check(lambda v, d=dim: case.function(v, d), [x])
    check(lambda v: case.function(v, 0), [x[:, 0, 0]])


@pytest.mark.parametrize("case", cases.DECOMPOSITIONS, ids=repr)
def test_decompositions(case):
    for shape in case.shapes[:2]:
        check(lambda v: case.function(nbgrad.as_tensor(v)), [cases.draw(cases.ANY, (2, *shape))])


PLACES = np.array([2, 0, 2])
MASK = np.array([True, False, True])

OTHERS = {
    "softmax": lambda x: nbgrad.softmax(x, 0),
    "log_softmax": lambda x: nbgrad.log_softmax(x, -1),
    "softmax of one": lambda x: nbgrad.softmax(x[0, 0], 0),
    "reshape": lambda x: nbgrad.reshape(x, (4, -1)),
    "permute": lambda x: nbgrad.permute(x, (1, 0)) * 2.0,
    "unsqueeze": lambda x: nbgrad.unsqueeze(x, 1) * np.ones((2, 1)),
    "flatten": lambda x: nbgrad.flatten(x),
    "expand": lambda x: nbgrad.expand(x[:, :1], 3, 4),
    "broadcast_to": lambda x: nbgrad.broadcast_to(x, (2, 3, 4)),
    "sum_to": lambda x: nbgrad.sum_to(x, (3, 1)),
    "a slice": lambda x: x[1:, ::-2],
    "an element": lambda x: x[1, 2],
    "a new axis": lambda x: x[None, ..., 1],
    "rows": lambda x: x[PLACES],
    "columns": lambda x: x[:, PLACES],
    "elements": lambda x: x[PLACES, PLACES],
    "places apart": lambda x: nbgrad.unsqueeze(x, 0)[0, :, PLACES],
    "a mask": lambda x: x[MASK],
    "a mask of all": lambda x: x[np.arange(12).reshape(3, 4) % 3 == 0],
    "take_along_dim": lambda x: nbgrad.take_along_dim(x, PLACES.reshape(3, 1), 1),
    "cat": lambda x: nbgrad.cat([x, np.ones((3, 1)), x[:, :1]], 1),
    "stack": lambda x: nbgrad.stack([x, np.zeros((3, 4)), x], 1),
    "split": lambda x: nbgrad.split(x, 2, 1)[1],
    "flip": lambda x: nbgrad.flip(x, 0),
    "diff": lambda x: nbgrad.diff(x, dim=0),
    "max with places": lambda x: nbgrad.max(x, 1)[0],
    "min over all": lambda x: nbgrad.min(x),
    "einsum": lambda x: nbgrad.einsum("ij,kj->ik", x, x),
    "a trace": lambda x: nbgrad.einsum("ii", x[:, :3]),
    "outer": lambda x: nbgrad.outer(x[0], x[:, 1]),
    "clamp": lambda x: nbgrad.clamp(x, -1.0, 0.5),
    "float32": lambda x: nbgrad.astype(nbgrad.astype(x, np.float32), np.float64),
    "np.median": lambda x: np.median(nbgrad.as_tensor(x), 1),
    "np.pad": lambda x: np.pad(nbgrad.as_tensor(x), 1),
    "np.roll": lambda x: np.roll(nbgrad.as_tensor(x), 1, 0),
    "np.tril": lambda x: np.tril(nbgrad.as_tensor(x)),
    "np.sort": lambda x: np.sort(nbgrad.as_tensor(x), 0),
    "np.interp": lambda x: np.interp(nbgrad.as_tensor(x), np.arange(4.0), np.arange(4.0) ** 2),
    "np.cov": lambda x: np.cov(nbgrad.as_tensor(x)),
    "np.convolve": lambda x: np.convolve(nbgrad.as_tensor(x)[0], nbgrad.as_tensor(x)[1]),
    "fft.fftn": lambda x: nbgrad.fft.fftn(nbgrad.as_tensor(x)).real,
    "fft.rfft": lambda x: nbgrad.fft.rfft(nbgrad.as_tensor(x), dim=0).imag,
    "fft.irfft": lambda x: nbgrad.fft.irfft(nbgrad.as_tensor(x), dim=0),
    "a convolution": lambda x: F.conv1d(nbgrad.as_tensor(x)[None], nbgrad.ones(2, 3, 2)),
    "a loss": lambda x: F.mse_loss(x, x[::-1] * 2.0),
    "smooth_l1": lambda x: F.smooth_l1_loss(x, np.zeros((3, 4)), beta=0.5),
    "classes": lambda x: F.cross_entropy(x, PLACES),
    "nll": lambda x: F.nll_loss(x, PLACES, reduction="none"),
    "a class": lambda x: F.cross_entropy(x[0], np.array(3)),
    "linear": lambda x: F.linear(x, np.arange(8.0).reshape(2, 4), np.ones(2)),
    "layer_norm": lambda x: F.layer_norm(x, (4,)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_functions(name):
    check(OTHERS[name], [cases.draw(cases.ANY, (2, 3, 4))])


PRODUCTS = [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)),
            ((5, 2, 3), (3,)), ((3,), (5, 3, 2)), ((5, 1, 2, 3), (4, 3, 2))]  # fmt: skip


@pytest.mark.parametrize("shapes", PRODUCTS, ids=str)
def test_products(shapes):
    check(nbgrad.matmul, [cases.draw(cases.ANY, (2, *shape)) for shape in shapes])


def test_places_that_differ():
    """Indices that are arguments: of rows, of elements, apart, and added to."""
    x, places = cases.draw(cases.ANY, (2, 3, 4)), np.array([[2, 0], [1, 1]])
    of = nbgrad.as_tensor  # an array knows nothing of places that are not there yet
    for pick in (
        lambda x, p: of(x)[p],
        lambda x, p: of(x)[:, p],
        lambda x, p: of(x)[p, 1:],
        lambda x, p: of(x)[p, p],
        lambda x, p: of(x)[None][0, :, p],
        lambda x, p: of(x)[None][..., p, None, PLACES[:2]],
        lambda x, p: of(x)[None, None][0, :, p[:, None], :][:, 0, 0],
        lambda x, p: nbgrad.take_along_dim(of(x), of(p)[None], 1),
        lambda x, p: F.cross_entropy(of(x)[:2], p),
        lambda x, p: hessian(lambda v: (of(v)[p] ** 3).sum())(x)[0, 0],
    ):
        check(pick, [x, places])
