"""Random programs give under jit what they give eagerly and in torch: values and gradients, call after call.

A program is data: the names of steps and some numbers, by which a step finds its operands and what else it needs. Its
steps are written once, for any library and any shapes. Values stay between -5 and 5 or so, and what has kinks is kept
away from them, so that a disagreement is a bug. How much rounding may change is measured: torch runs the program again
with every result off by a few units in the last place.

NBGRAD_FUZZ=500 tries 500 programs a test, other ones each time.
"""

import functools
import itertools
import math
import os

import numpy as np
import pytest
from cases import LAYOUTS, _torch_prod
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from peers import peer
from workers import race

import nbgrad
from nbgrad import Variable

pytestmark = pytest.mark.usefixtures("kernels")

# ---- libraries ------------------------------------------------------------------------------------------------------


class Ours:
    """nbgrad, as programs see a library."""

    def __getattr__(self, name):
        return getattr(nbgrad, name)

    def array(self, values, like):
        return np.asarray(values, like.dtype)

    def index(self, x, key):
        return x[key]

    def detach(self, x):
        return x.detach()


class Torch:
    """torch, with NumPy's promotion and NumPy's indices."""

    def __init__(self):
        self.torch = peer("torch")

    def settled(self, y):
        return y

    def together(self, xs):
        """Give the tensors of numbers one dtype: torch takes no account of the dtype of 0-d tensors."""
        tensors = [x for x in xs if isinstance(x, self.torch.Tensor) and x.dtype.is_floating_point]
        dtype = functools.reduce(self.torch.promote_types, [x.dtype for x in tensors])
        return [x.to(dtype) if any(x is tensor for tensor in tensors) else x for x in xs]

    def __getattr__(self, name):
        function = getattr(self.torch, name)
        return lambda *xs: self.settled(function(*self.together(xs)))

    def array(self, values, like):
        return self.torch.tensor(np.array(values)).to(like.dtype)

    def astype(self, x, dtype):
        return self.settled(x.to(getattr(self.torch, dtype)))

    def softplus(self, x):
        return self.settled(self.torch.nn.functional.softplus(x))

    def square(self, x):
        return self.settled(x * x)

    def prod(self, x, axes, keepdim):
        return self.settled(_torch_prod(self.torch, x, axes, keepdim))

    def clamp(self, *xs):  # whose gradient fails where a bound is broadcast
        return self.settled(self.torch.clamp(*self.torch.broadcast_tensors(*self.together(xs))))

    def cat(self, xs, axis):
        return self.settled(self.torch.cat(self.together(xs), axis))

    def stack(self, xs, axis):
        return self.settled(self.torch.stack(self.together(xs), axis))

    def take_along_dim(self, x, index, axis):
        return self.settled(self.torch.take_along_dim(x, self.torch.tensor(index), axis))

    def index(self, x, key):
        axis, parts = 0, []
        array = next((part for part in key if isinstance(part, np.ndarray)), None)
        for part in key:
            if isinstance(part, slice):  # torch has no negative steps
                x = x.index_select(axis, self.torch.tensor(np.arange(x.shape[axis])[part].copy()))
                part = slice(None)
            if isinstance(part, int) and array is not None:  # to NumPy integers beside arrays are arrays, too
                part = np.full(array.shape, part)
            axis += part is not None
            parts.append(self.torch.tensor(part) if isinstance(part, np.ndarray) else part)
        return self.settled(x[tuple(parts)])

    def detach(self, x):
        return x.detach()


class Perturbed(Torch):
    """torch, all of whose results, and so the cotangents too, are off by up to 16 units in the last place."""

    def __init__(self, seed):
        super().__init__()
        self.generator = self.torch.Generator().manual_seed(seed)

    def settled(self, y):
        if not y.dtype.is_floating_point:
            return y
        noise = self.torch.rand(y.shape, generator=self.generator, dtype=y.dtype) * 2 - 1
        return y * (1 + 16 * self.torch.finfo(y.dtype).eps * noise)


# ---- steps ----------------------------------------------------------------------------------------------------------
# Each takes the library, three earlier values and a number from which it makes its choices.


def _fitted(lib, y, x):
    """Cut y down to one element along the axes where it does not broadcast with x."""
    others = dict(zip(range(-1, -1 - x.ndim, -1), reversed(x.shape), strict=True))
    pairs = [(size, others.get(axis - y.ndim, 1)) for axis, size in enumerate(y.shape)]
    misfits = [first != second and 1 not in (first, second) for first, second in pairs]
    return lib.index(y, tuple(slice(0, 1) if misfit else slice(None) for misfit in misfits)) if any(misfits) else y


def _like(lib, y, x):
    """Bring y to the shape of x."""
    if y.ndim > x.ndim:
        y = lib.mean(y, tuple(range(y.ndim - x.ndim)), False)
    cut = [first not in (1, second) for first, second in zip(y.shape, x.shape[x.ndim - y.ndim :], strict=True)]
    y = lib.index(y, tuple(slice(0, 1) if misfit else slice(None) for misfit in cut)) if any(cut) else y
    return lib.broadcast_to(y, tuple(x.shape))


def _apart(lib, x, lowest=-2.5):
    """Give values near lowest, lowest + 1 and so on, at random: away from what lies between them."""
    steps = np.random.default_rng([len(x.shape), *x.shape]).integers(0, 6, tuple(x.shape)) + lowest
    return x * 0.04 + lib.array(steps, x)


def _distinct(lib, x):
    """Give values that are far from each other, between -4 and 4."""
    if math.prod(x.shape) > 500:
        x = lib.index(x, (slice(0, 4),) * x.ndim)
    size = math.prod(x.shape)
    order = np.random.default_rng([size, 1]).permutation(size).reshape(tuple(x.shape)) - size / 2
    return (x * 0.04 + lib.array(order, x)) * (8 / size)


def _axes(x, choice):
    """Choose some of the axes, at least one, and whether they stay; contiguous ones or not."""
    chosen = tuple(axis for axis in range(x.ndim) if choice >> axis & 1) or tuple(range(x.ndim))
    return chosen, bool(choice >> 5 & 1)


def _count(x, axes):
    return math.prod(x.shape[axis] for axis in axes)


def _elementwise(function):
    """Make a step of a formula of up to three values, which broadcast."""

    def step(lib, x, y, z, choice):
        y = _fitted(lib, y, x)
        return function(lib, x, y, _fitted(lib, _fitted(lib, z, x), y))

    return step


def _unary(function):
    return lambda lib, x, y, z, choice: function(lib, x)


def _reduction(function):
    """Make a step of a reduction over some axes; of a number there is nothing to reduce."""

    def step(lib, x, y, z, choice):
        axes, keepdim = _axes(x, choice)
        return function(lib, x, axes, keepdim) if axes else x * 0.9

    return step


def _along(function):
    """Make a step of something along an axis."""
    return lambda lib, x, y, z, choice: function(lib, x, choice % x.ndim) if x.ndim else x * 0.8


def _centred(lib, x, axes):
    return lib.sub(x, lib.mean(x, axes, True))


def _variance(lib, x, axes, keepdim):
    return lib.mean(lib.square(_centred(lib, x, axes)), axes, keepdim)


def _normalised(lib, x, axes, keepdim):
    return lib.div(_centred(lib, x, axes), lib.sqrt(_variance(lib, x, axes, True) + 0.1)) * 0.7


def _indexed(lib, x, y, z, choice):
    random = np.random.default_rng(choice)
    arrays, length = 0, int(random.integers(1, 5))
    key = []
    for size in x.shape:
        kind = random.integers(8)
        if kind == 0:
            part = int(random.integers(-size, size))
        elif kind == 1 and arrays < 2:
            arrays += 1
            part = random.integers(-size, size, (2, length) if choice % 2 else length)
        elif kind == 2:
            part = slice(None, None, -1)
        elif kind == 3:
            part = slice(int(random.integers(size)), None, 2)
        elif kind == 4:
            part = slice(int(random.integers(-size, 0)), None, -2)
        elif kind == 5:
            part = slice(0, int(random.integers(1, size + 1)))
        else:
            part = slice(None)
        key.append(part)
    if random.integers(3) == 0:
        key.insert(int(random.integers(len(key) + 1)), None)
    return lib.index(x, tuple(key))


def _picked(lib, x, y, z, choice):
    random = np.random.default_rng(choice)
    if not x.ndim:
        return lib.stack([x, x * 0.5], 0)
    axis = choice % x.ndim
    shape = [3 if i == axis else size for i, size in enumerate(x.shape)]
    return lib.take_along_dim(x, random.integers(0, x.shape[axis], shape), axis)


def _reshaped(lib, x, y, z, choice):
    shape = list(x.shape)
    axis = choice % max(len(shape), 1)
    kind = choice // 7 % 4
    if kind == 0 and len(shape) > 1:
        return lib.reshape(x, (-1, shape[-1]))
    if kind == 1 and axis + 1 < len(shape):
        return lib.reshape(x, (*shape[:axis], -1, *shape[axis + 2 :]))
    if kind == 2 and shape:
        factor = next(n for n in (2, 3, 5, 7, shape[axis]) if shape[axis] % n == 0)
        return lib.reshape(x, (*shape[:axis], factor, shape[axis] // factor, *shape[axis + 1 :]))
    return lib.reshape(x, (-1,)) if kind == 3 else lib.reshape(x, (*shape[:axis], 1, *shape[axis:]))


def _permuted(lib, x, y, z, choice):
    return lib.permute(x, tuple(int(axis) for axis in np.random.default_rng(choice).permutation(x.ndim)))


def _repeated(lib, x, y, z, choice):
    axis = choice % (x.ndim + 1)
    shape = tuple(x.shape)
    return lib.broadcast_to(lib.reshape(x, (*shape[:axis], 1, *shape[axis:])), (*shape[:axis], 2, *shape[axis:]))


def _joined(lib, x, y, z, choice):
    y, z = _like(lib, y, x), _like(lib, z, x)
    if not x.ndim or choice % 3 == 0:
        return lib.stack([x, y], choice % (x.ndim + 1))
    return lib.cat([x, y, z] if choice % 3 == 1 else [y, x], choice % x.ndim)


def _product(lib, x, y, z, choice):
    """Multiply matrices and vectors, and stacks of them, as the shapes allow; a matrix by itself, if nothing else."""
    if not x.ndim:
        return lib.mul(x, y) * 0.25
    inner = x.shape[-1]
    if (y.ndim == 1 and y.shape[0] == inner) or (y.ndim == 2 and y.shape[0] == inner):
        other = y
    elif y.ndim == 2 and y.shape[1] == inner:
        other = lib.permute(y, (1, 0))
    elif y.ndim == 1 and x.ndim == 2 and y.shape[0] == x.shape[0]:
        return lib.sin(lib.matmul(y, x) * (0.3 / math.sqrt(x.shape[0])))
    else:
        order = tuple(range(x.ndim))
        other = x if x.ndim == 1 else lib.permute(x, (*order[:-2], order[-1], order[-2]))
    return lib.sin(lib.matmul(x, other) * (0.3 / math.sqrt(inner)))


STEPS = {
    # of one value
    **{
        name: _unary(lambda lib, x, name=name: getattr(lib, name)(x))
        for name in ("sin", "cos", "tanh", "atan", "sigmoid", "erf", "asinh", "softplus", "neg")
    },
    "exp": _unary(lambda lib, x: lib.exp(-x * x)),
    "exp2": _unary(lambda lib, x: lib.exp2(-x * x)),
    "expm1": _unary(lambda lib, x: lib.expm1(-x * x)),
    "log": _unary(lambda lib, x: lib.log(x * x + 1.5)),
    "log1p": _unary(lambda lib, x: lib.log1p(x * x)),
    "sqrt": _unary(lambda lib, x: lib.sqrt(x * x + 0.5)),
    "rsqrt": _unary(lambda lib, x: lib.rsqrt(x * x + 0.5)),
    "reciprocal": _unary(lambda lib, x: lib.reciprocal(x * x + 0.7)),
    "square": _unary(lambda lib, x: lib.square(x) * 0.25),
    "cube": _unary(lambda lib, x: x**3 * 0.06),
    "tan": _unary(lambda lib, x: lib.tan(lib.sin(x))),
    "atanh": _unary(lambda lib, x: lib.atanh(lib.sin(x) * 0.8)),
    "asin": _unary(lambda lib, x: lib.asin(lib.cos(x) * 0.8)),
    "lgamma": _unary(lambda lib, x: lib.lgamma(lib.sin(x) + 2.5)),
    "numbers": _unary(lambda lib, x: 1.5 - x / 3),
    "relu": _unary(lambda lib, x: lib.relu(_apart(lib, x))),
    "abs": _unary(lambda lib, x: lib.abs(_apart(lib, x)) - 1),
    "detached": _elementwise(lambda lib, x, y, z: lib.mul(lib.detach(x), y) * 0.25),
    "float32": _unary(lambda lib, x: lib.astype(x, "float32")),
    "float64": _unary(lambda lib, x: lib.astype(x, "float64")),
    # of several
    "add": _elementwise(lambda lib, x, y, z: lib.add(x, y) * 0.5),
    "sub": _elementwise(lambda lib, x, y, z: lib.sub(x, y) * 0.5),
    "mul": _elementwise(lambda lib, x, y, z: lib.mul(x, y) * 0.25),
    "div": _elementwise(lambda lib, x, y, z: lib.div(x, y * y + 1.0)),
    "pow": _elementwise(lambda lib, x, y, z: lib.pow(lib.sin(x) + 1.6, lib.tanh(y))),
    "atan2": _elementwise(lambda lib, x, y, z: lib.atan2(x, y * y + 0.5)),
    "hypot": _elementwise(lambda lib, x, y, z: lib.hypot(x, lib.sin(y) + 1.5) * 0.8),
    "logaddexp": _elementwise(lambda lib, x, y, z: lib.logaddexp(x, y) * 0.8),
    "maximum": _elementwise(lambda lib, x, y, z: lib.maximum(_apart(lib, x), _apart(lib, y, -2.0))),
    "minimum": _elementwise(lambda lib, x, y, z: lib.minimum(_apart(lib, x), _apart(lib, y, -2.0))),
    "squared difference": _elementwise(lambda lib, x, y, z: lib.square(lib.sub(x, y)) * 0.06),
    "product and sum": _elementwise(lambda lib, x, y, z: lib.add(lib.mul(x, y) * 0.15, z) * 0.6),
    "where": _elementwise(lambda lib, x, y, z: lib.where(_apart(lib, x) > 0, y, z)),
    "where both": _elementwise(
        lambda lib, x, y, z: lib.where((_apart(lib, x) > 0) & (_apart(lib, y) < 1), z, x)
    ),
    "clamp": _elementwise(lambda lib, x, y, z: lib.clamp(_apart(lib, x), y * 0.04 - 1, z * 0.04 + 1)),
    # over axes
    "sum": _reduction(lambda lib, x, axes, keep: lib.sin(lib.sum(x, axes, keep) * _count(x, axes) ** -0.5)),
    "mean": _reduction(lambda lib, x, axes, keep: lib.mean(x, axes, keep)),
    "prod": _reduction(lambda lib, x, axes, keep: lib.prod(lib.sin(x) * (1 / _count(x, axes)) + 1, axes, keep)),
    "amax": _reduction(lambda lib, x, axes, keep: lib.amax(_distinct(lib, x), axes, keep)),
    "amin": _reduction(lambda lib, x, axes, keep: lib.amin(_distinct(lib, x), axes, keep)),
    "logsumexp": _reduction(lambda lib, x, axes, keep: lib.logsumexp(x, axes, keep) - math.log(_count(x, axes))),
    "variance": _reduction(lambda lib, x, axes, keep: _variance(lib, x, axes, keep) * 0.25),
    "centred": _reduction(lambda lib, x, axes, keep: _centred(lib, x, axes) * 0.5),
    "normalised": _reduction(_normalised),
    "softmax": _along(lambda lib, x, axis: lib.softmax(x, axis) * 2),
    "log_softmax": _along(lambda lib, x, axis: lib.log_softmax(x, axis) * 0.3),
    # other elements, other shapes
    "indexed": _indexed,
    "picked": _picked,
    "reshaped": _reshaped,
    "permuted": _permuted,
    "repeated": _repeated,
    "joined": _joined,
    "product": _product,
}  # fmt: skip

#: What hypothesis chooses from: views and products more often than each of the functions of one value.
NAMES = [*STEPS, *["indexed", "reshaped", "permuted", "joined", "product", "softmax", "sum", "mean", "normalised"] * 2]


def _limited(lib, y, most):
    """Keep values small: averages over an axis of what has too many axes or elements."""
    while y.ndim > 4 or math.prod(y.shape) > most:
        y = lib.mean(y, (int(np.argmax(y.shape)),), y.ndim <= 4)
    return y


def run(program, lib, inputs):
    """Run a program; gives the values that no step uses."""
    values = list(inputs)
    unused = set(range(len(values)))
    most = max(6000, 2 * max(math.prod(value.shape) for value in values))
    for name, first, second, third, choice in program:
        # the first operand is a late one, so that programs are deep as well as wide
        places = [len(values) - 1 - first % min(4, len(values)), second % len(values), third % len(values)]
        unused -= {places[0]}
        values.append(_limited(lib, STEPS[name](lib, *(values[place] for place in places), choice), most))
        unused.add(len(values) - 1)
    return [values[place] for place in sorted(unused)]


def weighed(lib, values):
    """Make one number of all values."""
    total = None
    for value in values:
        weights = np.cos(np.arange(math.prod(value.shape))).reshape(tuple(value.shape))
        term = (
            lib.sum(lib.mul(value, lib.array(weights, value)), tuple(range(value.ndim)), False) if value.ndim else value
        )
        total = term if total is None else lib.add(total, term)
    return total


# ---- both sides -----------------------------------------------------------------------------------------------------


def _with_torch(program, lib, arrays):
    tensors = [lib.torch.tensor(np.ascontiguousarray(array), requires_grad=True) for array in arrays]
    values = run(program, lib, [lib.settled(tensor) for tensor in tensors])
    loss = weighed(lib, values)
    loss.backward()
    gradients = [np.zeros(x.shape) if x.grad is None else x.grad.numpy() for x in tensors]
    return [y.detach().numpy() for y in (loss, *values)] + gradients


class Expected:
    """What torch gives, and how far off rounding may be."""

    def __init__(self, program, arrays):
        self.results = _with_torch(program, Torch(), arrays)
        perturbed = [_with_torch(program, Perturbed(seed), arrays) for seed in range(3)]
        self.limits = []
        for number, result in enumerate(self.results):
            worst = max(np.max(abs(p[number] - result), initial=0) for p in perturbed)
            self.limits.append(2 * worst + 16 * np.finfo(result.dtype).eps * np.max(abs(result), initial=0) + 1e-300)

    def check(self, loss, values, gradients, what):
        """Hold results against torch's; `values` may be None, where only the loss is known."""
        found = [loss, *(values or self.results[1 : -len(gradients)]), *gradients]
        for number, (result, wanted, limit) in enumerate(zip(found, self.results, self.limits, strict=True)):
            if result is None:  # no gradient
                result = np.zeros(wanted.shape)
            assert result.shape == wanted.shape, (what, number)
            assert result.dtype == wanted.dtype or not wanted.any(), (what, number)
            np.testing.assert_allclose(result, wanted, rtol=0, atol=limit, err_msg=f"{what}, result {number}")


def eager(program, arrays):
    """Give the loss, the values and the gradients of a program by nbgrad without jit."""
    xs = [Variable(array) for array in arrays]
    values = run(program, OURS, xs)
    loss = weighed(OURS, values)
    loss.backward()
    return loss.data, [value.data for value in values], [None if x.grad is None else x.grad.data for x in xs]


OURS = Ours()


class Whole:
    """Value and gradients compiled together."""

    def __init__(self, program, count):
        self.compiled = nbgrad.jit(
            nbgrad.value_and_grad(lambda *xs: weighed(OURS, run(program, OURS, xs)), tuple(range(count)))
        )

    def __call__(self, arrays):
        loss, gradients = self.compiled(*arrays)
        return loss, None, list(gradients)


class Forward:
    """The function compiled, the rest left to the graph."""

    def __init__(self, program, count):
        self.compiled = nbgrad.jit(lambda *xs: run(program, OURS, xs))

    def __call__(self, arrays):
        xs = [Variable(array) for array in arrays]
        values = self.compiled(*xs)
        loss = weighed(OURS, values)
        loss.backward()
        return loss.data, [value.data for value in values], [None if x.grad is None else x.grad.data for x in xs]


WAYS = {"whole": Whole, "forward": Forward}

numbers = st.integers(0, 63)
programs = st.lists(
    st.tuples(st.sampled_from(NAMES), numbers, numbers, numbers, st.integers(0, 255)), min_size=5, max_size=50
)
#: The sizes of two calls. Different even ones, mostly: the second then finds nearly all kernels compiled by the first.
even = st.permutations([4, 6, 8, 10, 14]).map(lambda order: order[:3])
small = st.lists(st.integers(1, 9), min_size=3, max_size=3)
pairs_of_sizes = st.tuples(even, even) | st.tuples(even, even) | st.tuples(small, small)
dtypes = st.lists(st.sampled_from(["float64", "float64", "float32"]), min_size=3, max_size=3)

FUZZ = int(os.environ.get("NBGRAD_FUZZ", "0"))
random_programs = settings(
    max_examples=FUZZ or 6,
    derandomize=not FUZZ,
    # a program compiles for seconds, smaller ones for minutes
    phases=(Phase.reuse, Phase.generate, Phase.shrink) if FUZZ else (Phase.generate,),
    suppress_health_check=list(HealthCheck),
)


def draw_inputs(sizes, dtypes, seed, layout="contiguous"):
    """Give a matrix, a vector and a stack of columns whose shapes fit together."""
    rows, columns, layers = sizes
    random = np.random.default_rng(seed)
    shapes = [(rows, columns), (columns,), (layers, rows, 1)]
    return [
        LAYOUTS[layout](random.normal(size=shape).astype(dtype)) for shape, dtype in zip(shapes, dtypes, strict=True)
    ]


def _copied(result):
    loss, values, gradients = result
    return [None if array is None else array.copy() for array in (loss, *(values or ()), *gradients)]


@pytest.mark.parametrize("way", WAYS)
@random_programs
@given(
    programs,
    pairs_of_sizes,
    dtypes,
    st.sampled_from(["contiguous", "contiguous", "strided", "negative-stride", "Fortran-ordered"]),
)
def test_random_programs(way, program, sizes, dtypes, layout):
    compiled = WAYS[way](program, 3)
    arrays = draw_inputs(sizes[0], dtypes, 0, layout)
    expected = Expected(program, arrays)
    expected.check(*eager(program, arrays), "eager")
    first = compiled(arrays)
    expected.check(*first, "jit")
    kept = _copied(first)
    for name, these, seed in (("second call", sizes[0], 1), ("another shape", sizes[1], 2)):
        again = draw_inputs(these, dtypes, seed)
        Expected(program, again).check(*compiled(again), name)
    for array, copy in zip(kept, _copied(first), strict=True):
        np.testing.assert_array_equal(array, copy, err_msg="the first call's results were changed")
    expected.check(*compiled(arrays), "the first shape again")


# ---- many calls -----------------------------------------------------------------------------------------------------

#: One step of each family, by hand.
PROGRAM = [
    ("normalised", 2, 0, 0, 2),
    ("product", 0, 0, 0, 0),
    ("softmax", 0, 0, 0, 1),
    ("where", 0, 1, 2, 0),
    ("sum", 0, 0, 0, 33),
    ("indexed", 2, 0, 0, 5),
    ("joined", 0, 3, 4, 1),
    ("mul", 0, 2, 1, 0),
    ("permuted", 0, 0, 0, 3),
    ("float32", 0, 0, 0, 0),
    ("variance", 0, 0, 0, 1),
    ("add", 1, 2, 3, 0),
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_long_arrays(way, axes):
    """Rows of several vectors and a rest, and loops of several blocks, whose partial results are put together."""
    program = [("variance", 2, 0, 0, axes), ("sum", 3, 0, 0, axes), ("amax", 0, 0, 0, 0), ("div", 3, 1, 0, 0)]
    compiled = WAYS[way](program, 3)
    for columns in (70, 30_011):
        arrays = draw_inputs((5, columns, 1), ["float64"] * 3, 0)
        Expected(program, arrays).check(*compiled(arrays), f"{columns} columns")


@pytest.mark.parametrize("way", WAYS)
def test_several_threads_with_several_shapes(way):
    compiled = WAYS[way](PROGRAM, 3)
    inputs = [draw_inputs((2 + i % 2, 5 + i % 3 * 2, 4), ["float64"] * 3, i) for i in range(6)]
    expected = [Expected(PROGRAM, arrays) for arrays in inputs]

    def work(number):
        # the first calls of all threads trace at once, two and two the same shapes
        places = [*range(number % 2, 6, 2), *range(6), *range(6)]
        return [(place, compiled(inputs[place])) for place in places]

    for place, result in itertools.chain(*race(work, 4)):  # all of them kept until now
        expected[place].check(*result, f"shape {place}")


def test_static_functions():
    compiled = nbgrad.jit(lambda x, function: function(x) * 2, static_argnums=1)
    x = np.linspace(0.5, 1, 4)
    double, triple = lambda x: x * 2, lambda x: x * 3
    for _ in range(2):
        np.testing.assert_array_equal(compiled(x, double), x * 4)
        np.testing.assert_array_equal(compiled(x, triple), x * 6)
    for number in range(20):  # functions that are gone may leave their place to others
        np.testing.assert_allclose(compiled(x, lambda x, number=number: x * number), x * number * 2, rtol=1e-15)


def test_donated_inputs_of_a_program():
    function = lambda *xs: run(PROGRAM, OURS, xs)  # noqa: E731
    donated, plain = nbgrad.jit(function, donate_argnums=(0, 1, 2)), nbgrad.jit(function)
    for seed in range(5):
        arrays = draw_inputs((3, 5, 2), ["float64"] * 3, seed)
        expected = plain(*arrays)
        for found, want in zip(donated(*arrays), expected, strict=True):
            np.testing.assert_allclose(found, want, rtol=1e-14)
