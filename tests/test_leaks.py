"""Very many calls of each operation, with errors among them: nothing is held afterwards that was not before."""

import gc
import sys

import cases
import numpy as np
import pytest

import nbgrad
from nbgrad.nn import functional as F

#: Calls of each operation: forward, forward and backward, and with arguments that are wrong.
FORTH, BACK, WRONG = 20000, 2000, 2000

#: What compiled calls hold and release besides their arguments.
SHARED = (
    None, True, False, 0, 1, -1, 0.0, Ellipsis, int, float, tuple, np.ndarray, np.dtype("f"), np.dtype("d"),
    np.dtype("l"), nbgrad.Variable,
)  # fmt: skip

ROWS = nbgrad.tensor([2, 0, 2])
EACH = nbgrad.tensor([[0, 1], [2, 2], [0, 1]])
MASK = nbgrad.tensor([True, False, True])
MOVED = {
    "x[1]": lambda x: x[1],
    "x[:, 1:3]": lambda x: x[:, 1:3],
    "x[rows]": lambda x: x[ROWS],
    "x[mask]": lambda x: x[MASK],
    "reshape": lambda x: x.reshape(-1),
    "t": lambda x: x.t(),
    "expand": lambda x: x[0].expand(3, 4),
    "cat": lambda x: nbgrad.cat([x, x], 1),
    "stack": lambda x: nbgrad.stack([x, x]),
    "chunk": lambda x: nbgrad.chunk(x, 2)[0],
    "unbind": lambda x: nbgrad.unbind(x)[1],
    "roll": lambda x: nbgrad.roll(x, 1, 0),
    "tril": nbgrad.tril,
    "gather": lambda x: nbgrad.gather(x, 1, EACH),
    "index_select": lambda x: nbgrad.index_select(x, 0, ROWS),
    "index_copy": lambda x: nbgrad.index_copy(x, 0, ROWS, x * 2),
    "index_fill": lambda x: nbgrad.index_fill(x, 0, ROWS, 0.5),
    "scatter": lambda x: nbgrad.scatter(x, 1, EACH, x),
    "scatter_add": lambda x: nbgrad.scatter_add(x, 1, EACH, x),
    "masked_fill": lambda x: nbgrad.masked_fill(x, MASK[:, None], 0.5),
    "astype": lambda x: x.astype(np.float32),
    "product": lambda x: x @ x.t(),
    "softmax": lambda x: nbgrad.softmax(x, 1),
    "fft": lambda x: nbgrad.fft.fft(x).real,
    "trapezoid": nbgrad.trapezoid,
    "pad": lambda x: F.pad(x, (1, 1)),
    "max_pool1d": lambda x: F.max_pool1d(x[None], 2),
    "avg_pool1d": lambda x: F.avg_pool1d(x[None], 2),
    "layer_norm": lambda x: F.layer_norm(x, (4,)),
    "cross_entropy": lambda x: F.cross_entropy(x, ROWS),
    "nll_loss": lambda x: F.nll_loss(x, ROWS),
    "mse_loss": lambda x: F.mse_loss(x, x * 2),
    "i0": nbgrad.i0,
    "floor": nbgrad.floor,
    "isnan": nbgrad.isnan,
    "x += y": lambda x: (x * 1).add_(x),
    "exp_": lambda x: (x * 1).exp_(),
    "relu_": lambda x: F.relu_(x * 1),
    "zero_": lambda x: (x * 1).zero_(),
}


FORMULAS = [*cases.ELEMENTWISE, *cases.SELDOM]


def of_matrix(functions):
    return {name: (function, [((-1.5, -0.3), (0.3, 1.5))]) for name, function in functions}


EVERY = {
    **{name: (case.function, case.domains) for name, case in zip(cases.numbered(FORMULAS), FORMULAS, strict=True)},
    **of_matrix((each.name, each.function) for each in (*cases.REDUCTIONS, *cases.NORMS, *cases.WITHOUT_NAN)),
    **of_matrix((f"{each.name} of rows", lambda x, each=each: each.function(x, 1)) for each in cases.REDUCTIONS),
    **of_matrix((each.name, each.function) for each in cases.STATISTICS),
    **of_matrix((each.name, lambda x, each=each: each.function(x, 1)) for each in cases.SCANS),
    **of_matrix((each.name, lambda x, each=each: each.function(x[:, :3])) for each in cases.DECOMPOSITIONS),
    **of_matrix(MOVED.items()),
}


def results(found):
    return found if isinstance(found, tuple) else (found,)


def back(function, xs):
    y = results(function(*xs))[0]
    if y.requires_grad:
        y.sum().backward()
        for x in xs:
            x.grad = None


def wrong(function, xs):
    for given in ([None, *xs[1:]], ["x", *xs[1:]], [*xs, object()], [nbgrad.zeros(2, 7), nbgrad.zeros(3)], []):
        try:
            function(*given)
        except Exception:  # any: the next call begins from nothing
            pass


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_calls_leave_nothing_behind(name):
    function, domains = EVERY[name]
    xs = [nbgrad.Variable(cases.draw(domain, (3, 4), "float64", i)) for i, domain in enumerate(domains)]
    for x in xs:
        x.requires_grad = x.dtype.kind == "f"
    watched = [*SHARED, *xs, *[x.data for x in xs], ROWS, EACH, MASK]

    def run(forth, backwards, errors):
        for _ in range(forth):
            function(*xs)
        for _ in range(backwards):
            back(function, xs)
        for _ in range(errors // 5):
            wrong(function, xs)
        gc.collect()

    run(300, 100, 50)  # kernels are compiled, and what is kept for shapes is found
    run(300, 100, 50)
    before = [sys.getrefcount(each) for each in watched]
    blocks = sys.getallocatedblocks()
    run(FORTH, BACK, WRONG)
    more = sys.getallocatedblocks() - blocks
    after = [sys.getrefcount(each) for each in watched]
    assert more < WRONG // 4, f"{more} blocks of memory are held"
    for each, one, other in zip(watched, before, after, strict=True):
        assert abs(other - one) < WRONG // 4, f"{other - one} references to {each!r}"
