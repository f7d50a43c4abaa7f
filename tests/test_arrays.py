"""What stands in for arrays: operations, rules and the walk back ask nothing of it that `StandIn` does not say."""

import itertools

import cases
import numpy as np
import pytest
from cases import ELEMENTWISE, REDUCTIONS, STATISTICS, draw, numbered

import nbgrad
from nbgrad import Variable, sharing
from nbgrad.arrays import StandIn, is_array, is_stand_in, is_weak
from nbgrad.kernels.dispatch import recur, reduce_array, scan_array, spread_array

#: Attributes and methods of arrays that change nothing, which whatever stands in for one has.
ARRAYS = {
    "shape", "dtype", "ndim", "size", "nbytes", "itemsize", "flags", "base", "T", "reshape", "transpose", "astype",
    "copy", "view", "ravel",
}  # fmt: skip


def bare(value):
    """Give what is held in the place of those that hold something."""
    if isinstance(value, Held):
        return value._array
    if isinstance(value, dict):
        return {name: bare(part) for name, part in value.items()}
    return type(value)(map(bare, value)) if type(value) in (list, tuple) else value


class Held(np.lib.mixins.NDArrayOperatorsMixin):
    """Stands in for the array that it holds, and shows its elements to nobody."""

    __nbgrad_array__ = True
    weak = None
    rank = 0
    within = None

    def __init__(self, array):
        self._array = np.asarray(array)

    def __getattr__(self, name):
        if name not in ARRAYS:
            raise AttributeError(name)
        found = getattr(self._array, name)
        return (lambda *arguments, **options: Held(found(*arguments, **options))) if callable(found) else found

    def __len__(self):
        return len(self._array)

    def __getitem__(self, key):
        return Held(self._array[bare(key)])

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **options):
        if any(isinstance(x, Variable) for x in inputs):
            return NotImplemented
        target = out[0] if out and isinstance(out[0], Held) else None  # an ellipsis asks for an array
        found = np.asarray(getattr(ufunc, method)(*bare(inputs), **bare(options)))
        if target is not None:
            target._array[...] = found
        return Held(found) if target is None else target

    def __array_function__(self, function, types, arguments, options):
        if any(issubclass(kind, Variable) for kind in types):
            return NotImplemented
        found = function(*bare(arguments), **bare(options))
        return Held(found) if isinstance(found, np.ndarray | np.generic) else found

    def folded(self, name, axes, *others):
        if nbgrad.kernels.reductions.TABLE[name].spreads:
            return Held(spread_array(name, *(axes or (0,)), self._array, *bare(others)))
        return Held(reduce_array(name, self._array, axes, others))

    def scanned(self, name, axis, reverse):
        found = scan_array(name, self._array, axis, reverse)
        return tuple(map(Held, found)) if isinstance(found, tuple) else Held(found)

    def recurring(self, a, b, axis, reverse):
        return Held(recur(bare(a), bare(b), axis, reverse))

    def filled(self, value):
        return Held(np.full_like(self._array, value))

    def pick_from(self, x, key):
        return Held(bare(x)[bare(key)])

    def scatter(self, key, shape):
        result = np.zeros(shape, self.dtype)
        np.add.at(result, bare(key), self._array)
        return Held(result)

    def put_into(self, x, key, values):
        result = bare(x).copy()
        result[bare(key)] = bare(values)
        return Held(result)

    def place(self):
        return tuple(sharing.layout_of(self._array))

    def is_beside(self, other):
        return sharing.owner_of(self._array) is sharing.owner_of(other._array)

    def view_again(self, before, after):
        return None  # the places tell

    def refuse_if_given(self, what):
        pass

    def outside(self, array):
        return array if isinstance(array, Held) else Held(array)

    def called(self, name, function, arrays):
        found = function(*bare(arrays))
        return tuple(map(Held, found)) if isinstance(found, tuple) else Held(found)

    def made_again(self, make, like):
        return Held(make())

    def checked(self, begin, label, identity):
        begin(self._array)()
        return self


def written(x, y):
    z = x * 2
    part, row = z[1:], z[0]
    z[:, 1] = y[:, 0]
    row *= y[2]
    z[[2, 0], 3] = 0.5
    part += 1
    return z * z + part.sum() * row


F = nbgrad.nn.functional
X, Y = draw(cases.NONZERO, (3, 4)), draw(cases.NONZERO, (3, 4), seed=1)
OTHERS = {
    "views": lambda x, y: (x.reshape(2, 6).permute(1, 0)[::2, None] * 2).squeeze(1).flatten() + y.T.flatten()[:6].sum(),
    "picked": lambda x, y: x[[0, 2, 2]] * y[:, np.array([1, 1, 0])].sum(1, keepdim=True),
    "masked": lambda x, y: (x * x)[X > 0],
    "joined": lambda x, y: nbgrad.cat([x, nbgrad.stack([y[0], x[1]])]) ** 2,
    "products": lambda x, y: (x @ y.T) @ x[:, 0] + nbgrad.outer(x[0], y[1]).sum(),
    "softmax": lambda x, y: nbgrad.softmax(x, 0) * nbgrad.log_softmax(y, 1),
    "largest": lambda x, y: nbgrad.max(x, 1).values * y.amin(1),
    "scans": lambda x, y: x.cumsum(0) * y.cumprod(1) + x.logcumsumexp(1) + y.cummax(0).values,
    "slices": lambda x, y: nbgrad.diff(x.flip(0)) * nbgrad.chunk(y, 4, 1)[0],
    "broadcast": lambda x, y: nbgrad.sum_to(nbgrad.broadcast_to(x[0], (2, 3, 4)), (3, 4)) * y + x[0],
    "converted": lambda x, y: x.astype("float32") * y.astype("float32"),
    "choice": lambda x, y: nbgrad.where(x > y, x * 2, 0.5) + nbgrad.clamp(y, -1, 1),
    "powers": lambda x, y: x**3 + abs(x) ** 0.5 + 2**y,
    "cloned": lambda x, y: x.clone() * y.detach(),
    "written": lambda x, y: written(x, y),
    "losses": lambda x, y: F.mse_loss(x, y) + F.cross_entropy(x, np.array([0, 3, 1])),
    "numpys": lambda x, y: np.var(np.vstack([np.tril(x), np.clip(y, -1, 1)]), 0) * np.ptp(x) + np.diff(x, 1, 0).mean(),
}  # fmt: skip


def derivatives(function, arrays, wrapped):
    """Give the value, the gradients by the walk on arrays, and those by the recorded walk, of two orders."""
    xs = [Variable(wrapped(array)) for array in arrays]
    y = function(*xs)
    found = [y]
    wanted = [x for x in xs if x.requires_grad]
    if not y.requires_grad:
        return found
    total = (y * y).sum()
    found += nbgrad.autograd.grad(total, wanted, retain_graph=True, allow_unused=True)
    first = nbgrad.autograd.grad(total, wanted, create_graph=True, allow_unused=True)
    again = sum((g * g).sum() for g in first if g is not None)
    second = nbgrad.autograd.grad(again, wanted, allow_unused=True) if again.requires_grad else ()
    return found + list(first) + list(second)


def assert_same(function, arrays):
    found, wanted = derivatives(function, arrays, Held), derivatives(function, arrays, np.asarray)
    for one, other in zip(found, wanted, strict=True):
        assert (one is None) is (other is None)
        if other is not None:
            assert type(one.data) is Held or not one.data.any()  # zeros may be anybody's
            assert one.dtype == other.dtype and one.shape == other.shape
            np.testing.assert_allclose(bare(one.data), other.data, rtol=1e-6 if one.dtype == "float32" else 1e-12)


@pytest.mark.parametrize("case", ELEMENTWISE, ids=numbered(ELEMENTWISE))
def test_elementwise_operations_take_what_stands_in_for_arrays(case):
    assert_same(case.function, [draw(domain, (2, 3), "float64", i) for i, domain in enumerate(case.domains)])


@pytest.mark.parametrize("case", [*REDUCTIONS, *STATISTICS], ids=repr)
def test_reductions_take_what_stands_in_for_arrays(case):
    for axes, keepdim in itertools.product([None, 0, (0, 1)], [False, True]):
        assert_same(lambda x: case.function(x, axes, keepdim), [X])  # noqa: B023


@pytest.mark.parametrize("name", OTHERS)
def test_other_operations_take_what_stands_in_for_arrays(name, monkeypatch):
    monkeypatch.setattr(sharing, "stand_ins", 1)  # whoever has functions run on stand-ins says so
    assert_same(OTHERS[name], [X, Y])


def test_the_stand_in_of_these_tests_has_no_more_than_is_written_down():
    class Empty:
        """What any class has."""

    members = {name for name in vars(StandIn) if not name.startswith("_")}
    protocols = {"__array_ufunc__", "__array_function__", "__len__", "__getitem__", "__getattr__", "__init__"}
    assert set(vars(Held)) - set(vars(Empty)) - protocols <= members | {
        "__nbgrad_array__", "weak",
    }  # fmt: skip
    assert members <= set(vars(Held)) | ARRAYS


def test_what_is_what():
    held = Held(np.ones(2))
    assert is_array(held) and is_stand_in(held) and not is_weak(held)
    assert is_array(np.ones(2)) and not is_stand_in(np.ones(2)) and not is_weak(np.ones(2))
    assert not is_array([1.0]) and not is_stand_in(Held)
