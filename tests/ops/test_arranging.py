"""What moves elements about: against torch, and what is refused."""

import numpy as np
import pytest
from cases import ANY, assert_same_as_torch, check_to_second_order, draw
from peers import peer

import nbgrad
from nbgrad import Variable

#: Calls by the name of the method or function, with a shape.
METHODS = {
    "movedim": ((2, 3, 4), (0, 2)),
    "moveaxis": ((2, 3, 4), ((0, 1), (-1, 0))),
    "swapdims": ((2, 3, 4), (0, -1)),
    "ravel": ((2, 3), ()),
    "unflatten": ((6, 2), (0, (2, -1))),
    "roll": ((3, 4), ((1, -6), (0, 1))),
    "rot90": ((2, 3, 4), (3, (0, 2))),
    "repeat": ((2, 3), (2, 1, 2)),
    "tile": ((2, 3), ((2,),)),
    "repeat_interleave": ((2, 3), (2, 1)),
    "unbind": ((2, 3), (1,)),
    "narrow": ((4, 3), (0, -3, 2)),
    "select": ((4, 3), (1, -1)),
    "unfold": ((2, 7), (1, 3, 2)),
    "as_strided": ((3, 4), ((2, 2), (1, 3), 1)),
    "hsplit": ((2, 4), (2,)),
    "split_with_sizes": ((5, 2), ([2, 3],)),
    "view_as": ((2, 3), (np.zeros((3, 2)),)),
    "sum_to_size": ((2, 3), (1, 3)),
    "adjoint": ((2, 3), ()),
}
JOINING = {
    "hstack": [(2, 3), (2, 1)],
    "vstack": [(3,), (2, 3)],
    "dstack": [(2, 3), (2, 3)],
    "column_stack": [(2,), (2, 3)],
}
SEVERAL = {
    "block_diag": [(2, 3), (2,), ()],
    "meshgrid": [(2,), (3,)],
    "cartesian_prod": [(2,), (3,)],
    "broadcast_tensors": [(2, 1), (3,)],
    "atleast_3d": [(2,), (2, 3)],
}


def joined(module, found):
    """Give results as one, so that all of them have a gradient."""
    if isinstance(found, tuple | list):
        return module.cat([x.reshape(-1) for x in found])
    return found


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_torchs(name):
    shape, arguments = METHODS[name]

    def there(t, x):
        return joined(t, getattr(x, name)(*[t.tensor(a) if isinstance(a, np.ndarray) else a for a in arguments]))

    assert_same_as_torch(lambda x: joined(nbgrad, getattr(x, name)(*arguments)), there, [draw(ANY, shape)])


@pytest.mark.parametrize("name", [*JOINING, *SEVERAL])
def test_functions_of_several_are_torchs(name):
    arrays = [draw(ANY, shape, seed=i) for i, shape in enumerate(JOINING.get(name) or SEVERAL[name])]

    def call(module, xs):
        function = getattr(module, name)
        options = {"indexing": "xy"} if name == "meshgrid" else {}
        return joined(module, function(list(xs)) if name in JOINING else function(*xs, **options))

    assert_same_as_torch(lambda *xs: call(nbgrad, xs), lambda t, *xs: call(t, xs), arrays)


def test_gradients_agree_with_differences():
    def together(x):
        parts = [x.roll(1), x.rot90().ravel(), x.repeat_interleave(2, 0).tile(2), *x.unfold(0, 2, 1).unbind()]
        return nbgrad.cat([part.reshape(-1) ** 2 for part in parts])

    check_to_second_order(together, [draw(ANY, (3, 2))])


def test_compiled_they_are_the_same(kernels):
    def program(x):
        y = nbgrad.roll(x.movedim(0, 1), 1, 0).rot90().tile((1, 2))
        z = nbgrad.block_diag(x, x.unflatten(0, (3, 1)).ravel()) if x.ndim == 2 else x
        return (y * y).sum() + (z * z * z).sum() + nbgrad.cartesian_prod(x[0], x[1]).prod()

    x = draw(ANY, (3, 2))
    value, slope = nbgrad.jit(nbgrad.value_and_grad(program))(x)
    expected, gradient = nbgrad.value_and_grad(program)(x)
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    np.testing.assert_allclose(slope, gradient, rtol=1e-12)


def test_arrays_give_arrays_and_copies_are_copies():
    x = np.arange(6.0).reshape(2, 3)
    assert type(nbgrad.roll(x, 1, 0)) is np.ndarray
    for name, arguments in {"t": (), "unbind": (), "view": (3, 2), "narrow": (0, 0, 1)}.items():
        found = getattr(nbgrad, f"{name}_copy")(Variable(x), *arguments)
        assert not np.shares_memory((found[0] if isinstance(found, tuple) else found).data, x)


def test_a_method_takes_part_in_the_graph_when_it_is_first_asked_for():
    torch = peer("torch")
    x = Variable(np.arange(3.0))
    x.repeat(2).sum().backward()
    np.testing.assert_array_equal(x.grad.data, torch.full((3,), 2.0))


X = nbgrad.ones(2, 3)
REFUSALS = {
    "movedim": (lambda: X.movedim((0, 1), 0), ValueError, "movedim: from .* give as many, and none twice"),
    "unflatten": (lambda: X.unflatten(1, (2, 2)), ValueError, r"unflatten: sizes \(2, 2\) do not fill 3 elements"),
    "roll": (lambda: X.roll((1, 2), 0), ValueError, r"roll: shifts \(1, 2\) of dimensions \(0,\)"),
    "rot90": (lambda: X.rot90(1, (0, 0)), ValueError, "rot90: dims .* are one dimension"),
    "repeat": (lambda: X.repeat(2), ValueError, r"repeat: \(2,\) times shape \(2, 3\)"),
    "interleave": (lambda: X.repeat_interleave(nbgrad.tensor([1, 2]), 1), ValueError, "repeats .* for 3 elements"),
    "unbind": (lambda: X.unbind(2), IndexError, "unbind: dimension 2 is out of range"),
    "narrow": (lambda: X.narrow(1, 1, 3), ValueError, "narrow: 3 elements from 1 on, and there are 3"),
    "start": (lambda: X.narrow(1, 4, 0), IndexError, "narrow: start 4 is out of range"),
    "select": (lambda: X.select(1, 3), IndexError, "select: 3 is out of range for 3 elements"),
    "unfold": (lambda: X.unfold(1, 4, 1), ValueError, "unfold: pieces of 4 elements, 1 apart, of 3"),
    "strided": (lambda: X.as_strided((3, 3), (2, 1)), ValueError, "as_strided: places from 0 to 6 of 6 elements"),
    "hsplit": (lambda: X.hsplit(2), ValueError, "hsplit: 2 pieces of 3 elements are not equal"),
    "blocks": (lambda: nbgrad.block_diag(X[None]), ValueError, r"block_diag: shape \(1, 2, 3\): takes matrices"),
    "grid": (lambda: nbgrad.meshgrid(X), ValueError, r"meshgrid: shape \(2, 3\): takes vectors"),
    "nothing": (lambda: nbgrad.hstack([]), ValueError, "hstack: nothing to join"),
    "one": (lambda: nbgrad.vstack(X), TypeError, "vstack: takes a sequence"),
    "broadcast": (
        lambda: nbgrad.broadcast_tensors(X, X.T),
        ValueError,
        "shapes .* do not broadcast",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name):
    work, kind, message = REFUSALS[name]
    with pytest.raises(kind, match=message):
        work()
