"""Every operation on the device: value, gradients and second derivatives are the CPU's."""

import subprocess
import sys

import both
import cases
import numpy as np
import pytest
from cases import DTYPES, ELEMENTWISE, NORMS, REDUCTIONS, SCANS, STATISTICS, WITHOUT_NAN, draw, numbered
from helpers import usually

import nbgrad
from nbgrad import Variable
from nbgrad.registry import LATER

FOLDS = [*REDUCTIONS, *STATISTICS, *WITHOUT_NAN, *NORMS]

every_dtype = pytest.mark.parametrize("dtype", usually(DTYPES, "float32"))


@pytest.mark.parametrize("elementwise", ELEMENTWISE, ids=numbered(ELEMENTWISE))
@every_dtype
def test_elementwise(elementwise, dtype):
    arrays = [draw(domain, (3, 5), dtype, seed) for seed, domain in enumerate(elementwise.domains)]
    for layout in both.LAYOUTS:
        both.assert_same(elementwise.function, arrays, layout, 1 if elementwise.differentiable else 0)


@pytest.mark.slow
@pytest.mark.parametrize("elementwise", [case for case in ELEMENTWISE if case.differentiable], ids=repr)
def test_second_derivatives(elementwise):
    arrays = [draw(domain, (3, 5), "float64", seed) for seed, domain in enumerate(elementwise.domains)]
    both.assert_same(elementwise.function, arrays, order=2)


@pytest.mark.parametrize("reduction", FOLDS, ids=lambda reduction: reduction.name)
@every_dtype
def test_reductions(reduction, dtype):
    array = draw(cases.NONZERO, (2, 3, 4), dtype)
    for axes, keepdim in ((None, False), (0, True), (1, False), ((0, 2), False)):
        both.assert_same(lambda x, a=axes, k=keepdim: reduction.function(x, a, k), [array], order=2)
    for layout in ("strided", "broadcast", "0-d"):
        both.assert_same(lambda x: reduction.function(x, -1), [array], layout)
    if reduction.name not in ("amax", "amin", "norm_inf", "norm_-inf"):
        both.assert_same(lambda x: reduction.function(x, 0), [array], "empty")


@pytest.mark.parametrize("scan", SCANS, ids=lambda scan: scan.name)
def test_scans(scan):
    array = draw(cases.NONZERO, (2, 3, 4))
    for dim in (0, -1):
        both.assert_same(lambda x, dim=dim: scan.function(x, dim), [array], order=2)
    for layout in ("strided", "0-d", "empty"):
        both.assert_same(lambda x: scan.function(x, -1), [array], layout)


SHAPE = (4, 3, 5)
INDICES = {
    "int": 1,
    "slices": (slice(None, None, 2), slice(2, None, -1)),
    "ellipsis and None": (..., None, -1),
    "list": [2, 0, 2],
    "negative positions": np.array([-1, 0, -4, -1]),
    "table of positions": np.array([[0, 1], [1, 3]], np.int8),
    "no positions": np.array([], np.int64),
    "positions on two axes": (np.array([0, 3, 0]), np.array([2, 2, 2])),
    "positions and slice": (slice(1, 3), np.array([2, 0, 2])),
    "mask": np.arange(60).reshape(SHAPE) % 3 == 0,
    "mask of rows": np.array([True, False, True, True]),
    "mask and slice": (np.array([True, False, True, True]), slice(1, None)),
    "True": True,
}


@pytest.mark.parametrize("name", INDICES)
@every_dtype
def test_indices(name, dtype):
    array = draw(cases.ANY, SHAPE, dtype)
    index = INDICES[name]
    both.assert_same(lambda x: x[index] ** 3, [array], order=2)
    both.assert_same(lambda x: x[index], [array], "strided")
    # an index that is on the device already
    moved = tuple(
        both.on_device(part) if isinstance(part, np.ndarray) else part
        for part in (index if isinstance(index, tuple) else (index,))
    )
    x = Variable(array)
    expected = x[index]
    y = x.cuda()[moved]
    np.testing.assert_array_equal(y.tolist(), expected.tolist())
    y.backward(Variable(both.on_device(np.asarray(expected.data))))
    gradient = x.grad.data
    x.grad = None
    expected.backward(expected.detach())
    np.testing.assert_array_equal(gradient, x.grad.data)


def test_indices_of_whole_numbers_and_empty_arrays():
    x = nbgrad.arange(6, device="cuda").reshape(2, 3)
    assert x[nbgrad.tensor([1, 0]).cuda()].tolist() == [[3, 4, 5], [0, 1, 2]]
    assert x[np.array([1, 0]), np.array([2, 2])].tolist() == [5, 2]
    assert x[x > 3].tolist() == [4, 5]
    for shape, index in (((), True), ((), np.array(False)), ((3, 0), [1, 1]), ((0, 3), []), ((0,), np.zeros(0, bool))):
        both.assert_same(lambda x, i=index: x[i], [np.zeros(shape)])


def test_positions_outside_are_refused():
    x = nbgrad.ones(4, 3, device="cuda")
    with pytest.raises(IndexError, match=r"indexing shape \(4, 3\): positions from 0 to 4 in 4 rows"):
        x[nbgrad.tensor([0, 4]).cuda()]
    with pytest.raises(IndexError, match="positions from -5 to 0 in 4 rows"):
        x[[0, -5]]
    with pytest.raises(IndexError, match="out of bounds"):
        x[[0], [3]]
    with pytest.raises(IndexError, match="out of bounds"):
        x[4]
    with pytest.raises(IndexError, match=r"indexing shape \(4, 3\): positions from 0 to 3 in 3 rows"):
        nbgrad.take_along_dim(x, nbgrad.tensor([[0], [3], [0], [0]]).cuda(), 1)
    with pytest.raises(IndexError, match="nll_loss: classes from 0 to 3, log-probabilities for 3"):
        nbgrad.nn.functional.nll_loss(x, nbgrad.tensor([0, 3, 0, 0]).cuda())
    with pytest.raises(TypeError, match="indexing: operands on cpu and cuda:0"):
        nbgrad.ones(4)[nbgrad.tensor([0]).cuda()]


F = nbgrad.nn.functional
#: Everything else: a function, and the shapes of its inputs.
OTHERS = {
    "reshape": (lambda x: x.reshape(-1, 2) ** 2, [(2, 3)]),
    "flatten": (lambda x: x.flatten() ** 2, [(2, 3)]),
    "permute": (lambda x: x.permute(1, 2, 0) ** 2, [(2, 3, 4)]),
    "transpose": (lambda x: x.T * x.t(), [(2, 3)]),
    "squeeze": (lambda x: x.squeeze() * x.unsqueeze(0), [(1, 3)]),
    "broadcast_to": (lambda x: x.broadcast_to((2, 3, 4)) ** 2, [(3, 1)]),
    "expand": (lambda x: x.expand(2, 3) ** 2, [(2, 1)]),
    "sum_to": (lambda x: nbgrad.sum_to(x, (3, 1)) ** 2, [(2, 3, 4)]),
    "astype": (lambda x: x.astype(np.float32) ** 2, [(3,)]),
    "clone": (lambda x: x.clone() ** 2, [(3,)]),
    "cat": (lambda x, y: nbgrad.cat([x, y * y, x], 1), [(2, 3), (2, 1)]),
    "stack": (lambda x, y: nbgrad.stack([x, y * y], -1), [(2, 3), (2, 3)]),
    "matmul": (lambda x, w: x @ w, [(2, 3), (3, 4)]),
    "matmul of stacks": (lambda x, w: x @ w, [(2, 2, 3), (2, 3, 4)]),
    "matmul of a stack and a matrix": (lambda x, w: x @ w, [(2, 2, 3), (3, 4)]),
    "matmul of vectors": (lambda x, w: x @ w, [(3,), (3,)]),
    "matmul of a matrix and a vector": (lambda x, w: x @ w, [(2, 3), (3,)]),
    "matmul of a vector and a stack": (lambda x, w: x @ w, [(3,), (2, 3, 4)]),
    "matmul of a stack and a vector": (lambda x, w: x @ w, [(2, 4, 3), (3,)]),
    "softmax": (lambda x: nbgrad.softmax(x, 1), [(2, 3, 4)]),
    "softmax of a scalar": (lambda x: nbgrad.softmax(x) * x, [()]),
    "log_softmax": (lambda x: nbgrad.log_softmax(x), [(2, 3)]),
    "log_softmax first": (lambda x: nbgrad.log_softmax(x, 0), [(3, 2)]),
    "max": (lambda x: nbgrad.max(x, 1).values ** 2, [(3, 4)]),
    "min": (lambda x: nbgrad.min(x, 0, True).values ** 2, [(3, 4)]),
    "take_along_dim": (
        lambda x: nbgrad.take_along_dim(x, np.array([[1, 1], [0, -1], [2, 2]]), 1) ** 2,
        [(3, 4)],
    ),
    "whole power": (lambda x: x**-3, [(4,)]),
    "polygamma": (lambda x: nbgrad.polygamma(1, x * x + 1), [(2,)]),
    "linear": (F.linear, [(2, 3), (4, 3), (4,)]),
    "mse_loss": (F.mse_loss, [(2, 3), (2, 3)]),
    "cross_entropy": (lambda x: F.cross_entropy(x, nbgrad.tensor([0, 2, 1], device=x.device)), [(3, 4)]),
    "cross_entropy of probabilities": (lambda x, p: F.cross_entropy(x, p), [(3, 4), (3, 4)]),
    "split": (lambda x: nbgrad.cat([y**k for k, y in enumerate(x.split([2, 1], 1), 2)], 1), [(2, 3)]),
    "flip": (lambda x: x.flip(0, 1) * x, [(2, 3)]),
    "diff": (lambda x: x.diff(2, 0, append=x[:1]) ** 2, [(4, 3)]),
    "outer": (lambda x, y: nbgrad.outer(x, y * y), [(3,), (2,)]),
    "NumPy's functions": (
        lambda x: np.var(np.concatenate([np.flip(x), np.tril(x), np.roll(x, 1), np.diag(x[0])])) + np.trace(x @ x),
        [(3, 3)],
    ),
    "binary_cross_entropy": (F.binary_cross_entropy_with_logits, [(2, 3), (2, 3)]),
    "multi_margin_loss": (lambda x: F.multi_margin_loss(x, nbgrad.tensor([0, 2], device=x.device), 2), [(2, 3)]),
    "grid_sample": (lambda x, g: F.grid_sample(x, nbgrad.tanh(g)), [(1, 2, 3, 3), (1, 2, 2, 2)]),
    "ctc_loss": (lambda x: F.ctc_loss(x, nbgrad.tensor([[1, 2]], device=x.device), [3], [2]), [(3, 1, 3)]),
}


@pytest.mark.parametrize("name", OTHERS)
@every_dtype
def test_others(name, dtype):
    function, shapes = OTHERS[name]
    arrays = [draw(cases.NONZERO, shape, dtype, seed) for seed, shape in enumerate(shapes)]
    both.assert_same(function, arrays, order=2)
    both.assert_same(function, arrays, "strided")


def test_indices_of_extrema():
    for array in (draw(cases.ANY, (3, 4)), np.zeros((3, 4)), np.array([[1.0, np.nan, 2.0]])):
        x, y = Variable(array), Variable(array).cuda()
        for function in (nbgrad.max, nbgrad.min):
            assert function(y, 1).indices.tolist() == function(x, 1).indices.tolist()
            assert function(y, 1).indices.is_cuda


@pytest.mark.parametrize("dtype", ["bool", "int8", "int32", "uint8", "int64"])
def test_other_dtypes(dtype):
    array = np.array([[0, 1, 2], [3, 1, 1]]).astype(dtype)
    functions = [
        lambda x: x + x, lambda x: x * 2, lambda x: x == x.T.T, lambda x: x < 2, lambda x: nbgrad.sum(x),
        lambda x: nbgrad.sum(x, 0), lambda x: nbgrad.mean(x, 1), lambda x: nbgrad.amax(x, 1), lambda x: x / 2,
        lambda x: x.astype(np.float32), lambda x: nbgrad.where(x > 1, x, 0), lambda x: nbgrad.softmax(x, 1),
        lambda x: x.clone(), lambda x: nbgrad.logsumexp(x), lambda x: x**2, lambda x: x.exp(), lambda x: x.any(0),
        lambda x: x.all(1), lambda x: x.count_nonzero(), lambda x: x.diff(), lambda x: x.var(0),
    ]  # fmt: skip
    for function in functions:
        expected, actual = function(Variable(array)), function(Variable(array).cuda())
        assert actual.is_cuda and actual.dtype == expected.dtype
        np.testing.assert_allclose(actual.cpu().data, expected.data, rtol=1e-6)


# ---- nothing is forgotten -------------------------------------------------------------------------------------------


def subclasses(kind):
    """List all the classes derived from one."""
    return {found for child in kind.__subclasses__() for found in (child, *subclasses(child))}


def written(x):
    """Write through a Variable and through a view of it."""
    y = x * 2
    part, rest = y[1:], y[:2]
    y[0] = x[1]
    part *= 3
    return y * y + rest.sum()


def test_every_function_of_the_library_is_tested_here(monkeypatch):
    """Run what the tests above run, on the device, and see which Functions and reductions came by."""
    from nbgrad.function import Operation
    from nbgrad.kernels import dispatch, reductions
    from nbgrad.ops import reduction as ops
    from nbgrad.ops.indexing import AddRows, GetRows, _Indexed
    from nbgrad.ops.joining import AddAlong, TakeAlong
    from nbgrad.ops.scan import CumExtremum, Scanning
    from nbgrad.ops.shape import AsType
    from nbgrad.ops.transfer import Transfer
    from nbgrad.ops.writing import Put, Seen

    seen = set()
    reduced = set()

    later = {f"nbgrad.ops.{file}" for file in LATER.values()}  # which NumPy's functions compute, or the others
    listing = "import sys, nbgrad; print(*(name for name in sys.modules if name.startswith('nbgrad.ops.')))"
    process = subprocess.run([sys.executable, "-c", listing], capture_output=True, text=True, check=True)
    first = set(process.stdout.split()) - later  # whatever else the tests before this one have loaded

    def named():
        return {kind for kind in subclasses(Operation) if kind.__module__ in first}

    for kind in named():
        if "forward" in vars(kind):

            def forward(self, *xs, kind=kind, original=kind.forward):
                seen.add(type(self))
                return original(self, *xs)

            monkeypatch.setattr(kind, "forward", forward)
    for name in ("reduce_array", "spread_array"):
        original = getattr(dispatch, name)

        def noted(reduction, *rest, original=original):
            reduced.add(reduction)
            return original(reduction, *rest)

        monkeypatch.setattr(ops, name, noted)
    names = "permute", "broadcast_to", "sum_to", "cat", "matmul", "softmax", "log_softmax", "reshape"
    for name in names:
        function, shapes = OTHERS[name]
        both.assert_same(function, [draw(cases.NONZERO, shape) for shape in shapes], order=2)
    for reduction in FOLDS:
        both.assert_same(reduction.function, [draw(cases.NONZERO, (3,))], order=2)
    for function in (nbgrad.count_nonzero, lambda x: nbgrad.linalg.vector_norm(x, 0)):
        both.assert_same(function, [draw(cases.NONZERO, (3,))], order=0)
    for scan in SCANS:
        both.assert_same(lambda x, scan=scan: scan.function(x, 0), [draw(cases.NONZERO, (3,))], order=2)
    both.assert_same(lambda x: x[[1, 1]] ** 2, [np.ones(3)], order=2)
    both.assert_same(written, [np.arange(1.0, 4.0)], order=2)
    both.assert_same(nbgrad.floor, [np.linspace(-2.0, 2.0, 5)], order=1)
    both.assert_same(lambda x: nbgrad.nextafter(x, x + 1), [np.ones(3)], order=1)
    nbgrad.tensor([1.5]).cuda().astype(np.float32)
    abstract = {ops.Reduce, ops.Extremum, ops.Spread, Scanning, CumExtremum, _Indexed}
    abstract |= {GetRows, AddRows, TakeAlong, AddAlong}  # for small arrays of NumPy's
    abstract |= {Put, Seen}  # whose values are where they were written
    assert named() - abstract == seen - abstract | {AsType, Transfer}
    assert {name.partition("_stage")[0] for name in reduced} == set(reductions.TABLE)


def test_every_elementwise_function_is_tested_here():
    from nbgrad.ops.elementwise import TABLE

    assert {case.name for case in ELEMENTWISE} == set(TABLE)


@pytest.mark.parametrize("case", cases.SELDOM[::4], ids=repr)
def test_seldom_elementwise_functions(case):
    arrays = [draw(domain, (3, 5), "float32", seed) for seed, domain in enumerate(case.domains)]
    both.assert_same(case.function, arrays)


def test_einsum():
    x, y = draw(cases.ANY, (2, 3)), draw(cases.ANY, (3, 4))
    both.assert_same(lambda x, y: nbgrad.einsum("ij,jk->ki", x, y), [x, y])
    both.assert_same(lambda x: nbgrad.einsum("ij,ij->j", x, x), [x], order=2)


def test_what_lapack_and_scipy_compute_stays_on_the_cpu():
    x = nbgrad.ones(2, 2, device="cuda", requires_grad=True)
    for call, name in (
        (nbgrad.linalg.inv, "inv: LAPACK"),
        (nbgrad.linalg.eigh, "eigh: LAPACK"),
        (np.linalg.slogdet, "slogdet: LAPACK"),
        (lambda x: cases.applied("j0", x), "j0: SciPy"),
        (lambda x: np.convolve(x[0], x[1]), "convolve: NumPy"),
    ):
        with pytest.raises(TypeError, match=f"{name} computes it, on the CPU: move"):
            call(x)


#: Functions of NumPy's whose rules ask for no array of the CPU's.
NUMPYS = {
    "sort": lambda x: np.sort(x, 0),
    "median": lambda x: np.median(x, 1),
    "norm": np.linalg.norm,
    "nanmean": lambda x: np.nanmean(x, 0),
    "nanmax": lambda x: np.nanmax(x, 1),
    "var where": lambda x: np.std(x, 1, ddof=1),
    "gradient": lambda x: np.gradient(x, axis=1),
    "cov": np.cov,
    "cross": lambda x: np.cross(x[:, :3], x[:, 1:]),
    "roll": lambda x: np.roll(x, 1, 1),
    "nan_to_num": np.nan_to_num,
}


@pytest.mark.parametrize("name", NUMPYS)
def test_numpys_functions(name):
    both.assert_same(NUMPYS[name], [draw(cases.NONZERO, (3, 4))])
