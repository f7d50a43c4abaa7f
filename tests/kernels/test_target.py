"""A target that was written from the Protocol alone: whole families of operations run on it, to second order."""

import inspect

import numpy as np
import pytest
import recording_target
from recording_target import Recording, RecordingArray

import nbgrad
from nbgrad import Variable
from nbgrad.forward import push
from nbgrad.kernels import target
from nbgrad.kernels.cpu.target import CPU
from nbgrad.nn import functional as F

A = np.array([[0.5, -1.25, 2.0], [1.5, 0.25, -0.75]])
B = np.array([[1.0, 2.0, 0.5], [-0.5, 1.5, 3.0]])
ROW, COLUMN = B[0], B[:, :1]
LABELS = np.array([2, 0])
MASK = A > 0
PLACES = np.array([[2, 0, 0], [1, 1, -1]])

#: For each: a function of Variables that require gradients, made for a target by what brings arrays to it; the arrays;
#: and what the target has to be asked for.
FAMILIES = {
    "elementwise": (lambda there: lambda x, y: nbgrad.exp(x) * y + nbgrad.tanh(x / 2), [A, B], {"elementwise"}),
    "broadcasting": (lambda there: lambda x, y, z: x * y - z * 2.0, [A, ROW, COLUMN], {"elementwise", "reduce"}),
    "numbers": (lambda there: lambda x: 1 / (x**2 + 1) + x**3 - nbgrad.sqrt(x * x), [A], {"elementwise"}),
    "where": (lambda there: lambda x, y: nbgrad.where(x > y, x * x, y), [A, B], {"elementwise"}),
    "clamp": (lambda there: lambda x: nbgrad.clamp(x, -1, 1) * x, [A], {"elementwise"}),
    "sum": (lambda there: lambda x: nbgrad.sum(x * x, 0), [A], {"reduce"}),
    "mean": (lambda there: lambda x: nbgrad.mean(x**3, 1, keepdim=True), [A], {"reduce"}),
    "prod": (lambda there: lambda x: nbgrad.prod(x, 1), [A], {"reduce", "concatenate"}),
    "amax": (lambda there: lambda x: nbgrad.amax(x * x, (0, 1)), [A], {"reduce"}),
    "max": (lambda there: lambda x: nbgrad.max(x * x, 1).values, [A], {"extreme_places", "gather"}),
    "logsumexp": (lambda there: lambda x: nbgrad.logsumexp(x, 1), [A], {"reduce"}),
    "cumsum": (lambda there: lambda x: nbgrad.cumsum(x * x, 1), [A], {"scan"}),
    "cumprod": (lambda there: lambda x: nbgrad.cumprod(x, 1), [A], {"scan", "recur"}),
    "softmax": (lambda there: lambda x: nbgrad.softmax(x, 1), [A], {"spread"}),
    "log_softmax": (lambda there: lambda x: nbgrad.log_softmax(x, 0), [A], {"spread"}),
    "slices": (lambda there: lambda x: x[1:, ::-1] * x[0, 1], [A], set()),
    "rows": (lambda there: lambda x: x[there([1, 0, 1])] ** 2, [A], {"gather", "scatter", "look"}),
    "rows from NumPy": (lambda there: lambda x: x[[1, -1, 0]] ** 2, [A], {"gather", "scatter", "bring"}),
    "elements": (lambda there: lambda x: x[there([0, 1]), there([-1, 0])] ** 2, [A], {"gather", "scatter"}),
    "mask": (lambda there: lambda x: x[there(MASK)] ** 2, [A], {"nonzero", "gather", "scatter"}),
    "mask from NumPy": (lambda there: lambda x: x[MASK[:, 0]] ** 2, [A], {"gather", "scatter", "bring"}),
    "take_along_dim": (lambda there: lambda x: nbgrad.take_along_dim(x, there(PLACES), 1) ** 2, [A], {"gather"}),
    "matmul": (lambda there: lambda x, y: nbgrad.matmul(x, y.T), [A, B], {"matmul"}),
    "matmul of vectors": (lambda there: lambda x, y: (x @ y) * (y @ y), [A, ROW], {"matmul"}),
    "stacks": (lambda there: lambda x, y: x.reshape(2, 1, 3) @ y.T, [A, B], {"matmul"}),
    "cat": (lambda there: lambda x, y: nbgrad.cat([x, y * y], 1), [A, B], {"concatenate"}),
    "stack": (lambda there: lambda x, y: nbgrad.stack([x * y, y]), [A, B], {"concatenate"}),
    "split": (lambda there: lambda x: nbgrad.split(x * x, 2, 1)[0], [A], set()),
    "shapes": (lambda there: lambda x: x.permute(1, 0).reshape(-1).expand(2, 6) * x.flatten(), [A], {"broadcast_to"}),
    "conversion": (lambda there: lambda x: x.astype(np.float32) * x.astype(np.float32), [A], set()),
    "zeros_like": (lambda there: lambda x: x * x + nbgrad.zeros_like(x), [A], {"zeros"}),
    "ones_like": (lambda there: lambda x: x * x * nbgrad.ones_like(x), [A], {"full"}),
    "full_like": (lambda there: lambda x: x * nbgrad.full_like(x, 2.5), [A], {"full"}),
    "clone": (lambda there: lambda x: nbgrad.clone(x) * x, [A], set()),
    "var": (lambda there: lambda x: nbgrad.var(x, 1), [A], {"reduce"}),
    "mse_loss": (lambda there: lambda x, y: F.mse_loss(x, y), [A, B], {"reduce"}),
    "bce": (lambda there: lambda x: F.binary_cross_entropy_with_logits(x, there(1.0 * MASK)), [A], {"reduce"}),
    "cross_entropy": (lambda there: lambda x: F.cross_entropy(x, there(LABELS)), [A], {"look", "gather", "spread"}),
    "linear": (lambda there: lambda x, y, z: F.linear(x, y, z.reshape(-1)), [A, B, COLUMN], {"matmul"}),
}


def derivatives(function, arrays):
    """Give the value of a function of Variables, its gradients, and those of their squares."""
    xs = [Variable(array) for array in arrays]
    y = function(*xs)
    first = nbgrad.autograd.grad(y.sum(), xs, create_graph=True)
    squares = [(g * g).sum() for g in first if g.requires_grad]
    second = nbgrad.autograd.grad(squares, xs, allow_unused=True) if squares else []
    return [y, *first, *[g for g in second if g is not None]]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_third_target_runs_every_family(name, recording):
    make, arrays, asked = FAMILIES[name]
    expected = derivatives(make(np.asarray), arrays)
    there = derivatives(make(lambda x: recording.bring(np.asarray(x))), [recording.bring(x) for x in arrays])
    assert len(there) == len(expected) >= 1 + len(arrays)
    assert all(type(y.data) is RecordingArray and y.device == "recording" for y in there)
    assert "to_numpy" not in recording.asked
    assert asked <= set(recording.asked)
    for y, wanted in zip(there, expected, strict=True):
        assert (y.shape, y.dtype) == (wanted.shape, wanted.dtype)
        np.testing.assert_allclose(y.data.held, wanted.data, rtol=1e-5 if y.dtype == np.float32 else 1e-12, atol=1e-14)


def test_what_the_target_asks_is_all_that_there_is(recording):
    """Its members are those of the Protocol, with the same parameters."""
    wanted = {name for name in vars(target.Target) if not name.startswith("_")}
    assert {name for name in vars(Recording) if name[0] != "_"} == wanted | {"name"}
    array = {name for name in vars(target.TargetArray) if name in ("__len__", "__getitem__", "__setitem__")}
    array |= {name for name in vars(target.TargetArray) if not name.startswith("_")}
    assert array <= set(dir(RecordingArray))
    assert len(inspect.getsource(recording_target).splitlines()) < 155, "what a third target has to write"


@pytest.mark.parametrize("kind", [type(CPU), Recording])
def test_members_have_the_protocols_parameters(kind):
    for name, asked in vars(target.Target).items():
        if inspect.isfunction(asked) and name[0] != "_":
            given = inspect.getattr_static(kind, name)
            if inspect.isfunction(given):  # and none of NumPy's
                assert list(inspect.signature(given).parameters) == list(inspect.signature(asked).parameters), name


def test_backward_fills_grad_and_adds_to_it(recording):
    x = Variable(recording.bring(A), requires_grad=True)
    for times in (1, 2):
        (x * x).sum().backward()
        assert type(x.grad.data) is RecordingArray
        np.testing.assert_array_equal(x.grad.data.held, times * 2 * A)
    y = x * 3.0
    y.backward(nbgrad.ones_like(y))
    np.testing.assert_array_equal(x.grad.data.held, 4 * A + 3)
    x.grad.zero_()
    with nbgrad.no_grad():
        x -= 1.0
    np.testing.assert_array_equal(x.data.held, A - 1)


class Cube(nbgrad.Function):
    """A user's, on arrays."""

    def forward(self, x):
        self.x = x
        return nbgrad.mul(nbgrad.mul(x, x), x)

    def backward(self, gy):
        return nbgrad.mul(nbgrad.mul(3.0, nbgrad.mul(self.x, self.x)), gy)


def test_what_users_write_and_look_at_is_there(recording):
    x = Variable(recording.bring(A))
    y = Cube()(x)
    y.register_hook(lambda g: g * 2)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.data.held, 6 * A**2)
    (tangent,) = push([nbgrad.tanh(x)], [x], [nbgrad.ones_like(x)])
    np.testing.assert_allclose(tangent.data.held, 1 - np.tanh(A) ** 2)
    found = nbgrad.autograd.functional.jacobian(lambda v: v * v, Variable(recording.bring(ROW)))
    np.testing.assert_allclose(found.data.held, np.diag(2 * ROW))
    weights = recording.bring(np.ones((A.shape[1], 2)))
    for_each = nbgrad.vmap(nbgrad.grad(lambda v: nbgrad.tanh(nbgrad.matmul(v, weights)).sum()))
    expected = (1 - np.tanh(A.sum(1)) ** 2)[:, None] * np.full(A.shape, 2.0)
    np.testing.assert_allclose(for_each(recording.bring(A)).held, expected)
    np.testing.assert_allclose(nbgrad.hessian(lambda v: (v * v * v).sum())(recording.bring(ROW)).held, np.diag(6 * ROW))
    assert type(nbgrad.grad(lambda a: (a * a).sum())(recording.bring(A))) is RecordingArray
    assert nbgrad.autograd.gradcheck(lambda x: x * x, [Variable(recording.bring(A))])
    large = Variable(recording.bring(np.ones(5000)))  # of which the graph keeps no elements
    ((large + 1.0) * 2.0 + 1.0).sum().backward()
    np.testing.assert_array_equal(large.grad.data.held, np.full(5000, 2.0))


def test_variables_are_made_and_moved_there(recording):
    for made in (
        nbgrad.zeros(2, 3, device="recording"),
        nbgrad.ones(2, 3, device="recording"),
        nbgrad.full((2, 3), 1.5, device="recording"),
        nbgrad.empty(2, 3, device="recording"),
        nbgrad.tensor([[1.0, 2, 3], [4, 5, 6]], device="recording"),
        nbgrad.randn(2, 3, device="recording"),
        nbgrad.randint(0, 5, (2, 3), device="recording"),
        nbgrad.ones(2, 3).to("recording"),
    ):
        assert type(made.data) is RecordingArray and made.shape == (2, 3) and not made.is_cuda
    nbgrad.manual_seed(3)
    first = nbgrad.rand(4, device="recording").tolist()
    nbgrad.manual_seed(3)
    assert nbgrad.rand(4, device="recording").tolist() == first
    x = nbgrad.tensor([1.0, 2.0], requires_grad=True)
    ((x.to("recording") ** 2).cpu() * x).sum().backward()
    assert type(x.grad.data) is np.ndarray and x.grad.tolist() == [3, 12]
    y = x.detach().to("recording")
    assert y.to("recording") is y and y.to(y) is y and y.to(np.float32).device == "recording"
    assert repr(y) == "Variable([1., 2.], device='recording')"
    assert (y[1].item(), y.tolist(), len(y), [e.item() for e in y]) == (2.0, [1, 2], 2, [1, 2])
    with pytest.raises(TypeError, match=r"a Variable on recording is no NumPy array: copy it to the CPU with x\.cpu"):
        y.numpy()


MIXED = {
    "add": lambda x, y: x + y,
    "where": lambda x, y: nbgrad.where(x > 0, x, y),
    "matmul": lambda x, y: x @ y,
    "cat": lambda x, y: nbgrad.cat([y, x]),
    "indexing": lambda x, y: y[x > 0],
    "nll_loss": lambda x, y: F.nll_loss(x.reshape(1, 2), nbgrad.tensor([0])),
    "pow": lambda x, y: x.astype(int) ** y.astype(int),
    "backward": lambda x, y: (Variable(x.data) * 2).backward(y),
}


@pytest.mark.parametrize("name", MIXED)
def test_arrays_of_two_targets_are_refused_by_name(name, recording):
    x, y = nbgrad.ones(2, device="recording"), nbgrad.ones(2)
    with pytest.raises(TypeError, match=f"{name}: .* on .*") as caught:
        MIXED[name](x, y)
    assert "cpu" in str(caught.value) and "recording" in str(caught.value)
    assert (x + x).tolist() == [2, 2]


def test_scalars_of_numpys_take_part_and_get_their_gradient(recording):
    scale = nbgrad.tensor(2.0, requires_grad=True)
    x = Variable(recording.bring(A), requires_grad=True)
    (x * scale).sum().backward()
    assert type(scale.grad.data) is np.ndarray and type(x.grad.data) is RecordingArray
    np.testing.assert_allclose(scale.grad.data, A.sum())


def test_what_is_not_there_is_refused(recording):
    x = nbgrad.ones(4, 3, device="recording")
    with pytest.raises(IndexError, match=r"indexing shape \(4, 3\): positions from 0 to 4 in 4 rows"):
        x[recording.bring(np.array([0, 4]))]
    with pytest.raises(IndexError, match="classes from 0 to 3, log-probabilities for 3"):
        F.nll_loss(x, nbgrad.tensor([0, 3, 0, 0]).to("recording"))
    with pytest.raises(ValueError, match=r"add: shapes \(4, 3\) and \(2,\) do not broadcast"):
        x + nbgrad.ones(2, device="recording")
    with pytest.raises(TypeError, match=r"jit: .* nothing compiles for arrays on recording"):
        nbgrad.jit(lambda x: x * 2)(x)
    with pytest.raises(ValueError, match="device 'tpu' is not known: give 'recording', 'cpu', 'cuda' or 'cuda:0'"):
        nbgrad.zeros(2, device="tpu")


# ---- the CPU, asked as any target ------------------------------------------------------------------------------------


def test_the_cpu_answers_as_the_protocol_says():
    assert CPU.arange(3, 4).tolist() == [0, 4, 8] and CPU.arange(3, 0).tolist() == [0, 0, 0]
    table = np.arange(6.0).reshape(3, 2)
    for dtype in (np.float32, np.float64, np.int8, bool):
        np.testing.assert_array_equal(CPU.gather(table.astype(dtype), LABELS), table.astype(dtype)[LABELS])
    added = CPU.scatter(np.array([1, 1]), table[:2], (3, 1, 2), False)
    np.testing.assert_array_equal(added, [[[0, 0]], [[2, 4]], [[0, 0]]])
    assert CPU.scatter(np.zeros(0, np.int64), np.zeros((0, 2)), (3, 2), True).tolist() == [[0, 0]] * 3
    assert CPU.nonzero(np.array([[True, False], [False, True]])).tolist() == [0, 3]


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.uint64])
@pytest.mark.parametrize(
    ("numbers", "limits", "found"),
    [
        ([0, 3], (0, 3), (False, False)),
        ([0, 4], (0, 3), (True, False)),
        ([-1, 3], (0, 3), (True, True)),
        ([-4, 3], (-4, 3), (False, True)),
        ([-5, 0], (-4, 3), (True, True)),
        ([], (0, 3), (False, False)),
    ],
)
def test_numbers_are_looked_at(numbers, limits, found, dtype):
    if dtype == np.uint64 and min(numbers, default=0) < 0:
        return
    assert CPU.look(np.array(numbers, dtype), *limits)() == found
