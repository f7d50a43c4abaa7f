"""Products and loops that go through the lines of a matrix together."""

import numpy as np
import pytest

import nbgrad
from nbgrad import nn, value_and_grad
from nbgrad.kernels.cpu import chain

pytestmark = pytest.mark.usefixtures("kernels")

RANDOM = np.random.default_rng(0)
X, W, Y = RANDOM.normal(size=(83, 19)), RANDOM.normal(size=19) / 4, RANDOM.normal(size=83)


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch):
    """Have blocks of eight lines, of which two or more have one sum."""
    monkeypatch.setattr(chain, "_BYTES", 8 * X[0].nbytes)
    monkeypatch.setattr(chain, "BLOCKS", 5)


def ridge(w, x, y):
    return ((x @ w - y) ** 2).mean() + 0.1 * (w**2).sum()


def logistic(w, x, y):
    score = x @ w + 0.2
    return (nbgrad.log(1 + nbgrad.exp(score)) - y * score).mean()


def from_the_left(w, x, y):
    return (nbgrad.tanh(w @ x.T) * y).sum()


def in_columns(w, x, y):
    return ((x.reshape(19, 83).T @ w - y) ** 2).sum()  # lines are what is added up already


def with_predictions(w, x, y):
    found = x @ w
    return ((found - y) ** 2).sum() + found[::2].sum() * found.max()


PROGRAMS = [ridge, logistic, from_the_left]


def steps(function, *arrays):
    """Count the steps that go through lines together."""
    return nbgrad.jit(function).explain(*arrays).count("in lines")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_values_and_gradients(program, dtype):
    arrays = [each.astype(dtype) for each in (W, X, Y)]
    gradient = value_and_grad(program, (0, 2))
    assert steps(gradient, *arrays) == 1
    found, wanted = nbgrad.jit(gradient)(*arrays), gradient(*arrays)
    for one, other in zip((found[0], *found[1]), (wanted[0], *wanted[1]), strict=True):
        assert one.dtype == dtype
        np.testing.assert_allclose(one, other, 1e-4 if dtype == "float32" else 1e-12, 1e-6)


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_gradients_of_gradients_and_tangents(program):
    def slopes(w, x, y):
        return (nbgrad.grad(program)(w, x, y) ** 2).sum()

    second = value_and_grad(slopes)
    found, wanted = nbgrad.jit(second)(W, X, Y), second(W, X, Y)
    np.testing.assert_allclose(found[1], wanted[1], 1e-10)

    def along(w, x, y):
        return nbgrad.func.jvp(nbgrad.grad(program), (w, x, y), (y[:19], x, y))[1]

    np.testing.assert_allclose(nbgrad.jit(along)(W, X, Y), along(W, X, Y), 1e-10)


@pytest.mark.parametrize("rows", [16, 17, 79, 80, 81])
def test_last_blocks_of_any_length(rows):
    given = W, X[:rows].copy(), Y[:rows]
    gradient = value_and_grad(ridge)
    assert steps(gradient, *given) == 1
    np.testing.assert_allclose(nbgrad.jit(gradient)(*given)[1], gradient(*given)[1], 1e-12)


def test_what_comes_of_the_elements_may_be_results():
    def both(w, x, y):
        found = x @ w
        rest = found - y
        return found, rest, rest @ x, rest.sum()

    assert steps(both, W, X, Y) == 1
    jitted = nbgrad.jit(both)
    for _ in range(2):
        for one, other in zip(jitted(W, X, Y), both(W, X, Y), strict=True):
            np.testing.assert_allclose(one, other, 1e-12, 1e-13)


def elsewhere(w, x, y):
    return (x @ w)[::-1] * y @ x


def turned(w, x, y):
    return (x @ w - y)[::-1] @ x


def after_the_sum(w, x, y):
    rest = x @ w - y
    return (rest * rest.sum()) @ x


def after_the_largest(w, x, y):
    score = x @ w
    weights = nbgrad.exp(score - score.max())
    return weights @ x / weights.sum() + y[:19]


def of_one_row(w, x, y):
    return ((x @ w) * np.stack([y, 2 * y]))[0] @ x


def of_other_lines(w, x, y):
    return (x @ w - y)[:19] @ x[:19]


def of_a_matrix_from_it(w, x, y):
    rest = x @ w - y
    return rest @ (x * rest[:, None])


def short(w, x, y):
    return (x[:8] @ w - y[:8]) @ x[:8]


OTHERS = [elsewhere, turned, after_the_sum, after_the_largest, of_one_row, of_other_lines, of_a_matrix_from_it, short]


@pytest.mark.parametrize("program", [*OTHERS, value_and_grad(in_columns), value_and_grad(with_predictions)])
def test_what_reads_other_lines_waits_for_them(program):
    assert not steps(program, W, X, Y)
    found, wanted = nbgrad.jit(program)(W, X, Y), program(W, X, Y)
    for one, other in zip(
        found if isinstance(found, tuple) else [found], wanted if isinstance(wanted, tuple) else [wanted], strict=True
    ):
        np.testing.assert_allclose(one, other, 1e-11)


def test_arguments_that_results_are_written_over_are_read_before():
    square = RANDOM.normal(size=(40, 40))

    def both(w, x, y):
        rest = nbgrad.tanh(x @ w - y)
        return rest, rest @ x

    given = [square[0].copy(), square.copy(), square[1].copy()]
    wanted = both(*given)
    for one, other in zip(nbgrad.jit(both, donate_argnums=(0, 2))(*given), wanted, strict=True):
        np.testing.assert_allclose(one, other, 1e-12)


def test_kept_values_are_read_before_they_are_written_over():
    square = RANDOM.normal(size=(40, 40))

    class Carrying(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("state", nbgrad.tensor(square[0].copy()))

        def forward(self, x):
            self.state = nbgrad.tanh(x @ self.state)
            return self.state @ x

    plain, carrying = Carrying(), Carrying()
    compiled = nbgrad.jit(lambda x: carrying(x))
    for _ in range(3):
        np.testing.assert_allclose(compiled(square), plain(square).data, 1e-11)
        np.testing.assert_allclose(carrying.state.data, plain.state.data, 1e-11)
