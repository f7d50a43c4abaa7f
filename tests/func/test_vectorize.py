"""vmap: what it does besides the operations, which test_operations has."""

from dataclasses import dataclass

import cases
import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import Variable
from nbgrad.func import grad, hessian, jacfwd, jacobian, jacrev, jvp, vmap
from nbgrad.nn import functional as F

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")

X, W = cases.draw(cases.ANY, (4, 3)), cases.draw(cases.ANY, (3, 2))


def test_dimensions_in_and_out():
    f = lambda a, b: a * 2 + b  # noqa: E731
    expected = X * 2 + X[::-1]
    np.testing.assert_array_equal(vmap(f)(X, X[::-1]), expected)
    np.testing.assert_array_equal(vmap(f, (1, 0))(X.T, X[::-1]), expected)
    np.testing.assert_array_equal(vmap(f, (-1, 0), 1)(X.T, X[::-1]), expected.T)
    np.testing.assert_array_equal(vmap(f, (0, None))(X, X[0]), X * 2 + X[0])
    found = vmap(lambda p, n: {"a": p["x"] + p["y"][0], "b": (n,)}, ({"x": 1, "y": (None, 0)}, None), {"a": 1, "b": 0})(
        {"x": X.T, "y": (X[0], X)}, 5
    )
    np.testing.assert_array_equal(found["a"], (X + X[0]).T)
    np.testing.assert_array_equal(found["b"][0], [5] * 4)
    np.testing.assert_array_equal(vmap(lambda x, k: x * k["k"], (0, {"k": None}))(X, {"k": 2.0}), X * 2)
    np.testing.assert_array_equal(vmap(lambda x, *, y: x * y)(X, y=X), X * X)
    assert vmap(lambda x, name: (x.sum(), None, name == "n"))(X, "n")[1] is None


def test_what_is_the_same_for_all_is_computed_once():
    shapes = []

    class Noted(nbgrad.Function):
        batches = True

        def forward(self, x):
            shapes.append(getattr(x, "value", x).shape)
            return x * 2

        def backward(self, gy):
            return gy * 2

    vmap(lambda x, w: x @ Noted()(w), (0, None))(X, nbgrad.tensor(W))
    assert shapes == [(3, 2)]


def test_gradients_for_each_example_agree_with_torch():
    torch = peer("torch")

    def loss(m, w, b, x, y):
        return ((m.tanh(x @ w) @ b - y) ** 2).sum()

    random = np.random.default_rng(0)
    xs, w, b, y = random.normal(size=(4, 3)), random.normal(size=(3, 2)), np.ones(2), np.arange(4.0)
    found = vmap(grad(lambda *a: loss(nbgrad, *a), (0, 1)), (None, None, 0, 0))(w, b, xs, y)
    theirs = torch.func.vmap(torch.func.grad(lambda *a: loss(torch, *a), (0, 1)), (None, None, 0, 0))
    for mine, other in zip(found, theirs(*map(torch.tensor, (w, b, xs, y))), strict=True):
        assert type(mine) is np.ndarray
        np.testing.assert_allclose(mine, other.numpy(), rtol=1e-11)
    compiled = nbgrad.jit(vmap(grad(lambda *a: loss(nbgrad, *a), (0, 1)), (None, None, 0, 0)))
    for mine, other in zip(found, compiled(w, b, xs, y), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-11)


def test_a_gradient_inside_is_each_examples_own_and_one_outside_that_of_all():
    by_each = vmap(lambda x: grad(lambda w: nbgrad.tanh(x @ w).sum())(W))(X)
    assert by_each.shape == (4, 3, 2)
    by_all = grad(lambda w: vmap(lambda x: nbgrad.tanh(x @ w).sum())(X).sum())(W)
    np.testing.assert_allclose(by_all, by_each.sum(0), rtol=1e-12)
    weights = Variable(W.copy())
    vmap(lambda x: nbgrad.tanh(x @ weights).sum())(X).sum().backward()
    np.testing.assert_allclose(weights.grad.data, by_all, rtol=1e-12)
    # one that does not depend on the examples counts for each of them
    scale = Variable(np.array(3.0))
    vmap(lambda x: scale * scale)(X).sum().backward()
    assert scale.grad.data == 4 * 6
    mixed = grad(lambda w: (vmap(lambda x: w * w + (x * w).sum() + w)(X) * np.arange(4.0)).sum())(2.0)
    np.testing.assert_allclose(mixed, 6 * 5 + (X.sum(1) * np.arange(4.0)).sum())


def test_weights_that_all_share_get_one_product():
    """Outer products of each example, which a walk adds up at the end, are never made."""
    f = lambda w: vmap(lambda x: nbgrad.tanh(x @ w).sum())(X).sum()  # noqa: E731
    told = nbgrad.jit(grad(f)).explain(W)
    assert "(4, 3, 2)" not in told and told.count("dot") == 2
    stacks = cases.draw(cases.ANY, (4, 5, 3))
    g = lambda w: (vmap(lambda x: vmap(lambda y: nbgrad.tanh(y @ w) * y[0])(x) @ w.T)(stacks) ** 2).sum()  # noqa: E731
    plain = lambda w: ((nbgrad.tanh(stacks @ w) * stacks[..., :1] @ w.T) ** 2).sum()  # noqa: E731
    np.testing.assert_allclose(grad(g)(W), grad(plain)(W), rtol=1e-10)
    np.testing.assert_allclose(jvp(grad(g), (W,), (W,))[1], jvp(grad(plain), (W,), (W,))[1], rtol=1e-10)
    both = lambda w: vmap(lambda x: jacrev(lambda z: nbgrad.tanh(z @ w))(x))(X).sum()  # noqa: E731
    by_hand = lambda w: ((1 - nbgrad.tanh(X @ w) ** 2) * w.sum(0)).sum()  # noqa: E731
    np.testing.assert_allclose(grad(both)(W), grad(by_hand)(W), rtol=1e-10)
    third = lambda w: vmap(lambda x: jacrev(grad(lambda z: nbgrad.tanh(z @ w).sum()))(x))(X).sum()  # noqa: E731
    fourth = lambda w: (  # noqa: E731
        -2 * nbgrad.tanh(X @ w) * (1 - nbgrad.tanh(X @ w) ** 2) * w.sum(0) ** 2
    ).sum()
    np.testing.assert_allclose(grad(third)(W), grad(fourth)(W), rtol=1e-10)


def test_unit_vectors_stay_vectors():
    """Bands and diagonals cost as many numbers as they have, and are spread out at the end."""
    x, w = cases.draw(cases.ANY, (40,)), cases.draw(cases.ANY, (40, 30))

    def banded(x):
        return ((x[1:] - x[:-1] ** 2) ** 2).sum() + (x[3:] * x[:-3]).prod()

    told = nbgrad.jit(jacobian(lambda x: nbgrad.tanh(x[2:] * x[:-2]))).explain(x)
    assert told.count("(38, 40)") == 1 and "where" in told
    told = nbgrad.jit(jacrev(lambda x: nbgrad.tanh(x @ w))).explain(x)
    assert told.count("dot") == 1  # of x and w, and none of matrices
    told = nbgrad.jit(hessian(lambda x: ((x[1:] - x[:-1] ** 2) ** 2).sum())).explain(x)
    assert told.count("(40, 40)") == 1 and told.count("3 x where") == 1
    for f in (
        banded,
        lambda x: nbgrad.tanh(x @ w) * 2,
        lambda x: nbgrad.tanh(w.T @ x),
        lambda x: nbgrad.exp(x.reshape(8, 5)).sum(1),
        lambda x: x.reshape(8, 5).T[1:, ::2] / (x.sum() + 20),
        lambda x: nbgrad.cat([x[5:], x[:5]]) - x.astype(np.float32).astype(np.float64)[::-1],
        lambda x: x[np.array([3, 3, 0, 39])] * x[7],
        lambda x: nbgrad.where(x > 0, x * 3, 0 - x) * x[:, None] + x,
        lambda x: vmap(lambda y: y[0] * y)(x.reshape(8, 5)),
    ):
        expected = jacrev(f, chunk_size=1)(x)  # of one example each, which is none of many places
        for transform in (jacfwd, jacrev):
            np.testing.assert_allclose(transform(f)(x), expected, rtol=1e-12, atol=1e-14)
            np.testing.assert_allclose(transform(f, chunk_size=9)(x), expected, rtol=1e-12, atol=1e-14)
        two = np.stack([x, x * 0.5])
        np.testing.assert_allclose(vmap(jacfwd(f))(two)[0], expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("transform", [jacfwd, jacrev])
def test_what_is_nobodys_stays_zero(transform):
    found = transform(nbgrad.sqrt)(np.array([0.0, 4.0]))
    np.testing.assert_array_equal(found, [[np.inf, 0], [0, 0.25]])


def test_a_function_of_ones_own_is_not_taken_for_the_product():
    other = nbgrad.elementwise(lambda x, y: x * y * 2.0, name="mul")
    f = lambda x: other(x[:, None], x[None, :])  # noqa: E731
    np.testing.assert_allclose(vmap(f)(X), 2 * X[:, :, None] * X[:, None, :])


def test_infinite_slopes_are_found_among_many():
    with nbgrad.autograd.detect_anomaly():
        np.testing.assert_allclose(jacrev(lambda x: nbgrad.exp(x) * 2)(X[0]), np.diag(2 * np.exp(X[0])))
        with pytest.raises(RuntimeError, match="sqrt"):
            jacrev(lambda x: nbgrad.sqrt(x * 0.0))(X[0])


def test_second_derivatives_through_it():
    f = lambda w: (vmap(lambda x: nbgrad.tanh(x @ w).prod())(X) ** 2).sum()  # noqa: E731
    plain = lambda w: (nbgrad.tanh(X @ w).prod(1) ** 2).sum()  # noqa: E731
    v = W[::-1]
    expected = grad(lambda w: (grad(plain)(w) * v).sum())(W)
    np.testing.assert_allclose(grad(lambda w: (grad(f)(w) * v).sum())(W), expected, rtol=1e-10)
    np.testing.assert_allclose(jvp(grad(f), (W,), (v,))[1], expected, rtol=1e-10)
    np.testing.assert_allclose(jacrev(grad(f))(W), jacrev(grad(plain))(W), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("each", [lambda x: nbgrad.softmax(x, -1) * W[:, 0], lambda x: nbgrad.cumprod(x, -1)])
def test_tangents_after_the_examples_have_their_own(each):
    """Tangents that follow from a rule back are no sums over the examples, whose run is over by then."""
    _, found = jvp(grad(lambda x: vmap(each)(x).sum()), (X,), (X[::-1],))
    _, expected = jvp(grad(lambda x: each(x).sum()), (X,), (X[::-1],))
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)
    total = lambda x: (each(x) * x).sum()  # noqa: E731
    np.testing.assert_allclose(jacfwd(jacfwd(total))(X[0]), jacfwd(grad(total))(X[0]), rtol=1e-12, atol=1e-14)


def test_convolutions_of_many_examples_of_many():
    x, w = cases.draw(cases.ANY, (2, 3, 1, 1, 5)), nbgrad.ones(2, 1, 3)
    f = lambda x: F.conv1d(nbgrad.as_tensor(x), w)  # noqa: E731
    np.testing.assert_allclose(vmap(vmap(f))(x).data, np.stack([[f(b).data for b in a] for a in x]), rtol=1e-12)


def test_nested():
    np.testing.assert_array_equal(vmap(vmap(lambda a: a * a))(X), X * X)
    np.testing.assert_allclose(vmap(lambda a: vmap(lambda b: a @ b)(X))(X), X @ X.T)
    np.testing.assert_allclose(vmap(lambda a: vmap(lambda b: a * b, in_dims=1)(W), (0,))(X), X[:, None] * W.T[None])
    outer = vmap(lambda a: grad(lambda a: vmap(lambda b: nbgrad.tanh(a @ b))(X).sum())(a))(X)
    np.testing.assert_allclose(outer, (1 - np.tanh(X @ X.T) ** 2) @ X, rtol=1e-12)
    cube = vmap(vmap(vmap(lambda x: x[0] * x.sum())))(cases.draw(cases.ANY, (2, 3, 4, 5)))
    x = cases.draw(cases.ANY, (2, 3, 4, 5))
    np.testing.assert_allclose(cube, x[..., 0] * x.sum(-1))


def test_variables_in_variables_out():
    x = Variable(X.copy())
    y = vmap(lambda v: v @ v)(x)
    assert isinstance(y, Variable)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.data, 2 * X)
    assert type(vmap(lambda v: v @ v)(X)) is np.ndarray
    mixed = vmap(lambda v, w: (v * 2, w * 2))(x, X)
    assert isinstance(mixed[0], Variable) and type(mixed[1]) is np.ndarray


def test_dimensions_of_dataclasses():
    @dataclass
    class Layer:
        w: object
        b: object

    found = vmap(lambda p, x: p.w * x + p.b, (Layer(1, None), 0))(Layer(X.T, X[0]), X)
    np.testing.assert_array_equal(found, X * X + X[0])


def test_chunks_that_differ_are_refused():
    for results in ([lambda x: x[:1], lambda x: x[:2]], [lambda x: x, lambda x: (x,)]):
        left = iter(results)
        with pytest.raises(ValueError, match="gave another structure, or other shapes, for examples 2 to 3"):
            vmap(lambda x: next(left)(x), chunk_size=2)(X)  # noqa: B023


@pytest.mark.parametrize("chunk_size", [1, 3, 4, 100])
def test_chunks(chunk_size):
    sizes = []
    f = lambda x, w: (sizes.append(x.level.size), x @ w)[1]  # noqa: E731
    np.testing.assert_allclose(vmap(f, (1, None), 1, chunk_size=chunk_size)(X.T, W), (X @ W).T)
    assert sum(sizes) == 4 and max(sizes) == min(chunk_size, 4)
    x = Variable(X.copy())
    vmap(lambda v: v @ v, chunk_size=chunk_size)(x).sum().backward()
    np.testing.assert_allclose(x.grad.data, 2 * X)


def test_random_numbers():
    draw = lambda x: x * 0 + nbgrad.randn(3)  # noqa: E731
    with pytest.raises(TypeError, match=r"vmap: random numbers .* at .*test_vectorize.py.* is 'error'"):
        vmap(draw)(X)
    nbgrad.manual_seed(1)
    same = vmap(draw, randomness="same")(nbgrad.tensor(X)).data
    assert (same == same[0]).all()
    nbgrad.manual_seed(1)
    different = vmap(draw, randomness="different")(nbgrad.tensor(X)).data
    assert len(np.unique(different)) == 12
    nbgrad.manual_seed(1)
    np.testing.assert_array_equal(different, nbgrad.randn(4, 3).data)
    each = lambda f: vmap(f, randomness="different")  # noqa: E731
    twice = each(each(lambda x: x * 0 + nbgrad.rand(2)))(nbgrad.tensor(X))
    assert twice.shape == (4, 3, 2) and len(np.unique(twice.data)) == 24
    nbgrad.manual_seed(1)
    np.testing.assert_array_equal(nbgrad.jit(vmap(draw, randomness="different"))(X), different)


def test_writing_in_place():
    def f(x):
        y = x * 1.0
        y[0] = 5.0
        y[1:] += x[:2]
        return y

    expected = np.stack([f(nbgrad.tensor(x)).data for x in X])
    np.testing.assert_array_equal(vmap(f)(nbgrad.tensor(X)).data, expected)
    x = Variable(X.copy())
    vmap(f)(x).sum().backward()
    np.testing.assert_array_equal(x.grad.data, [[1, 2, 1]] * 4)
    with pytest.raises(TypeError, match=r"vmap: an array was changed in place at .*which is an argument"):
        vmap(lambda x: x.mul_(2.0))(nbgrad.tensor(X))


def test_no_examples_and_one():
    assert vmap(lambda x: x @ W)(X[:0]).shape == (0, 2)
    assert vmap(grad(lambda x: (x @ W).sum()))(X[:0]).shape == (0, 3)
    np.testing.assert_allclose(vmap(lambda x: x @ W)(X[:1]), X[:1] @ W)
    np.testing.assert_allclose(grad(lambda w: vmap(lambda x: (x @ w).sum())(X[:1]).sum())(W), X[:1].T @ np.ones((1, 2)))


def test_what_goes_one_by_one_is_told():
    f = vmap(lambda x, k: np.searchsorted(np.arange(3.0), x) + np.tanh(x))
    assert f.explain(X, X) == "<lambda>: one by one are computed\n    np.searchsorted"
    np.testing.assert_array_equal(f(X, X), np.stack([np.searchsorted(np.arange(3.0), x) + np.tanh(x) for x in X]))
    assert vmap(lambda x: nbgrad.tanh(x @ W)).explain(X) == "<lambda>: everything at once"
    assert "loop over 4 examples of np.searchsorted" in nbgrad.jit(f).explain(X, X)


def test_methods_and_names():
    class Model:
        def __init__(self):
            self.scale = 3.0

        @vmap
        def scaled(self, x):
            """Scale."""
            return x * self.scale

    np.testing.assert_array_equal(Model().scaled(X), X * 3)
    assert Model.scaled.__doc__ == "Scale."


def branch(x):
    return x if x.sum() > 0 else -x


def mask(x):
    return x[x > 0]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: vmap(branch)(X), TypeError, r"vmap: a branch .* of shape \(\).* at .*test_vectorize.py"),
        (lambda: vmap(branch)(nbgrad.tensor(X)), TypeError, "vmap: a branch"),
        (lambda: vmap(mask)(X), TypeError, "vmap: an index of truth values.*depends on elements"),
        (lambda: vmap(np.unique)(np.round(X)), TypeError, "vmap: np.unique gives shapes .* which depend on elements"),
        (lambda: vmap(lambda x: float(x.sum()))(X), TypeError, r"vmap: float\(\)"),
        (lambda: vmap(lambda x: x)(3.0), ValueError, "in_dims has 0 for argument 0, the number 3.0"),
        (lambda: vmap(lambda x, y: x, (0, 5))(X, X), ValueError, r"in_dims has 5 for argument 1, shape \(4, 3\)"),
        (lambda: vmap(lambda x, y: x, (0,))(X, X), ValueError, r"in_dims \[0\] does not fit the arguments, 2 of them"),
        (lambda: vmap(lambda x: x, ({"a": 0},))({"b": X}), ValueError, "in_dims {'a': 0} does not fit"),
        (lambda: vmap(lambda x, y: x)(X, X[:2]), ValueError, "different numbers of examples: 4 in argument 0, 2 in"),
        (lambda: vmap(lambda x: x, None)(X), ValueError, "has no argument with examples"),
        (lambda: vmap(lambda x: x, 0, 7)(X), ValueError, "out_dims has 7 for a result of shape"),
        (lambda: vmap(lambda x: x, 0, (0, 0))(X), ValueError, "out_dims .* does not fit the results"),
        (lambda: vmap(lambda x: "text")(X), TypeError, "vmap: <lambda> gave a str"),
        (lambda: vmap(lambda x: x, randomness="none"), ValueError, "randomness is 'none'"),
        (lambda: vmap(lambda x: x, chunk_size=0), ValueError, "chunk_size is 0"),
        (lambda: vmap(3), TypeError, "int is no function"),
        (lambda: vmap(lambda x: x @ W[:2])(X), ValueError, r"matmul: shapes"),
        (lambda: vmap(lambda x: x[7])(X), IndexError, "index 7"),
    ],
)
def test_bad_input(call, error, message):
    with pytest.raises(error, match=message):
        call()
    np.testing.assert_array_equal(vmap(lambda x: x * 2)(X), X * 2)  # and all is as before


def test_errors_leave_nothing_behind():
    import gc

    from nbgrad import arrays, sharing
    from nbgrad.generator import traced_draw

    before = set(arrays.levels)
    with pytest.raises(LookupError):
        vmap(lambda x: {}[0])(X)
    assert sharing.stand_ins == 0 and traced_draw.get() is None
    kept = vmap(lambda x: x * 2)(Variable(X.copy()))
    assert len(arrays.levels - before) == 1  # the graph has it
    del kept
    gc.collect()
    assert arrays.levels <= before


def test_ones_own_loops_go_one_by_one():
    @nbgrad.njit
    def cubes(x):
        total = 0.0
        for i in range(x.shape[0]):
            total += x[i] ** 3
        return total

    np.testing.assert_allclose(vmap(lambda x: cubes(x))(nbgrad.tensor(X)).data, (X**3).sum(1))
    np.testing.assert_allclose(vmap(grad(lambda x: cubes(x)))(X), 3 * X**2)
    np.testing.assert_allclose(nbgrad.hessian(lambda x: cubes(x))(X[0]), np.diag(6 * X[0]))
    assert "njit cubes" in vmap(lambda x: cubes(x)).explain(nbgrad.tensor(X))


def test_writes_of_examples_to_what_is_outside_are_refused_and_taken_back():
    total, count = nbgrad.zeros(3), nbgrad.zeros(())
    rows = np.arange(6.0).reshape(2, 3)

    def adds(x):
        count.add_(1)
        total.add_(x)
        return x

    def puts(x):
        total[0] = x.sum()
        return x

    for function in (adds, puts, lambda x: nbgrad.vmap(adds)(nbgrad.stack([x, x]))):
        with pytest.raises(TypeError, match=r"vmap: .* writes what differs .* shape \(3,\) from outside"):
            nbgrad.vmap(function)(nbgrad.tensor(rows))
        assert total.tolist() == [0, 0, 0] and count.item() == 0

    norm = nbgrad.nn.BatchNorm1d(3, dtype=np.float64)
    with pytest.raises(TypeError, match="track_running_stats=False"):
        nbgrad.vmap(norm)(nbgrad.tensor(np.stack([rows, rows])))
    assert norm.running_mean.tolist() == [0, 0, 0] and norm.num_batches_tracked.item() == 0

    def within(x):  # is no Variable from outside, and what is the same for all may be written
        made = nbgrad.zeros(3)
        made[1] = x[0]
        count.add_(1)
        return made

    assert nbgrad.vmap(within)(nbgrad.tensor(rows)).tolist() == [[0, 0, 0], [0, 3, 0]]
    assert count.item() == 1
