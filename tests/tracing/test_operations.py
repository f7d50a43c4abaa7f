"""Every operation gives under jit what it gives eagerly: values, gradients, through the graph and back again."""

import numpy as np
import pytest
from cases import DTYPES, ELEMENTWISE, LAYOUTS, REDUCTIONS, SCANS, draw, numbered

import nbgrad
from nbgrad import Variable

pytestmark = pytest.mark.usefixtures("kernels")

#: A fused loop rounds less often than single operations do, and adds up in another order.
LIMITS = {"float32": {"rtol": 2e-5, "atol": 2e-6}, "float64": {"rtol": 1e-12, "atol": 1e-13}}

every_case = pytest.mark.parametrize("case", ELEMENTWISE, ids=numbered(ELEMENTWISE))
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def derivatives(function, arrays, cotangent):
    """Give the value, the gradients, and the gradients of a weighted sum of these, by the graph."""
    xs = [Variable(array) for array in arrays]
    wanted = [x for x in xs if x.requires_grad]
    y = function(*xs)
    if not y.requires_grad:
        return y.data, [], []
    first = nbgrad.autograd.grad(y, wanted, cotangent, create_graph=True, allow_unused=True)
    weights = np.cos(np.arange(max((x.size for x in xs), default=0)))
    sums = [(g * weights[: g.size].reshape(g.shape).astype(g.dtype)).sum() for g in first if g is not None]
    total = sum(sums[1:], sums[0]) if sums else y
    if not sums or not total.requires_grad:
        return y.data, first, []
    return y.data, first, nbgrad.autograd.grad(total, wanted, allow_unused=True)


def assert_close(found, wanted, dtype, what):
    """Hold an array against another, whose largest element tells how large errors may be where terms cancel."""
    assert found.shape == wanted.shape, what
    assert found.dtype == wanted.dtype, what
    limits = LIMITS[dtype]
    scale = max(1, np.max(abs(wanted), initial=0)) if wanted.dtype.kind == "f" else 1
    np.testing.assert_allclose(found, wanted, rtol=limits["rtol"], atol=limits["atol"] * scale, err_msg=what)


def assert_same_under_jit(function, arrays, dtype="float64", compiled=None):
    """Hold value, gradients and their gradients under jit against those without, twice, and in plain calls as well."""
    compiled = nbgrad.jit(function) if compiled is None else compiled
    with nbgrad.no_grad():
        like = function(*(Variable(array) for array in arrays)).data
    cotangent = Variable(np.random.default_rng(1).uniform(0.5, 2, like.shape).astype(like.dtype), requires_grad=False)
    expected, *orders = derivatives(function, arrays, cotangent)
    for _ in range(2):
        value, *found_orders = derivatives(compiled, arrays, cotangent)
        assert_close(value, expected, dtype, "value")
        for order, found, wanted in zip((1, 2), found_orders, orders, strict=True):
            for position, want in enumerate(wanted):
                gradient = found[position] if found else None
                what = f"gradient {order} of input {position}"
                if want is None:
                    assert gradient is None or not gradient.data.any(), what
                elif gradient is None:
                    assert not want.data.any(), what
                else:
                    assert_close(gradient.data, want.data, dtype, what)
    plain = compiled(*(Variable(array, requires_grad=False) for array in arrays))
    assert not plain.requires_grad
    assert_close(plain.data, expected, dtype, "value of constants")


@every_case
@every_dtype
@pytest.mark.parametrize("shape", [(3, 5), (), (0, 2)], ids=str)
def test_elementwise(case, dtype, shape):
    assert_same_under_jit(case.function, [draw(d, shape, dtype, i) for i, d in enumerate(case.domains)], dtype)


@every_case
@every_dtype
def test_layouts(case, dtype):
    compiled = nbgrad.jit(case.function)
    arrays = [draw(d, (3, 5), dtype, i) for i, d in enumerate(case.domains)]
    for layout in LAYOUTS.values():
        assert_same_under_jit(case.function, [layout(array) for array in arrays], dtype, compiled)


@pytest.mark.parametrize("case", [c for c in ELEMENTWISE if len(c.domains) == 2][::3], ids=repr)
def test_broadcasting(case):
    shapes = [(4, 1, 5), (3, 1)]
    assert_same_under_jit(case.function, [draw(d, s, "float64", 3) for d, s in zip(case.domains, shapes, strict=True)])


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("axes", [None, 0, 1, 2, (0, 1), (1, 2), (0, 2), (0, 1, 2)], ids=str)
@pytest.mark.parametrize("reduction", REDUCTIONS, ids=repr)
def test_reductions(reduction, axes, keepdim):
    x = np.random.default_rng(0).normal(size=(3, 4, 70))
    assert_same_under_jit(lambda x: reduction.function(x, axes, keepdim), [x])


@pytest.mark.parametrize("reduction", REDUCTIONS, ids=repr)
@every_dtype
def test_layouts_of_reductions(reduction, dtype):
    x = np.random.default_rng(0).normal(size=(3, 4, 6)).astype(dtype)

    def function(x):
        return reduction.function(x, (1, 2) if x.ndim else None)

    compiled = nbgrad.jit(function)
    for layout in LAYOUTS.values():
        assert_same_under_jit(function, [layout(x)], dtype, compiled)


@pytest.mark.parametrize("scan", SCANS, ids=repr)
def test_scans_are_steps_of_their_own(scan):
    x = np.random.default_rng(0).normal(size=(3, 4, 6))
    for axis in (1, -1):
        assert_same_under_jit(lambda x, axis=axis: 2 * scan.function(x * x, axis) + x, [x])


def test_running_sums_of_numpy_keep_their_meaning():
    x = np.random.default_rng(0).normal(size=(3, 4))
    for function in (np.cumsum, np.cumprod, lambda x: np.add.accumulate(x, 1), lambda x: np.maximum.accumulate(x)):
        assert_same_under_jit(lambda x, function=function: 2 * function(x * x), [x])
    values, indices = nbgrad.jit(lambda x: tuple(nbgrad.cummax(x, 1)))(x)
    np.testing.assert_array_equal(values, np.maximum.accumulate(x, 1))
    np.testing.assert_array_equal(np.take_along_axis(x, indices, 1), values)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
@pytest.mark.parametrize("function", [nbgrad.softmax, nbgrad.log_softmax], ids=lambda f: f.__name__)
def test_softmax(function, axis):
    assert_same_under_jit(lambda x: function(x, axis), [np.random.default_rng(0).normal(size=(4, 3, 6)) * 3])


def _layer_norm(x):
    centred = x - x.mean(1, keepdim=True)
    return centred / ((centred**2).mean(1, keepdim=True) + 1e-5).sqrt()


MATRICES = np.random.default_rng(5).normal(size=(6, 8))
OTHERS = {
    "reshape": (lambda x: (x * 2).reshape(4, 12) + 1, [MATRICES]),
    "permuted": (lambda x: nbgrad.exp(x.permute(1, 0)) * 2, [MATRICES]),
    "transposed and summed": (lambda x: (x.T * 2).sum(0), [MATRICES]),
    "transposed softmax": (lambda x: nbgrad.softmax(x.T, 0) * x.T, [MATRICES]),
    "sliced": (lambda x: x[1:5:2, ::-1] * x[:2], [MATRICES]),
    "one element": (lambda x: x[2, 3] * x[0, 0], [MATRICES]),
    "new axis": (lambda x: x[:, None] * x[None], [MATRICES]),
    "picked": (lambda x: x[np.array([0, 3, 3])] ** 2, [MATRICES]),
    "picked elements": (lambda x: x[np.array([0, 1]), np.array([5, 5])] * 3, [MATRICES]),
    "masked": (lambda x: x[MATRICES > 0] * 2, [MATRICES]),
    "broadcast": (lambda x: nbgrad.broadcast_to(x[0], (4, 8)) * 2, [MATRICES]),
    "expanded and reshaped": (lambda x: nbgrad.broadcast_to(x[:, :, None], (6, 8, 2)).reshape(6, 16) + 1, [MATRICES]),
    "cat": (lambda x: nbgrad.cat([x * 2, nbgrad.sin(x)], 1), [MATRICES]),
    "stack": (lambda x: nbgrad.stack([x, x * x]).sum(0), [MATRICES]),
    "unsqueezed": (lambda x: (x.unsqueeze(1) - x.mean(1, keepdim=True).unsqueeze(1)).squeeze(1), [MATRICES]),
    "cast": (lambda x: x.astype("float32") * 2, [MATRICES]),
    "matmul": (lambda x, y: nbgrad.tanh(x @ y) @ y.T, [MATRICES, MATRICES.T]),
    "matrix and vector": (lambda x, y: x @ y, [MATRICES, MATRICES[0]]),
    "vector and matrix": (lambda x, y: y @ x, [MATRICES, MATRICES[:, 0]]),
    "vectors": (lambda x, y: x @ y * 2, [MATRICES[0], MATRICES[1]]),
    "stacks": (lambda x, y: x @ y, [MATRICES.reshape(2, 3, 8), MATRICES.T.reshape(8, 6)]),
    "transposed product": (lambda x, y: x.T @ y + 1, [MATRICES, MATRICES]),
    "maximum along": (lambda x: x.max(1).values * 2, [MATRICES]),
    "comparison": (lambda x: nbgrad.where((x > 0) & (x < 1), x * x, -x), [MATRICES]),
    "variance": (lambda x: ((x - x.mean(0)) ** 2).mean(0), [MATRICES]),
    "layer norm": (_layer_norm, [MATRICES]),
    "sum of rows and columns": (lambda x: x.sum(0) @ x.T + x.sum(1), [MATRICES]),
    "prod": (lambda x: x.prod(1) * x.sum(), [MATRICES]),
    "linear": (lambda x, w, b: nbgrad.nn.functional.linear(x, w, b), [MATRICES, MATRICES[:3] * 2, MATRICES[0, :3]]),
    "numbers": (lambda x: 2 / (3 - x**2) + x**0.5 * 0 + 1e-3 * x, [abs(MATRICES)]),
    "var and std": (lambda x: nbgrad.var(x, 0) * nbgrad.std(x, 0, correction=0), [MATRICES]),
    "any and all": (lambda x: nbgrad.where(nbgrad.any(x > 1, 1) ^ nbgrad.all(x < 2, 1), x[:, 0], -x[:, 1]), [MATRICES]),
    "slices": (lambda x: nbgrad.diff(x.flip(1), axis=1)[:, :4] * nbgrad.chunk(x, 2, 1)[1], [MATRICES]),
    "outer": (lambda x, y: x.outer(y).diff(axis=0), [MATRICES[0], MATRICES[1]]),
    "numpy": (lambda x: np.concatenate([np.sin(x), np.exp(x)]), [MATRICES]),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_other_operations(name):
    function, arrays = OTHERS[name]
    limits = "float32" if name == "cast" else "float64"
    assert_same_under_jit(function, [np.array(array) for array in arrays], limits)


#: Functions of NumPy's that were operations nowhere once, with numbers as results.
NUMPYS = {
    "var": np.var,
    "std": lambda x: np.std(x, 0, ddof=1).sum(),
    "ptp": lambda x: np.ptp(x, 1).sum(),
    "diff": lambda x: (np.diff(x, 2) ** 2).sum(),
    "flip": lambda x: (np.flip(x, 0) * np.fliplr(x)).sum(),
    "split": lambda x: (np.split(x, 2, 1)[0] * np.hsplit(x, 2)[1]).sum(),
    "clip": lambda x: (np.clip(x, -0.5, 0.5) * x).sum(),
    "outer": lambda x: (np.outer(x[0], x[1]) ** 2).sum(),
    "tril": lambda x: (np.tril(x) * np.triu(x, 1)).sum() + np.tril(x * x).sum(),
    "average": lambda x: np.average(x, 0, np.exp(x)).sum(),
    "tensordot": lambda x: np.tensordot(x, x * x, ([0, 1], [0, 1])) ** 2,
}


@pytest.mark.parametrize("name", NUMPYS)
def test_numpys_functions_are_compiled_and_differentiated(name):
    function = NUMPYS[name]
    for transformed in (lambda x: x, nbgrad.grad, lambda f: nbgrad.grad(lambda x: (nbgrad.grad(f)(x) ** 2).sum())):
        wanted = transformed(function)(MATRICES)
        np.testing.assert_allclose(nbgrad.jit(transformed(function))(MATRICES), wanted, rtol=1e-12, atol=1e-12)


def test_copies_and_choices_of_traced_arrays():
    x, c = MATRICES.astype("float32"), MATRICES > 0
    np.testing.assert_array_equal(nbgrad.jit(lambda x: nbgrad.clone(x) * 1)(x), x)
    found = nbgrad.jit(lambda c, x, s: nbgrad.where(c, x, s))(c, x, 0.5)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, np.where(c, x, np.float32(0.5)))


def test_cross_entropy_takes_traced_classes():
    functional = nbgrad.nn.functional
    logits = np.random.default_rng(0).normal(size=(7, 5))
    classes = np.array([0, 4, 2, 2, 1, 0, 3])
    compiled = nbgrad.jit(nbgrad.value_and_grad(functional.cross_entropy))
    for given in (classes, classes[::-1].copy()):
        value, gradient = compiled(logits, given)
        wanted, slope = nbgrad.value_and_grad(functional.cross_entropy)(logits, given)
        np.testing.assert_allclose(value, wanted, rtol=1e-13)
        np.testing.assert_allclose(gradient, slope, rtol=1e-12, atol=1e-15)
    with pytest.raises(IndexError, match="classes from 0 to 5"):
        compiled(logits, np.array([0, 4, 2, 2, 1, 0, 5]))
    np.testing.assert_allclose(compiled(logits, classes)[0], nbgrad.nn.functional.cross_entropy(logits, classes))


MANY = {
    "elementwise": lambda x: x * x,
    "broadcast": lambda x: x + np.ones(3),
    "transposed": lambda x: x.T * 2,
    "moved": lambda x: np.moveaxis(x, 0, -2) * x,
    "turned": lambda x: np.flip(x, (0, -1)) * 2,
    "a fold in the middle": lambda x: (x * x).sum(3) * 2,
    "softmax": lambda x: nbgrad.softmax(x, 0),
    "rows picked": lambda x: x[[1, 0, 1]] * 2,
    "a product": lambda x: x @ np.ones((3, 2)),
}


@pytest.mark.parametrize("name", MANY)
@pytest.mark.parametrize("ndim", [33, 63])
def test_as_many_dimensions_as_arrays_have(name, ndim):
    x = np.arange(6.0).reshape(2, *(1,) * (ndim - 2), 3)
    for function in (MANY[name], nbgrad.grad(lambda x: (MANY[name](x) ** 2).sum())):
        np.testing.assert_allclose(nbgrad.jit(function)(x), function(x), rtol=1e-14)


@pytest.mark.parametrize("operation", [np.add, np.multiply, np.maximum, np.minimum, np.absolute])
def test_truth_values_stay_truth_values(operation):
    x, y = np.array([True, False, True, False]), np.array([True, True, False, False])
    ours = getattr(nbgrad, {"absolute": "abs", "multiply": "mul"}.get(operation.__name__, operation.__name__))
    for operands in [pair[: operation.nin] for pair in ((x, y), (x[::-1], y[:1].reshape(())))]:
        for function in (operation, ours):
            found = nbgrad.jit(function)(*operands)
            assert found.dtype == np.bool_
            np.testing.assert_array_equal(found.view(np.uint8), operation(*operands).view(np.uint8))
    np.testing.assert_array_equal(nbgrad.jit(lambda c, x: nbgrad.where(c, x, c) * True)(x, y), np.where(x, y, x))


@pytest.mark.parametrize("case", REDUCTIONS, ids=lambda case: case.name)
def test_reductions_refuse_other_dtypes(case):
    for function in (lambda x: x, nbgrad.jit):
        with pytest.raises(TypeError, match="no kernel for dtype"):
            function(lambda x: case.function(x, (0,), False))(np.ones(3, np.longdouble))
