"""Functions with static methods and a context, as PyTorch has them, held against PyTorch itself."""

import gc
import weakref

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import Variable
from nbgrad.autograd import gradcheck

ROWS = np.random.default_rng(3).normal(size=(3, 4))


def classes(library, once_differentiable):
    """Write the same Functions for a library."""

    class Legendre(library.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return 0.5 * (5 * x**3 - 3 * x)

        @staticmethod
        def backward(ctx, gy):
            (x,) = ctx.saved_tensors
            return gy * 1.5 * (5 * x**2 - 1)

    class Exponential(library.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, gy):
            (y,) = ctx.saved_tensors
            return gy * y

    class Sorted(library.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            values, places = x.sort()
            ctx.mark_non_differentiable(places)
            ctx.save_for_backward(places)
            return values, places

        @staticmethod
        @once_differentiable
        def backward(ctx, gy, _):
            (places,) = ctx.saved_tensors
            gx = library.zeros_like(gy)
            return gx.scatter(-1, places, gy)

    class Scaled(library.autograd.Function):
        @staticmethod
        def forward(x, factor):
            return x * factor

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.factor = inputs[1]

        @staticmethod
        def backward(ctx, gy):
            assert ctx.needs_input_grad == (True, False)
            return gy * ctx.factor, None

    class Both(library.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            ctx.mark_non_differentiable(fixed := x * 3)
            return 2 * x, x * x, fixed

        @staticmethod
        def backward(ctx, first, second, _):
            (x,) = ctx.saved_tensors
            return 2 * first + 2 * x * second

    class Step(library.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return (x > 0).to(x.dtype)

        @staticmethod
        def backward(ctx, gy):
            return gy

    return Legendre, Exponential, Sorted, Scaled, Both, Step


LEGENDRE, EXPONENTIAL, SORTED, SCALED, BOTH, STEP = classes(nbgrad, nbgrad.autograd.function.once_differentiable)


def figures(library, once_differentiable):
    """Give values, gradients and gradients of gradients of all of them."""
    legendre, exponential, ordered, scaled, both, step = classes(library, once_differentiable)
    found = []

    def mixed(x):
        double, square, fixed = both.apply(exponential.apply(x))
        assert not fixed.requires_grad
        return double * square * fixed

    for f in (legendre.apply, exponential.apply, lambda x: scaled.apply(x, 3.0), lambda x: both.apply(x)[1], mixed):
        x = library.tensor(ROWS[0], requires_grad=True)
        y = f(x)
        (g,) = library.autograd.grad((y * y).sum(), x, create_graph=True)
        (g * g).sum().backward()
        found += [y, g, x.grad]
    x = library.tensor(ROWS[1], requires_grad=True)
    values, places = ordered.apply(x)
    assert not places.requires_grad
    ((values * library.arange(4)).sum() + (step.apply(x) * 2).sum()).backward()
    return [y.detach().numpy() for y in [*found, values, places, x.grad]]


def test_as_in_pytorch():
    torch = peer("torch")
    expected = figures(torch, torch.autograd.function.once_differentiable)
    for a, b in zip(figures(nbgrad, nbgrad.autograd.function.once_differentiable), expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12)


def test_every_transform_goes_through_the_rule():
    def f(x):
        return (LEGENDRE.apply(x) * EXPONENTIAL.apply(x)).sum()

    def plain(x):
        return (0.5 * (5 * x**3 - 3 * x) * np.exp(x)).sum()

    x = ROWS[0]
    for transform in (nbgrad.grad, nbgrad.hessian, lambda f: nbgrad.jit(nbgrad.grad(f))):
        np.testing.assert_allclose(transform(f)(x), transform(plain)(x), rtol=1e-12)
    np.testing.assert_allclose(nbgrad.vmap(nbgrad.grad(f))(ROWS), nbgrad.vmap(nbgrad.grad(plain))(ROWS), rtol=1e-12)
    np.testing.assert_allclose(nbgrad.jvp(f, (x,), (x,))[1], nbgrad.jvp(plain, (x,), (x,))[1], rtol=1e-12)
    np.testing.assert_array_equal(nbgrad.grad(lambda x: STEP.apply(x).sum())(x), np.ones(4))
    assert gradcheck(lambda x: BOTH.apply(x)[:2], (Variable(x.copy()),), order=2)


def test_what_is_kept_is_what_it_was():
    for apply, y in ((EXPONENTIAL.apply, "output"), (LEGENDRE.apply, "input")):
        x = Variable(ROWS[0].copy())
        given = x * 1
        result = apply(given)
        (result if y == "output" else given).mul_(2)
        with pytest.raises(RuntimeError, match="overwritten by mul_"):
            result.sum().backward()


def test_what_is_refused():
    x = Variable(ROWS[0].copy())
    values, _ = SORTED.apply(x)
    (g,) = nbgrad.autograd.grad((values * values).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match=r"second derivative goes through Sorted\.backward"):
        g.sum().backward()

    class Wrong(nbgrad.autograd.Function):
        @staticmethod
        def forward(ctx, x, factor, how="well"):
            if how == "dirty":
                ctx.mark_dirty(x)
            if how == "array":
                return x.data
            return x.mul_(factor) if how == "in place" else x * factor

        @staticmethod
        def backward(ctx, gy):
            return (gy, gy, gy) if ctx.needs_input_grad[0] else gy

    with pytest.raises(RuntimeError, match=r"Wrong\.backward gave a gradient for argument 1, no Variable"):
        Wrong.apply(x, 2.0, "well").sum().backward()
    with pytest.raises(RuntimeError, match=r"Wrong\.backward gave 1 gradients for 2 arguments"):
        Wrong.apply(2.0, x).sum().backward()
    with pytest.raises(NotImplementedError, match="mark_dirty"):
        Wrong.apply(x, 2.0, "dirty")
    with pytest.raises(TypeError, match=r"Wrong\.forward gave a ndarray"):
        Wrong.apply(x, 2.0, "array")
    with pytest.raises(ValueError, match="read-only"):
        Wrong.apply(x, 2.0, "in place")
    np.testing.assert_array_equal(x.data, ROWS[0])

    class Dynamic(nbgrad.Function):
        def forward(self, x):
            return x

    with pytest.raises(TypeError, match=r"call an instance, Dynamic\(\)\(x\)"):
        Dynamic.apply(x)


def test_nothing_is_recorded_where_nothing_is_to_be_and_nothing_holds_itself():
    with nbgrad.no_grad():
        assert not EXPONENTIAL.apply(Variable(ROWS[0])).requires_grad
    assert not EXPONENTIAL.apply(nbgrad.tensor(ROWS[0])).requires_grad
    y = EXPONENTIAL.apply(Variable(ROWS[0]))
    seen = weakref.ref(y)
    gc.disable()
    try:
        del y
        assert seen() is None
    finally:
        gc.enable()


def test_a_class_made_of_another_has_nodes_of_its_own():
    class Cube(nbgrad.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return 3 * x**2 * g

    class Straight(Cube):
        @staticmethod
        def backward(ctx, g):
            return g

    for kind, slope in ((Cube, 12.0), (Straight, 1.0), (Cube, 12.0)):
        x = nbgrad.tensor([2.0], requires_grad=True)
        kind.apply(x).backward()
        assert x.grad.item() == slope
