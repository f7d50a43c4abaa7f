"""Operations for what comes back through reductions."""

import cases
import numpy as np
import pytest
from cases import NORMS, STATISTICS, WITHOUT_NAN, draw
from helpers import usually
from interpreter import interpret_loops

import nbgrad
from nbgrad import Variable
from nbgrad.kernels import reductions
from nbgrad.kernels.reductions import Reduction
from nbgrad.kernels.scalars import add, maximum
from nbgrad.ops.elementwise import OPERATIONS
from nbgrad.ops.pullback import back_of
from nbgrad.ops.reduction import kind_of, reduce


def test_what_a_rule_reads_follows_from_its_formulas():
    read = {
        name: (back_of(one).linear, back_of(one).reads_elements, back_of(one).reads_result)
        for name, one in reductions.TABLE.items()
        if one.rule is not None
    }
    expected = {
        **dict.fromkeys(("sum", "mean"), (True, False, False)),
        **dict.fromkeys(("nansum", "nanmean", "var", "norm_1"), (False, True, False)),
        **dict.fromkeys(("std", "norm", "norm_p", "logsumexp"), (False, True, True)),
    }
    assert {name: read[name] for name in expected} == expected
    assert back_of(reductions.norm_0).nothing
    assert back_of(reductions.sum).operations == []
    assert back_of(reductions.mean).operations == [OPERATIONS["div"]]
    assert [stage for _, stage in back_of(reductions.var).stages] == [reductions.mean]
    assert len(back_of(reductions.std).operations) == 2


def test_a_declaration_is_all_it_takes():
    """The third moment about a given number, with two orders of gradient."""
    cubes = Reduction(
        "cubes",
        [(lambda x, about: (x - about) ** 3, add)],
        finish=lambda x, about, total, count: total / count,
        numbers=1,
        floating=True,
        listed=False,
    )
    reductions.TABLE["cubes"] = cubes
    try:
        x = Variable(np.array([[1.0, 2.0, 4.0], [0.0, -1.0, 3.0]]))
        y = kind_of(cubes)((1,), False, (2.0,))(x)
        np.testing.assert_allclose(y.data, ((x.data - 2) ** 3).mean(1))
        (first,) = nbgrad.autograd.grad(y.sum(), x, create_graph=True)
        np.testing.assert_allclose(first.data, (x.data - 2) ** 2)
        (second,) = nbgrad.autograd.grad(first.sum(), x)
        np.testing.assert_allclose(second.data, 2 * (x.data - 2))
    finally:
        del reductions.TABLE["cubes"]


def test_what_does_not_follow_is_refused():
    ranges = Reduction("ranges", [(lambda x: x, maximum), (lambda x, top: top - x, maximum)], listed=False)
    with pytest.raises(TypeError, match="ranges: its rule does not follow from its declaration: state its slope"):
        back_of(ranges)


@pytest.mark.parametrize("name", usually(["var", "std", "norm", "nanmean", "norm_1", "norm_p"], "var"))
def test_large_arrays_are_reduced_in_parts(name):
    """Flat ones, and columns: what comes of parts, stage by stage, is what comes of the whole."""
    numbers = {"var": (1.0,), "std": (1.0,), "norm_p": (3.0,)}.get(name, ())
    one = kind_of(reductions.TABLE[name])
    x = np.random.default_rng(0).normal(3, 1, (1100, 150))
    for axes, rows in (((0, 1), x.reshape(1, -1)), ((0,), x.T.copy())):
        whole = one((1,), False, numbers)(rows)
        np.testing.assert_allclose(np.atleast_1d(one(axes, False, numbers)(x)), whole, 1e-14)


def test_what_users_give_is_reduced():
    assert reduce(kind_of(reductions.sum), [[1, 2]], None, False, None, None) == 3


@pytest.mark.parametrize("case", [*STATISTICS, *WITHOUT_NAN, *NORMS], ids=repr)
def test_jit_computes_the_same(case, monkeypatch):
    """Values and gradients, in which whatever is read of the stages is there already."""
    interpret_loops(monkeypatch)
    x = draw(cases.NONZERO, (9, 70))
    for axes in (None, 0, 1):
        function = nbgrad.value_and_grad(lambda v, axes=axes: (case.function(v, axes) ** 2).sum())
        for found, wanted in zip(nbgrad.jit(function)(x), function(x), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12 * abs(wanted).max())
