"""Products composed of `matmul`: torch's values and gradients, those of differences, and what is refused."""

import numpy as np
import pytest
from cases import ANY
from families import Member, check_derivatives, check_traced, check_values, parameters
from peers import peer

import nbgrad


def member(name, *shapes, namespace=None, **options):
    def ours(*xs):
        return getattr(nbgrad if namespace is None else nbgrad.linalg, name)(*xs, **options)

    def theirs(t, *xs):
        return getattr(t if namespace is None else t.linalg, name)(*xs, **options)

    return Member(name if namespace is None else f"linalg.{name}", ours, theirs, (ANY,) * len(shapes), shapes)


MEMBERS = [
    member("addmm", (3,), (2, 4), (4, 3), beta=0.5, alpha=2),
    member("addmv", (2,), (2, 4), (4,)),
    member("addr", (2, 4), (2,), (4,), alpha=-1),
    member("baddbmm", (2, 3, 2), (2, 3, 4), (2, 4, 2), beta=2),
    member("addbmm", (3, 2), (2, 3, 4), (2, 4, 2)),
    member("inner", (2, 3), (4, 3)),
    member("vdot", (3,), (3,)),
    # torch warns of its cross without dim, and of its chain_matmul
    Member("cross", nbgrad.cross, lambda t, x, y: t.linalg.cross(x, y, dim=0), (ANY, ANY), (3, 2, 3)),
    member("cross", (1, 3), (2, 3), namespace="linalg"),
    member("vecdot", (2, 3), (2, 3), namespace="linalg", dim=0),
    member("kron", (2, 3), (3, 1, 2)),
    member("tensordot", (2, 3, 4), (4, 3, 2), dims=([1, 2], [1, 0])),
    Member("chain_matmul", nbgrad.chain_matmul, lambda t, *xs: t.linalg.multi_dot(xs), (ANY,) * 4,
           ((2, 5), (5, 1), (1, 3), (3, 4))),
    member("vander", (4,), namespace="linalg", N=3),
    Member(
        "multi_dot",
        lambda *xs: nbgrad.linalg.multi_dot(xs),
        lambda t, *xs: t.linalg.multi_dot(xs),
        (ANY,) * 3,
        ((3,), (3, 4), (4,)),
    ),
]  # fmt: skip
QUICK = {"addmm", "baddbmm", "tensordot", "kron", "multi_dot"}
every_member = pytest.mark.parametrize("member", parameters(MEMBERS, QUICK))


@every_member
def test_values_are_torchs(member):
    check_values(member)


@every_member
def test_derivatives_are_those_of_differences(member):
    check_derivatives(member)


@every_member
def test_compiled(member, kernels):
    check_traced(member)


def test_what_has_no_weight_is_not_read():
    x = nbgrad.tensor([np.nan, np.inf])
    assert nbgrad.addmv(x, nbgrad.ones(2, 3), nbgrad.ones(3), beta=0).tolist() == [3.0, 3.0]


def test_chains_are_multiplied_in_the_order_of_least_work():
    from nbgrad.ops.products import _cuts

    assert _cuts([10, 100, 5, 50])[0, 2] == 1  # (AB)C takes 7500 multiplications, A(BC) 75000
    assert _cuts([50, 5, 100, 10])[0, 2] == 0


def test_stretched_dimensions_are_sums_as_well():
    torch = peer("torch")
    x, y = np.ones((1, 2)), np.arange(6.0).reshape(3, 2)
    found = nbgrad.tensordot(x, y, ((0,), (0,)))
    np.testing.assert_array_equal(found, torch.tensordot(torch.tensor(x), torch.tensor(y), ((0,), (0,))))


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda a: nbgrad.addmm(a, a, a), ValueError, r"addmm: shapes \(2, 3\) and \(2, 3\) have no product"),
        (lambda a: nbgrad.addmm(nbgrad.ones(5), a, a.T), ValueError, r"addmm: shape \(5,\) does not broadcast"),
        (lambda a: nbgrad.addmv(a[0], a, a), ValueError, "addmv: shapes"),
        (lambda a: nbgrad.addr(a, a, a), ValueError, "addr: shapes"),
        (lambda a: nbgrad.addmm(a, a.float(), a.T), TypeError, "addmm: dtypes float64 and float32 and float64"),
        (lambda a: nbgrad.vdot(a[0], a[:, 0]), ValueError, "vdot: shapes"),
        (lambda a: nbgrad.inner(a, a.T), ValueError, "inner: shapes"),
        (lambda a: nbgrad.cross(a.T, a.T, 1), ValueError, "cross: shapes .* not of size 3"),
        (lambda a: nbgrad.cross(a[:, :2], a[:, :2]), ValueError, "cross: shapes .* have no dimension of size 3"),
        (lambda a: nbgrad.tensordot(a, a, 3), ValueError, "tensordot: 3 dimensions"),
        (lambda a: nbgrad.tensordot(a, a, 1), ValueError, "tensordot: dimensions"),
        (lambda a: nbgrad.linalg.multi_dot([a]), ValueError, "multi_dot: 1 matrices"),
        (lambda a: nbgrad.linalg.multi_dot([a, a]), ValueError, "multi_dot: shapes"),
        (lambda a: nbgrad.linalg.vander(a, N=0), ValueError, "vander: N is 0"),
    ],
)
def test_wrong_arguments_are_refused(call, error, says):
    with pytest.raises(error, match=says):
        call(nbgrad.ones(2, 3))
