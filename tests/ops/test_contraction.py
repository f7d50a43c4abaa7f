"""einsum of any equation, and convolution: NumPy's values, torch's gradients."""

import cases
import numpy as np
import pytest
from cases import draw
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import peer

import nbgrad
from nbgrad import Variable
from nbgrad.ops.contraction import convolve

SIZES = {"i": 2, "j": 3, "k": 4, "l": 2, "b": 3}

EQUATIONS = [
    "i->", "ij->ji", "ij->j", "ii->i", "ii->", "iij->ji", "i,i->", "i,j->ij", "ij,jk->ik", "ij,kj->ki", "bij,bjk->bik",
    "bij,jk->bki", "ij,ij->ij", "ij,ij->i", "ij,i->ij", "i,ij,j->", "ij,jk,kl->il", "ij,jk,ki->", "ijk,jil,kl->k",
    "ij,jk", "ij,j", "ii,i->i", "b,bi,bj->ij", "...ij,...jk->...ik", "i...->...", "i...,i...->...", "...,...",
    "ij,kl->ljik",
]  # fmt: skip


def operands_of(equation, dtype="float64"):
    shapes = []
    for labels in equation.partition("->")[0].split(","):
        named = [SIZES[label] for label in labels.replace("...", "")]
        place = labels.find("...")
        shapes.append(tuple(named if place < 0 else [*named[:place], 2, 3, *named[place:]]))
    return [draw(cases.ANY, shape, dtype, seed) for seed, shape in enumerate(shapes)]


@pytest.mark.parametrize("equation", EQUATIONS)
def test_einsum_is_numpys_and_torchs(equation):
    arrays = operands_of(equation)
    np.testing.assert_allclose(nbgrad.einsum(equation, *arrays), np.einsum(equation, *arrays), rtol=1e-12, atol=1e-13)
    if equation != "...,...":  # torch adds nothing up there either, but wants letters
        for layout in ("contiguous", "strided", "Fortran-ordered"):
            placed = [cases.LAYOUTS[layout](x) for x in arrays]
            cases.assert_same_as_torch(
                lambda *xs: nbgrad.einsum(equation, *xs), lambda t, *xs: t.einsum(equation, *xs), placed
            )


@pytest.mark.parametrize("equation", EQUATIONS[::3])
def test_einsum_agrees_with_differences_to_second_order(equation):
    cases.check_to_second_order(lambda *xs: nbgrad.einsum(equation, *xs), operands_of(equation))


def test_einsum_is_compiled(kernels):
    for equation in ("ij,jk,kl->il", "iij->ji"):
        arrays = operands_of(equation)

        def total(*xs, equation=equation):
            return (np.einsum(equation, *xs) ** 2).sum()

        for f in (total, nbgrad.grad(total)):
            np.testing.assert_allclose(nbgrad.jit(f)(*arrays), f(*arrays), rtol=1e-12)


@given(st.data())
@settings(max_examples=60)
def test_einsum_of_random_equations(data):
    """Sizes of 1 stretch, as NumPy has them."""
    inputs = data.draw(st.lists(st.text("ijkl", max_size=3), min_size=1, max_size=4))
    present = sorted(set("".join(inputs)))
    output = "".join(data.draw(st.permutations(present)))[: data.draw(st.integers(0, len(present)))]
    equation = ",".join(inputs) + "->" + output
    sizes = {label: data.draw(st.integers(0, 3)) for label in present}
    arrays = [
        draw(cases.ANY, tuple(data.draw(st.sampled_from([sizes[label], 1])) for label in labels)) for labels in inputs
    ]
    sides = [{label: set() for label in labels} for labels in inputs]
    for found, labels, array in zip(sides, inputs, arrays, strict=True):
        for label, size in zip(labels, array.shape, strict=True):
            found[label].add(size)
    if any(len(sizes) > 1 for found in sides for sizes in found.values()):  # NumPy lets some pass that have no elements
        with pytest.raises(ValueError, match="is the diagonal of sides that differ"):
            nbgrad.einsum(equation, *[Variable(x) for x in arrays])
        return
    expected = np.einsum(equation, *arrays)
    found = nbgrad.einsum(equation, *[Variable(x) for x in arrays])
    assert found.shape == expected.shape
    np.testing.assert_allclose(found.data, expected, rtol=1e-10, atol=1e-10)


def test_einsum_of_lists_and_whole_numbers():
    x = np.arange(6).reshape(2, 3)
    for arguments in ((x, [0, 1], x, [0, 1]), (x, [Ellipsis, 1], x, [Ellipsis, 1], [1, Ellipsis])):
        found = nbgrad.einsum(*arguments)
        np.testing.assert_array_equal(found, np.einsum(*arguments))
        assert found.dtype == np.einsum(*arguments).dtype
    np.testing.assert_array_equal(nbgrad.einsum("ij , kj -> ik", [x, x]), x @ x.T)


def test_equations_that_do_not_fit_are_refused():
    x = nbgrad.ones(2, 3)
    for equation, count, message in (
        ("ij,jk->ik", 1, "is of 2 operands, 1 were given"),
        ("ijk->i", 1, r"'ijk' in 'ijk->i' names the dimensions of shape \(2, 3\)"),
        ("i->i", 1, "names the dimensions of shape"),
        ("ij,jk->ik", 2, "dimension 'j' of 'ij,jk->ik' is 3 and 2 long"),
        ("ij->ijj", 1, "names dimensions that are not there, or one twice"),
        ("ij->k", 1, "names dimensions that are not there"),
        ("i1->i", 1, "'1' in 'i1->i' is no letter"),
    ):
        with pytest.raises(ValueError, match=message):
            nbgrad.einsum(equation, *[x] * count)


@pytest.mark.parametrize("sizes", [(1, 1), (4, 2), (2, 4), (3, 3)])
def test_convolution(sizes):
    x, w = (draw(cases.ANY, (size,), "float64", seed) for seed, size in enumerate(sizes))
    np.testing.assert_allclose(convolve(x, w), np.convolve(x, w), rtol=1e-12)
    cases.check_to_second_order(convolve, [x, w])
    for name in ("convolve", "correlate"):
        for mode in ("full", "same", "valid"):
            function = getattr(np, name)
            found = function(Variable(x), Variable(w), mode)
            np.testing.assert_allclose(found.data, function(x, w, mode), rtol=1e-11, atol=1e-13)
    torch = peer("torch")
    a, b = (torch.tensor(v, requires_grad=True) for v in (x, w))
    torch.nn.functional.conv1d(a[None, None], b.flip(0)[None, None], padding=sizes[1] - 1).sum().backward()
    xs = Variable(x), Variable(w)
    convolve(*xs).sum().backward()
    np.testing.assert_allclose(xs[0].grad.data, a.grad.numpy(), rtol=1e-12)
    np.testing.assert_allclose(xs[1].grad.data, b.grad.numpy(), rtol=1e-12)


def test_convolutions_of_nothing_are_refused():
    with pytest.raises(ValueError, match=r"convolve: shapes \(2, 2\) and \(3,\): takes two vectors"):
        convolve(nbgrad.ones(2, 2), nbgrad.ones(3))
    with pytest.raises(ValueError, match="vectors that have elements"):
        convolve(nbgrad.ones(0), nbgrad.ones(3))
