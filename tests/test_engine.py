"""The walk back: order, dtypes, what is refused, threads, and random graphs against PyTorch."""

import sys
import threading

import numpy as np
import pytest
from graphs import Note, scalar, vector
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import peer
from workers import race, raced

import nbgrad
from nbgrad import Function, Variable
from nbgrad.autograd import grad

# ---- order and shape of the graph ------------------------------------------------------------------------------------


def test_functions_are_passed_once_and_in_the_order_of_generations():
    log = []

    def note(name, x):
        return Note(name, log)(x)

    x = scalar(2.0)
    a = note("a", x)
    short = note("short", a)
    long = note("long 3", note("long 2", note("long 1", a)))
    y = note("end", short * long + a)
    assert y.generation == 7
    y.backward()
    assert log[:3] == ["end", "long 3", "long 2"]
    assert sorted(log[3:5]) == ["long 1", "short"]  # of the same generation
    assert log[5:] == ["a"]
    assert x.grad.data == 5


def test_generation_is_the_longest_way_from_a_leaf():
    x, w = scalar(1.0), scalar(1.0)
    a = x * w
    b = a * a
    c = x + b
    d = w * c * a
    assert [v.generation for v in (x, w, a, b, c, d)] == [0, 0, 1, 2, 3, 5]
    constant = nbgrad.tensor(1.0) * 2
    assert constant.generation == 0
    assert (constant * x).generation == 1


def test_diamond():
    x = vector(0.5, -1.0)
    a = nbgrad.tanh(x)
    b, c = nbgrad.exp(a), a * a
    (b * c + b).sum().backward()
    t = np.tanh(x.data)
    np.testing.assert_allclose(x.grad.data, (np.exp(t) * (t * t + 1) + 2 * t * np.exp(t)) * (1 - t * t), rtol=1e-13)


def test_a_variable_in_every_place():
    x = scalar(3.0)
    (x * x + x - x / x + x**x).backward()
    np.testing.assert_allclose(x.grad.data, 6 + 1 + 27 * (np.log(3) + 1))


def test_wide_fan_out_and_in():
    x = vector(1.0, 2.0)
    total = x * 0.0
    for k in range(200):
        total = total + x * float(k)
    total.sum().backward()
    np.testing.assert_array_equal(x.grad.data, [19900, 19900])


def test_doubling_graphs_take_linear_time():
    # 2**200 ways from end to start: only a walk that passes each node once ends
    x = scalar(1.0)
    y = x
    for _ in range(200):
        y = y + y
    y.backward()
    assert x.grad.data == 2.0**200
    x.cleargrad()
    y = x
    for _ in range(60):
        y = y + y
    y.backward(create_graph=True)
    assert x.grad.data == 2.0**60


def test_a_subgraph_shared_by_two_outputs():
    x = vector(1.0, 2.0)
    shared = nbgrad.exp(x)
    first, second = (shared * 2).sum(), (shared * shared).sum()
    first.backward(retain_graph=True)
    second.backward()
    e = np.exp(x.data)
    np.testing.assert_allclose(x.grad.data, 2 * e + 2 * e * e)
    (g,) = grad([(x * 2).sum(), (x * x).sum()], x)
    np.testing.assert_allclose(g.data, 2 + 2 * x.data)


def test_an_output_that_is_inside_the_graph_of_another():
    x = scalar(2.0)
    inner = x * x
    outer = inner * inner
    (g,) = grad([outer, inner, x], x)
    assert g.data == 4 * 8 + 2 * 2 + 1
    torch = peer("torch")
    tx = torch.tensor(2.0, requires_grad=True, dtype=torch.float64)
    ti = tx * tx
    (tg,) = torch.autograd.grad([ti * ti, ti, tx], tx)
    assert g.data == tg.item()


def test_a_leaf_is_its_own_gradient():
    x = scalar(2.0)
    x.backward()
    assert x.grad.data == 1
    x.backward(5.0)
    assert x.grad.data == 6
    assert grad(x, x)[0].data == 1
    y = x * 3
    assert grad(y, y)[0].data == 1


def test_gradients_are_nobody_elses_and_copied_only_where_somebody_holds_them():
    made = []

    class Twice(nbgrad.Function):
        def forward(self, x):
            return 2 * x

        def backward(self, gy):
            gx = 2 * gy
            made.append(gx.__array_interface__["data"][0])
            return gx

    def place(x):
        return x.data.__array_interface__["data"][0]

    x, y, g = (nbgrad.Variable(np.ones(5000), requires_grad=True) for _ in range(3))
    (gx,) = nbgrad.autograd.grad(Twice()(x), x, g)
    assert place(gx) == made[0]
    found = nbgrad.autograd.grad(x + y, (x, y, x), g)
    middle = Twice()(x)
    found += nbgrad.autograd.grad(middle, (middle, x), g)
    found += nbgrad.autograd.grad(x.exp().reshape(50, 100).sum(0), x, Variable(np.ones(100)))
    assert len({place(z) for z in (*found, x, y, g)}) == len(found) + 3
    for gradient in found:
        assert gradient.data.flags.writeable and not any(np.shares_memory(gradient.data, z.data) for z in (x, y, g))


def test_a_walk_leaves_no_trace_in_the_next():
    x = scalar(3.0)
    for k in range(1, 6):
        (x * float(k)).backward()
    assert x.grad.data == 15
    assert (x * x).grad is None


# ---- random graphs against PyTorch -----------------------------------------------------------------------------------

SHAPES = [(), (3,), (1,), (2, 1), (2, 3), (1, 3), (1, 1)]

STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "sub", "mul", "tanh", "sum", "twice", "view"]), st.integers(0), st.integers(0)),
    min_size=1,
    max_size=14,
)


def build(library, leaves, steps):
    """Follow the steps, each upon any two of the values so far."""
    values = list(leaves)
    for name, i, j in steps:
        # favour the latest values, so that graphs grow deep as well as wide
        a, b = values[-1 - i % min(len(values), 5)], values[j % len(values)]
        if name == "add":
            value = a + b
        elif name == "sub":
            value = a - b
        elif name == "mul":
            value = a * b * 0.5
        elif name == "tanh":
            value = library.tanh(a)
        elif name == "sum":
            value = a.sum(-1, keepdim=True) if a.ndim else a.sum()
        elif name == "twice":
            value = a + a
        else:
            value = a.reshape(*a.shape, 1)[..., 0]
        values.append(value)
    return values


@settings(max_examples=60)
@given(
    shapes=st.lists(st.sampled_from(SHAPES), min_size=1, max_size=3),
    steps=STEPS,
    picks=st.lists(st.integers(0), min_size=1, max_size=3),
    seed=st.integers(0, 1000),
)
def test_random_graphs_agree_with_torch(shapes, steps, picks, seed):
    torch = peer("torch")
    random = np.random.default_rng(seed)
    arrays = [random.uniform(-1, 1, shape) for shape in shapes]
    mine = [Variable(array.copy()) for array in arrays]
    peers = [torch.tensor(array, requires_grad=True) for array in arrays]

    def loss(library, leaves):
        values = build(library, leaves, steps)
        picked = [values[-1], *(values[p % len(values)] for p in picks)]
        total = (picked[0] * picked[0]).sum()
        for value in picked[1:]:
            total = total + library.tanh(value).sum()
        return total

    y, expected = loss(nbgrad, mine), loss(torch, peers)
    np.testing.assert_allclose(y.data, expected.item(), rtol=1e-10, atol=1e-10)
    # all three ways of walking: on arrays, to targets, recorded and then once more
    first = grad(y, mine, retain_graph=True, allow_unused=True)
    recorded = grad(y, mine, create_graph=True, allow_unused=True)
    peer_first = torch.autograd.grad(expected, peers, create_graph=True, allow_unused=True)
    for a, b, p in zip(first, recorded, peer_first, strict=True):
        assert (a is None) == (b is None) == (p is None)
        if p is not None:
            assert a.shape == tuple(p.shape)
            np.testing.assert_allclose(a.data, p.detach().numpy(), rtol=1e-9, atol=1e-10)
            np.testing.assert_allclose(b.data, p.detach().numpy(), rtol=1e-9, atol=1e-10)
    norm = sum(((g * g).sum() for g in recorded if g is not None), start=nbgrad.tensor(0.0))
    peer_norm = sum(((g * g).sum() for g in peer_first if g is not None), start=torch.tensor(0.0))
    norm.backward(retain_graph=True)
    peer_norm.backward()
    for x, p in zip(mine, peers, strict=True):
        assert (x.grad is None) == (p.grad is None)
        if p.grad is not None:
            np.testing.assert_allclose(x.grad.data, p.grad.numpy(), rtol=1e-8, atol=1e-8)
    # the first graph was not freed by all this
    before = [None if x.grad is None else x.grad.data.copy() for x in mine]
    y.backward()
    for x, b, g in zip(mine, before, first, strict=True):
        if g is not None:
            np.testing.assert_allclose(x.grad.data, b + g.data, rtol=1e-9, atol=1e-9)


# ---- dtypes and broadcasting -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("operation", [lambda a, b: a * b, lambda a, b: a + b, lambda a, b: b / a, lambda a, b: a - b])
def test_a_gradient_has_its_inputs_dtype(operation, create_graph):
    torch = peer("torch")
    single, double = np.array([1.5, 2.0, 3.0], np.float32), np.array([0.5, 1.0, 4.0])
    a, b = Variable(single), Variable(double)
    y = operation(a, b)
    assert y.dtype == np.float64
    (y * y + a).sum().backward(create_graph=create_graph)
    ta, tb = torch.tensor(single, requires_grad=True), torch.tensor(double, requires_grad=True)
    ty = operation(ta, tb)
    (ty * ty + ta).sum().backward()
    assert a.grad.dtype == np.float32 and b.grad.dtype == np.float64
    np.testing.assert_allclose(a.grad.data, ta.grad.numpy(), rtol=1e-6)
    np.testing.assert_allclose(b.grad.data, tb.grad.numpy(), rtol=1e-6)


def test_dtypes_through_matmul_and_cat_and_astype():
    a, b = Variable(np.ones((2, 2), np.float32)), Variable(np.ones((2, 2)))
    (a @ b).sum().backward()
    nbgrad.cat([a, b]).sum().backward()
    (a.astype(np.float64) * b).sum().backward()
    nbgrad.where(a.detach() > 0, a, b).sum().backward()
    assert a.grad.dtype == np.float32 and b.grad.dtype == np.float64
    np.testing.assert_array_equal(a.grad.data, np.full((2, 2), 5.0))
    np.testing.assert_array_equal(b.grad.data, np.full((2, 2), 4.0))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((), (3,)),
        ((1,), (3,)),
        ((3,), (2, 3)),
        ((1, 3), (2, 3)),
        ((2, 1), (2, 3)),
        ((2, 1), (1, 3)),
        ((1, 1, 1), (2, 3)),
        ((1, 2, 3), (2, 3)),
        ((1, 1), ()),
        ((4, 1, 3), (2, 1)),
        ((1,), (1, 1)),
        ((), ()),
    ],
)
def test_broadcasting_is_undone(first, second):
    torch = peer("torch")
    random = np.random.default_rng(0)
    arrays = random.uniform(0.5, 2, first), random.uniform(0.5, 2, second)
    for single in (False, True):  # float32 beside float64: half the bytes may hide another shape
        pair = (arrays[0].astype(np.float32), arrays[1]) if single else arrays
        mine = [Variable(array) for array in pair]
        peers = [torch.tensor(array, requires_grad=True) for array in pair]
        for a, b in (mine, peers):
            (a * b + a / b).sum().backward()
        recorded = [Variable(array) for array in pair]
        a, b = recorded
        (a * b + a / b).sum().backward(create_graph=True)
        for x, r, p in zip(mine, recorded, peers, strict=True):
            assert x.grad.shape == r.grad.shape == x.shape and x.grad.dtype == r.grad.dtype == x.dtype
            np.testing.assert_allclose(x.grad.data, p.grad.numpy(), rtol=1e-6 if single else 1e-12)
            np.testing.assert_allclose(r.grad.data, p.grad.numpy(), rtol=1e-6 if single else 1e-12)


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize(
    ("first", "second"), [((1, 0), (3, 0)), ((0,), (2, 0)), ((1,), (0,)), ((2, 1, 0), (0,)), ((0, 1), (0, 4))]
)
def test_broadcasting_of_empty_arrays_is_undone(first, second, create_graph):
    a, b = Variable(np.ones(first)), Variable(np.ones(second))
    (a * b + b).sum().backward(create_graph=create_graph)
    assert a.grad.shape == first and b.grad.shape == second
    np.testing.assert_array_equal(a.grad.data, np.zeros(first))


def test_empty_arrays_keep_their_dtype():
    a, b = Variable(np.ones(0, np.float32)), Variable(np.ones(0))
    (a * b).sum().backward()
    assert a.grad.dtype == np.float32 and b.grad.dtype == np.float64


# ---- what is refused -------------------------------------------------------------------------------------------------


def test_an_output_that_is_no_scalar_needs_a_cotangent():
    x = vector(1.0, 2.0)
    y = x * x
    with pytest.raises(RuntimeError, match=r"shape \(2,\) has no single gradient: reduce it first \(y\.sum\(\)\)"):
        y.backward()
    with pytest.raises(RuntimeError, match="has no single gradient"):
        grad(y, x)
    with pytest.raises(RuntimeError, match="has no single gradient"):
        Variable(np.zeros(0)).backward()
    y.backward(np.array([1.0, 10.0]))
    np.testing.assert_array_equal(x.grad.data, [2, 40])


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize(
    ("gradient", "kind", "message"),
    [
        (np.ones(3), ValueError, r"gradient has shape \(3,\), the output \(2,\)"),
        (np.ones((1, 2)), ValueError, r"gradient has shape \(1, 2\)"),
        (np.ones(1), ValueError, r"gradient has shape \(1,\)"),
        (1.0, ValueError, r"gradient has shape \(\)"),
        (np.ones(2, np.float32), TypeError, r"dtype float32, the output float64: convert it with astype\(float64\)"),
        (np.ones(2, np.int64), TypeError, "dtype int64"),
        (np.ones(2, bool), TypeError, "dtype bool"),
        (np.ones(2, complex), TypeError, "dtype complex128"),
        (nbgrad.ones(2).astype(np.float32), TypeError, "dtype float32"),
        (nbgrad.ones(3), ValueError, r"shape \(3,\)"),
        (["a", "b"], TypeError, "dtype <U1"),
    ],
)
def test_wrong_cotangents_are_named_and_nothing_is_lost(gradient, kind, message, create_graph):
    x = vector(1.0, 2.0)
    y = x * x
    with pytest.raises(kind, match=message):
        y.backward(gradient, create_graph=create_graph)
    with pytest.raises(kind, match=message):
        grad(y, x, [gradient], create_graph=create_graph)
    assert x.grad is None
    y.backward(np.ones(2))
    np.testing.assert_array_equal(x.grad.data, [2, 4])


@pytest.mark.parametrize("gradient", [3, 3.0, np.array(3.0), np.float64(3.0), nbgrad.tensor(3.0)])
def test_cotangents_of_scalars(gradient):
    x = scalar(2.0)
    (x * x).backward(gradient)
    assert x.grad.data == 12
    y = vector(2.0)
    (y * y).backward(gradient)
    np.testing.assert_array_equal(y.grad.data, [12.0])


def test_a_list_as_the_cotangent():
    x = vector(1.0, 2.0)
    (x * 2).backward([1.0, 2.0])
    np.testing.assert_array_equal(x.grad.data, [2, 4])


@pytest.mark.parametrize(
    "output",
    [
        nbgrad.tensor(1.0),
        nbgrad.tensor(1),
        nbgrad.tensor(1.0) * 2,
        Variable(np.array(2.0)) > 1,
        Variable(np.array("text")),
        Variable(np.array(2.0)).detach(),
        Variable(np.array(2.5)).astype(np.int64),
    ],
)
def test_nothing_to_differentiate(output):
    with pytest.raises(RuntimeError, match="nothing to differentiate"):
        output.backward()
    with pytest.raises(RuntimeError, match="nothing to differentiate"):
        grad(output, scalar(1.0))


def test_nothing_to_differentiate_under_no_grad():
    x = scalar(2.0)
    with nbgrad.no_grad():
        y = x * x
    with pytest.raises(RuntimeError, match=r"nothing to differentiate.*no_grad\(\)"):
        y.backward()


def test_operations_that_fail_leave_the_graph_usable():
    x = vector(1.0, 2.0)
    y = x * x
    for fail in (lambda: y + vector(1.0, 2.0, 3.0), lambda: y @ vector(1.0), lambda: y[5], lambda: y.reshape(3)):
        with pytest.raises((ValueError, IndexError)):
            fail()
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.data, [2, 4])


# ---- threads ---------------------------------------------------------------------------------------------------------


def test_threads_walk_graphs_of_their_own_and_a_shared_leaf():
    shared = vector(0.5, 1.5)

    def work(number):
        found = []
        for _ in range(20):
            x = vector(0.1 * number, 0.2)
            y = x
            for _ in range(30):
                y = nbgrad.tanh(y * shared + x)
            y.register_hook(lambda g: None)
            found.append([g.data.copy() for g in grad(y.sum(), [x, shared])])
        return found

    results = race(work, 4)
    for expected, *others in results:
        assert np.isfinite(expected).all() and np.any(expected)
        for found in others:
            np.testing.assert_array_equal(found, expected)
    np.testing.assert_raises(AssertionError, np.testing.assert_array_equal, results[0][0], results[3][0])


def test_threads_that_walk_one_graph_are_told_so():
    # the other thread is done at the worst moment: when this one has begun
    x = vector(1.0, 2.0)

    class Slow(Function):
        def forward(self, x):
            return x + 0

        def backward(self, gy):
            if not walked:
                walked.append(True)
                thread = threading.Thread(target=inner.backward, args=(np.ones(2),))
                thread.start()
                thread.join()
            return self.inputs[0].data * gy

    walked = []
    inner = Slow()(x)
    y = inner.sum()
    with pytest.raises(RuntimeError, match=r"was freed by an earlier backward.*retain_graph=True"):
        y.backward()
    np.testing.assert_array_equal(x.grad.data, [1, 2])
    (x * x).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [3, 6])


def test_many_threads_walk_one_graph():
    errors = []
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(100):
            x = vector(1.0, 2.0)
            y = x
            for _ in range(10):
                y = nbgrad.cat([y * x, y])[:2]
            inner = y.sum()
            errors += raced(lambda _, inner=inner: inner.backward(), 4)[1]
    finally:
        sys.setswitchinterval(interval)
    assert {type(error) for error in errors} <= {RuntimeError}
    assert all("freed by an earlier backward" in str(error) for error in errors)
