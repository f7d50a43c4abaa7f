"""Plain arrays in traced functions: what NumPy gives, in value, dtype and shape, or an error that says what to do."""

import copy
import math
import operator

import numpy as np
import pytest
from helpers import usually

import nbgrad
from nbgrad import Variable

pytestmark = pytest.mark.usefixtures("kernels")

_random = np.random.default_rng(0)
ARRAYS = {
    "float64": _random.normal(size=(3, 4)),
    "float32": _random.normal(size=(3, 4)).astype("float32"),
    "int64": _random.integers(-5, 6, (3, 4)),
    "int8": _random.integers(-100, 100, (3, 4)).astype("int8"),
    "uint8": _random.integers(0, 250, (3, 4)).astype("uint8"),
    "bool": _random.integers(0, 2, (3, 4)).astype("bool"),
}
LIMITS = {"e": 1e-2, "f": 3e-5, "F": 1e-4}
WEIGHTS = np.array([0.5, 1.0, 2.0, 4.0])
ROWS = np.array([True, False, True])
EYE = 10 * np.eye(3)

#: Results as users would write them; `x` is the traced array.
EXPRESSIONS = """
x ** 2
x ** 3
x ** 0
x ** 0.5
x ** x.astype(float)
2 ** abs(x)
x ** np.float64(2)
-x.astype(int)
~(x > 0)
x // 3
x % 3
divmod(x, 3)
x.astype(int) & 6
x.astype(int) << 1
x < 300
x + True
x / 2
1.5 * x
x + np.float32(1)
x @ x.T
x @ WEIGHTS
WEIGHTS @ x.T
np.sum(x)
np.sum(x, 0)
np.sum(x, axis=())
np.sum(x, axis=-1, keepdims=True)
np.sum(x, dtype=np.float32)
np.sum(x, initial=3)
np.sum(x, where=x > 0)
x.sum(axis=0, keepdims=True)
x.sum(dtype="float32")
np.prod(x, 1)
np.mean(x)
np.mean(x, axis=(0, 1), keepdims=True)
x.mean(axis=1, keepdims=True)
np.max(x, axis=1, keepdims=True)
np.max(x, initial=3)
np.amin(x, axis=(0, 1))
x.min()
x.sum(np.int64(0))
np.max(x, axis=np.int64(1))
np.std(x)
np.std(x, axis=1, ddof=1, keepdims=True)
np.std(x, axis=0, correction=1)
x.std(0)
np.var(x, axis=-1, ddof=1)
x.var(axis=(0, 1), keepdims=True)
np.any(x)
x.any(axis=0)
np.all(x, axis=1, keepdims=True)
x.all()
np.count_nonzero(x, axis=1)
np.argmax(x)
x.argmin(1)
np.cumsum(x, axis=1)
x.cumsum()
np.cumprod(x, 0)
np.clip(x, 0, 1)
np.clip(x, None, 1)
np.clip(x, -1.5, x[0])
np.clip(x, -300, 300)
np.clip(x, min=0, max=1)
x.clip(max=1)
np.dot(x, x.T)
np.dot(x, 2)
np.dot(np.ones((2, 3, 4)), x.T)
np.dot(x.reshape(1, 3, 4), np.ones((2, 4, 5)))
x.dot(x.T)
np.vdot(x, x)
np.inner(x, x)
np.outer(x, x)
np.kron(x, np.eye(2))
np.tensordot(x, x, axes=2)
np.einsum("ij,kj->ik", x, x)
np.trace(x)
np.linalg.norm(x)
np.linalg.norm(x, axis=1)
np.linalg.det(x[:, :3])
np.linalg.inv(x[:, :3] + EYE)
np.linalg.solve(x[:, :3] + EYE, x)
np.linalg.svd(x, compute_uv=False)
np.linalg.eigh(x[:, :3] + x[:, :3].T + EYE).eigenvalues
np.linalg.slogdet(x[:, :3] + EYE)
np.linalg.cholesky(x[:, :3] @ x[:, :3].T + (1000 * EYE).astype(x.dtype))
x.flatten()
x.ravel("F")
np.ravel(x, "F")
np.reshape(x, (2, -1))
x.reshape(4, 3, order="F")
np.tile(x, (2, 1, 2))
np.repeat(x, 3, axis=1)
x.repeat(2, 0)
np.roll(x, -1, axis=1)
np.flip(x)
np.flip(x, 0)
np.fliplr(x)
np.rot90(x)
np.sort(x, 0)
x.argsort(0, kind="stable")
np.median(x, axis=0)
np.quantile(x, [0.2, 0.7], axis=1)
np.average(x, axis=0, weights=[1, 2, 3])
np.nanmean(x)
np.diff(x)
np.diff(x, n=2, axis=0)
np.diff(x, prepend=0)
np.gradient(x)
np.linspace(0, x[0, 0], 5)
np.zeros_like(x) + x
np.ones_like(x, dtype="float32")
np.full_like(x, 3)
np.full_like(x, x[0, 0])
np.empty_like(x) * 0 + x
np.expand_dims(x, (0, -1))
np.squeeze(x[:1], axis=0)
x[None].squeeze()
np.swapaxes(x, 0, 1)
np.moveaxis(x[None], [0, 1], [-1, 0])
np.transpose(x[None], (-1, 0, 1))
x.mT
np.atleast_2d(x[0])
np.stack([x, x * 2], axis=-1)
np.concatenate([x, WEIGHTS[None]])
np.vstack([x, x[0]])
np.append(x, 1)
np.delete(x, 1, axis=0)
np.split(x, 2, axis=1)
np.split(x, [2, 1])
np.array_split(x, 3, axis=-1)
np.hsplit(x, 2)
np.where(x > 0, x, 0)
np.where(x > 0, 1.0, x)
np.where(x, 1, 2)
np.where(ROWS[:, None], x, np.nan)
np.select([x > 1, x > 0], [x, -x.astype(int)], default=5)
np.round(x, 1)
x.round()
np.floor(x)
np.isnan(x)
np.isfinite(x / x)
np.interp(x, [0, 1, 2], [3, 4, 5])
np.polyval([1, 2, 3], x)
np.convolve(x[0].astype(int), [1, 2, 3])
np.cov(x)
np.histogram(x, bins=5, range=(-3, 3))
np.digitize(x, [0, 1, 2])
np.searchsorted([0, 1, 2], x)
np.bincount(abs(x.astype(int)).ravel() % 7, minlength=7)
np.isclose(x, x + 1e-12)
np.allclose(x, x)
np.array_equal(x, x)
np.fft.fft(x)
abs(np.fft.rfft(x)).sum()
x.real + x.imag
x.conj()
np.diag(x[0])
np.tril(x)
np.pad(x, 1)
np.take(x, [0, 1], axis=1)
np.take_along_axis(x, np.argsort(x, 1, kind="stable"), 1)
x.compress([True, False], axis=0)
np.broadcast_to(x, (2, 3, 4))
np.broadcast_arrays(x, x[0])
np.meshgrid(x[0], x[1])
np.isin(x, [1, 2])
np.modf(x)
np.hypot(x, 1)
np.sign(x.astype(int))
np.sqrt(abs(x.astype(int)))
np.sin(x)
np.add.reduce(x, axis=1)
np.maximum.accumulate(x)
np.add.outer(x.astype(int), x[0])
np.add(x, 2, dtype="float32")
np.result_type(x, np.float32).itemsize
np.iscomplexobj(x)
x.astype("uint8")
x.astype("int16")
x.astype("int32")
x.astype("uint64")
x.astype(bool)
x.astype(complex)
x.astype("float16") + 1
x.view("uint8")
len(x) + x.ndim + x.size + x.nbytes
[row * 2 for row in x]
sum(x.astype(int))
x[..., 0]
x[[0, 2], [1, 1]]
x[ROWS]
x[np.argmax(x) % 3]
x[np.argsort(x[:, 0], kind="stable")]
copy.deepcopy(x) * 2
operator.matmul(x, x.T)
""".strip().splitlines()


def evaluated(text):
    names = {"np": np, "copy": copy, "operator": operator, "WEIGHTS": WEIGHTS, "ROWS": ROWS, "EYE": EYE}
    return eval(f"lambda x: {text}", names)


def assert_same(found, wanted):
    """Hold values, dtypes and shapes against each other; what jit gives for a NumPy or Python number is an array."""
    if isinstance(wanted, list | tuple):
        assert type(found) is type(wanted)
        assert len(found) == len(wanted)
        for one, other in zip(found, wanted, strict=True):
            assert_same(one, other)
        return
    found, wanted = np.asarray(found), np.asarray(wanted)
    assert found.shape == wanted.shape
    assert found.dtype == wanted.dtype
    limit = LIMITS.get(wanted.dtype.char, 1e-10) if wanted.dtype.kind in "fc" else 0
    np.testing.assert_allclose(found, wanted, rtol=limit, atol=limit)


@pytest.mark.parametrize("text", EXPRESSIONS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_numpy_gives(text):
    """Also where NumPy refuses: then both do."""
    function = evaluated(text)
    for x in ARRAYS.values():
        try:
            wanted = function(x)
        except (TypeError, ValueError) as error:
            with pytest.raises(TypeError if isinstance(error, TypeError) else ValueError):
                nbgrad.jit(function)(x)
            continue
        given = x.copy()
        assert_same(nbgrad.jit(function)(given), wanted)
        np.testing.assert_array_equal(given, x)


def test_what_is_not_finite():
    x = np.array([np.nan, np.inf, -np.inf, -0.0, 1.0])
    for text in ("np.isnan(x)", "np.isinf(x)", "np.isfinite(x)", "np.max(x)", "np.clip(x, -1, 1)", "x.any()"):
        assert_same(nbgrad.jit(evaluated(text))(x), evaluated(text)(x))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_arrays_without_elements():
    x = np.zeros((0, 4))
    for text in ("x.sum(0)", "x.mean(0)", "x.any()", "x.all(1)", "x.std(0)", "x.max(1)", "np.flip(x)", "np.cumsum(x)"):
        assert_same(nbgrad.jit(evaluated(text))(x), evaluated(text)(x))
    with pytest.raises(ValueError, match="no elements to take it of"):
        nbgrad.jit(lambda x: x.max(0))(x)


@pytest.mark.parametrize(
    "function",
    [
        lambda x, n, s: x * s + n,
        lambda x, n, s: x * (n / 2) + x * (s * 2),
        lambda x, n, s: x * np.sqrt(s),
        lambda x, n, s: x**n,
        lambda x, n, s: np.where(x > 0, x, s),
        lambda x, n, s: np.clip(x, -s, n),
        lambda x, n, s: np.roll(x, n),
        lambda x, n, s: np.round(x, n),
        lambda x, n, s: np.append(x, s),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "int8", "int64"])
def test_python_numbers_take_the_dtype_they_meet(function, dtype):
    x = ARRAYS[dtype]
    assert_same(nbgrad.jit(function)(x, 2, 1.5), function(x, 2, 1.5))


def test_numbers_out_of_range():
    x = ARRAYS["uint8"]
    for function in (lambda x: x + 300, lambda x: np.maximum(x, -1), lambda x: x**-1):
        with pytest.raises((OverflowError, ValueError)) as eager:
            function(x)
        with pytest.raises(eager.type):
            nbgrad.jit(function)(x)
    assert_same(nbgrad.jit(lambda x: x > -1)(x), x > -1)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x[1:],
        lambda x: x.reshape(2, -1) if x.ndim == 1 else x.T.reshape(-1)[: x.size - 2],
        lambda x: np.expand_dims(x, 0).squeeze(0)[:-1],
    ],
)
@pytest.mark.parametrize("last", usually(["formula", "view", "call"], "formula"))
def test_thousands_of_views(function, last):
    def many(x):
        for _ in range(3000):
            x = function(x)
        return {"formula": lambda x: x * 2, "view": lambda x: x, "call": np.cumsum}[last](x)

    x = np.arange(3010.0)
    assert_same(nbgrad.jit(many)(x), many(x))


def test_the_way_back_through_thousands_of_views():
    def many(x):
        for _ in range(3000):
            x = x[1:]
        return (x * x).sum()

    x = np.arange(3010.0)
    assert_same(nbgrad.jit(nbgrad.grad(many))(x), np.where(x < 3000, 0, 2 * x))


def test_text_is_written_while_tracing(capsys):
    def function(x):
        print(x, f"{x:.3f}")
        return x

    nbgrad.jit(function)(ARRAYS["int8"])
    text = "<traced array of shape (3, 4) and dtype int8>"
    assert capsys.readouterr().out == f"{text} {text}\n"


# ---- what cannot be had ---------------------------------------------------------------------------------------------

BUFFER = np.zeros((3, 4))


def _writes(x):
    x[0] = 1


def _writes_where(x):
    x[x > 0] = 1


def _adds(x):
    x += 1


def _takes_bits(x):
    y = x.astype(int)
    y |= 1


def _adds_to_an_array_from_outside(x):
    buffer = BUFFER
    buffer += x


def _writes_to_an_array_from_outside(x):
    BUFFER[0] = x[0]


def _deletes(x):
    del x[0]


def _reshapes(x):
    x.shape = (4, 3)


def _repeated(x):
    while x.sum() > 0:
        x = x - 1


REFUSALS = {
    "if": (lambda x: 1 if x.sum() > 0 else 2, TypeError, "a branch .*nbgrad.where"),
    "while": (_repeated, TypeError, "a branch .*nbgrad.where"),
    "and": (lambda x: (x > 0) and (x < 1), TypeError, "a branch .*nbgrad.where"),
    "builtin max": (lambda x: max(x[0]), TypeError, "a branch .*max.*nbgrad.where"),
    "in": (lambda x: 1.0 in x, TypeError, r"`in`.*\(x == value\).any\(\)"),
    "float": (lambda x: float(x[0, 0]), TypeError, r"float\(\).*static_argnums"),
    "int": (lambda x: int(x[0, 0]), TypeError, r"int\(\).*static_argnums"),
    "complex": (lambda x: complex(x[0, 0]), TypeError, r"complex\(\).*static_argnums"),
    "round": (lambda x: round(x[0, 0]), TypeError, r"round\(\)"),
    "math.sin": (lambda x: math.sin(x[0, 0]), TypeError, "function of math.*np.sin"),
    "math.floor": (lambda x: math.floor(x[0, 0]), TypeError, r"math.floor\(\)"),
    "item": (lambda x: x[0, 0].item(), TypeError, r"item\(\).*nbgrad.where"),
    "tolist": (lambda x: x.tolist(), TypeError, r"tolist\(\)"),
    "hash": (lambda x: {x}, TypeError, "hashing.*list"),
    "asarray": (lambda x: np.asarray(x), TypeError, "np.asarray.*leave np.asarray out"),
    "array of a list": (lambda x: np.array([x, x]), TypeError, "conversion to an array.*np.stack"),
    "index of an array": (lambda x: BUFFER[x.astype(int)], TypeError, r"nbgrad.tensor\(array\)"),
    "index of a list": (lambda x: [1, 2][x.astype(int)[0, 0]], TypeError, "an index or a size.*static_argnums"),
    "range": (lambda x: range(x.astype(int)[0, 0]), TypeError, "an index or a size.*static_argnums"),
    "length of a slice": (lambda x: x[: x.astype(int)[0, 0]], TypeError, "an index or a size.*static_argnums"),
    "mask": (lambda x: x[x > 0], TypeError, "shape that depends on elements: use nbgrad.where"),
    "nonzero": (np.nonzero, TypeError, "np.nonzero .*shape that depends on elements: use nbgrad.where"),
    "nonzero method": (lambda x: x.nonzero(), TypeError, "np.nonzero .*shape that depends on elements"),
    "where of one": (lambda x: np.where(x > 0), TypeError, "np.where with one argument.*three arguments"),
    "argwhere": (np.argwhere, TypeError, "np.argwhere .*shape that depends on elements"),
    "unique": (lambda x: np.unique(x * 0), TypeError, r"np.unique gave shape \(1,\).*outside of the jitted"),
    "compress": (lambda x: np.compress(x[:, 0] > 9, x, axis=0), TypeError, "np.compress .*depends on elements"),
    "repeats": (lambda x: x.repeat(x[0].astype(int), 1), TypeError, "np.repeat .*repeats static"),
    "tiles": (lambda x: np.tile(x, (x.astype(int)[0, 0], 1)), TypeError, "np.tile .*repeats static"),
    "bins": (lambda x: np.bincount(x.astype(int).ravel()), TypeError, "np.bincount .*minlength"),
    "write": (_writes, TypeError, r"changed in place .*x\[...\] = y.*nbgrad.where"),
    "write where": (_writes_where, TypeError, r"changed in place .*nbgrad.where"),
    "add": (_adds, TypeError, r"changed in place .*x = x \+ y"),
    "bits": (_takes_bits, TypeError, r"changed in place .*x = x \+ y"),
    "add outside": (_adds_to_an_array_from_outside, TypeError, r"changed in place .*np.add.*x = x \+ y"),
    "write outside": (_writes_to_an_array_from_outside, TypeError, "writing into an array.*nbgrad.where"),
    "delete": (_deletes, TypeError, "changed in place .*np.delete"),
    "shape": (_reshapes, TypeError, "changed in place .*x.reshape"),
    "sort": (lambda x: x.sort(), TypeError, r"changed in place .*sort\(\).*np.sort\(x\)"),
    "fill": (lambda x: x.fill(0), TypeError, r"changed in place .*fill\(\).*np.full_like"),
    "out": (lambda x: np.add(x, 1, out=x), TypeError, "changed in place .*np.add with out="),
    "out of a function": (lambda x: np.cumsum(x, 0, out=BUFFER), TypeError, "changed in place .*out= of np.cumsum"),
    "out by position": (lambda x: np.clip(x, 0, 1, BUFFER), TypeError, "changed in place .*np.clip"),
    "copyto": (lambda x: np.copyto(BUFFER, x), TypeError, "changed in place .*np.copyto"),
    "put": (lambda x: np.put(x, [0], 1), TypeError, "changed in place .*np.put"),
    "fill_diagonal": (lambda x: np.fill_diagonal(x, 0), TypeError, "changed in place .*np.fill_diagonal"),
    "add.at": (lambda x: np.add.at(x, [0], 1), TypeError, "changed in place .*np.add.at"),
    "text": (lambda x: np.array2string(x), TypeError, "np.array2string .*outside of the jitted function"),
    "save": (lambda x: np.save("never", x), TypeError, "np.save .*outside of the jitted function"),
    "memory": (lambda x: np.shares_memory(x, x), TypeError, "np.shares_memory .*no memory"),
    "objects": (lambda x: x.astype(object), TypeError, "astype .*no array of numbers"),
    "flat": (lambda x: x.flat[0], AttributeError, r"no 'flat'.*x.ravel\(\)"),
    "unsqueeze": (lambda x: x.unsqueeze(0), AttributeError, r"no 'unsqueeze'.*Variables have it: pass one"),
    "unknown": (lambda x: x.polar(), AttributeError, "no 'polar'.*functions of nbgrad and NumPy"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name):
    function, kind, words = REFUSALS[name]
    x = np.arange(1.0, 13).reshape(3, 4)
    with pytest.raises(kind, match=f"(?s)jit: .*{words}") as caught:
        nbgrad.jit(function)(x)
    assert "test_symbol.py:" in str(caught.value)
    np.testing.assert_array_equal(x, np.arange(1.0, 13).reshape(3, 4))
    assert not BUFFER.any()


def test_writing_one_element_tells_why():
    def function(x):
        np.zeros(3)[0] = x[0, 0]

    with pytest.raises(TypeError, match=r"jit: .* writing an element of an array"):
        nbgrad.jit(function)(ARRAYS["float64"])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.reshape(5, 5),
        lambda x: x.transpose(0, 5),
        lambda x: x.transpose(0, 0),
        lambda x: x.transpose(0),
        lambda x: x.swapaxes(0, 4),
        lambda x: x.sum(5),
        lambda x: x[7],
        lambda x: x[1.5],
        lambda x: x @ x,
        lambda x: np.dot(x, x),
        lambda x: np.broadcast_to(x, (5, 5)),
        lambda x: np.concatenate([x, x[0]]),
        lambda x: np.linalg.inv(x),
        lambda x: np.squeeze(x, 0),
        lambda x: x + np.ones(7),
        lambda x: x + "a",
        lambda x: x.astype(int, casting="safe"),
        lambda x: np.sin(x, x, x),
    ],
)
def test_what_numpy_refuses(function):
    with pytest.raises((ValueError, IndexError, TypeError)) as eager:
        function(ARRAYS["float64"])
    kind = next(k for k in (IndexError, ValueError, TypeError) if issubclass(eager.type, k))
    with pytest.raises(kind):
        nbgrad.jit(function)(ARRAYS["float64"])


def test_traces_are_not_mixed_by_functions():
    kept = []
    nbgrad.jit(lambda x: kept.append(x) or x)(ARRAYS["float64"])
    for function in (lambda x: np.stack([x, kept[0]]), lambda x: np.interp(x, kept[0][0], kept[0][1])):
        with pytest.raises(TypeError, match="left its function"):
            nbgrad.jit(function)(ARRAYS["float64"])


def test_called_functions_know_arrays_from_outside():
    weights = np.ones(3)
    compiled = nbgrad.jit(lambda x: np.average(x, axis=0, weights=weights))
    x = ARRAYS["float64"]
    assert_same(compiled(x), x.mean(0))
    weights[0] = 3
    assert_same(compiled(x), np.average(x, axis=0, weights=weights))


def test_arrays_beside_variables():
    x, w = ARRAYS["float64"], Variable(WEIGHTS)
    y = nbgrad.jit(lambda x, w: ((x - x.mean(0)) / np.std(x, 0) * w).sum())(x, w)
    y.backward()
    np.testing.assert_allclose(w.grad.data, ((x - x.mean(0)) / x.std(0)).sum(0), atol=1e-12)
