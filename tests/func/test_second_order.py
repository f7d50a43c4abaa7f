"""Every operation of the cases under transforms of transforms: to second order, for many examples, compiled."""

import cases
import numpy as np
import pytest
from func.test_operations import ELEMENTWISE, FOLDS, OTHERS, PRODUCTS, units
from interpreter import interpret_loops

import nbgrad
from nbgrad.func import grad, hessian, hvp, jacfwd, jacrev, vmap

pytestmark = pytest.mark.slow

SIZE = 2


class Call:
    """A function of arrays, and arrays with the examples in front."""

    def __init__(self, name, function, arrays):
        self.name, self.function, self.arrays = name, function, arrays

    def __repr__(self):
        return self.name


def calls():
    """List calls of all operations that have gradients."""
    for name, case in zip(cases.numbered(ELEMENTWISE), ELEMENTWISE, strict=True):
        if case.differentiable:
            shapes = [(SIZE, 2, 3), (SIZE, 3), (SIZE, 2, 1)]
            yield Call(
                name, case.function, [cases.draw(d, shape) for d, shape in zip(case.domains, shapes, strict=False)]
            )
    x = cases.draw(cases.ANY, (SIZE, 2, 3))
    for case in FOLDS:
        for axes, keepdim in ((None, False), (0, False), ((1,), True)):
            yield Call(f"{case!r} of {axes}", lambda v, f=case.function, a=axes, k=keepdim: f(v, a, k), [x])
    for case in cases.SCANS:
        for dim in (0, -1):
            yield Call(f"{case!r} along {dim}", lambda v, f=case.function, d=dim: f(v, d), [x])
    for case in cases.DECOMPOSITIONS:
        for shape in case.shapes[:2]:
            arrays = [cases.draw(cases.ANY, (SIZE, *shape))]
            yield Call(f"{case!r} of {shape}", lambda v, f=case.function: f(nbgrad.as_tensor(v)), arrays)
    for name, function in OTHERS.items():
        yield Call(name, function, [cases.draw(cases.ANY, (SIZE, 3, 4))])
    for shapes in PRODUCTS:
        yield Call(f"matmul of {shapes}", nbgrad.matmul, [cases.draw(cases.ANY, (SIZE, *s)) for s in shapes])


CALLS = list(calls())


def close(found, expected, what):
    """Hold nests of arrays against each other, whose largest elements tell how large errors may be."""
    if isinstance(expected, tuple | list):
        assert len(found) == len(expected), what
        for mine, other in zip(found, expected, strict=True):
            close(mine, other, what)
        return
    assert type(found) is np.ndarray, what
    assert found.shape == expected.shape, (what, found.shape, expected.shape)
    scale = np.abs(expected).max(initial=1)
    np.testing.assert_allclose(found, expected, rtol=1e-8, atol=1e-10 * scale, err_msg=what)


def arrays(nest):
    """Give arrays in the place of numbers."""
    return tuple(map(np.asarray, nest))


def stacked(results):
    """Stack the results of examples, a tuple of arrays each."""
    return tuple(np.stack(part) for part in zip(*map(arrays, results), strict=True))


class Weighted:
    """A weighted sum of what a call gives, as a function of the arrays that it is differentiated by."""

    def __init__(self, call):
        self.wanted = [i for i, a in enumerate(call.arrays) if a.dtype.kind == "f"]
        self.others = {i: a for i, a in enumerate(call.arrays) if i not in self.wanted}
        self.count, self.function = len(call.arrays), call.function
        self.arrays = tuple(call.arrays[i] for i in self.wanted)
        self.argnums = tuple(range(len(self.wanted)))
        shape = nbgrad.variable.data_of(self.at(0)(*[a[0] for a in self.arrays], whole=True)).shape
        self.weights = np.random.default_rng(3).normal(size=shape)

    def of(self, own, others, whole=False):
        """Give the sum, of arrays of an example."""
        own = iter(own)
        y = self.function(*[next(own) if i in self.wanted else others[i] for i in range(self.count)])
        return y if whole else (y * self.weights).sum()

    def at(self, number):
        """Give the function of one example, with that example's truth values."""
        others = {i: a[number] for i, a in self.others.items()}
        return lambda *own, whole=False: self.of(own, others, whole)

    def each(self, *own):
        """Give the sums of all examples."""
        dims = ((None, 0)[own[0].ndim == self.arrays[0].ndim], *[0] * (len(own) - 1))
        return vmap(lambda own, others: self.of(own, others), (dims, 0) if self.others else (dims, None))(
            own, self.others
        )


@pytest.mark.parametrize("call", CALLS, ids=repr)
def test_transforms_of_transforms(call):
    total = Weighted(call)
    xs, argnums = total.arrays, total.argnums
    random = np.random.default_rng(3)
    vs = tuple(random.normal(size=x.shape) for x in xs)
    first, along = tuple(x[0] for x in xs), tuple(v[0] for v in vs)

    # of one example: Hessians in every way
    f = total.at(0)
    with units(apart=False):
        matrix = hessian(f, argnums)(*first)
    for outer in (jacfwd, jacrev):
        for inner in (jacfwd, jacrev):
            with units(apart=True):
                found = outer(inner(f, argnums), argnums)(*first)
            close(found, matrix, f"{outer.__name__} of {inner.__name__}")
    with units(apart=True):
        close(hessian(f, argnums)(*first), matrix, "hessian")
    for i, row in enumerate(matrix):
        for j, block in enumerate(row):
            n, m = first[i].size, first[j].size
            close(block.reshape(n, m), matrix[j][i].reshape(m, n).T, "symmetry")
    times = [sum(np.tensordot(block, v, v.ndim) for block, v in zip(row, along, strict=True)) for row in matrix]
    close(arrays(hvp(f, first, along)), arrays(times), "hvp")

    # of many examples, where each has arguments of its own
    pairs = list(zip(zip(*xs, strict=True), zip(*vs, strict=True), strict=True))
    slopes = stacked([grad(total.at(k), argnums)(*x) for k, (x, _) in enumerate(pairs)])
    products = stacked([hvp(total.at(k), x, v) for k, (x, v) in enumerate(pairs)])

    def product(x, v, others):
        return hvp(lambda *own: total.of(own, others), x, v)

    def slope(x, others):
        return grad(lambda *own: total.of(own, others), argnums)(*x)

    def directed(*xs):
        return sum((g * v).sum() for g, v in zip(grad(summed, argnums)(*xs), vs, strict=True))

    def summed(*xs):
        return total.each(*xs).sum()

    shared = 0 if total.others else None
    close(vmap(product, (0, 0, shared))(xs, vs, total.others), products, "vmap(hvp)")
    close(grad(summed, argnums)(*xs), slopes, "grad(vmap)")
    close(hvp(summed, xs, vs), products, "hvp(vmap)")
    close(grad(directed, argnums)(*xs), products, "grad(grad(vmap))")

    # along other axes, and of examples of examples
    last = tuple(np.moveaxis(x, 0, -1) for x in xs), tuple(np.moveaxis(v, 0, -1) for v in vs)
    found = vmap(product, (-1, -1, shared), -1)(*last, total.others)
    close(found, tuple(np.moveaxis(p, 0, -1) for p in products), "vmap(hvp) along the last axes")
    twice = tuple(np.moveaxis(np.stack([x, x]), (0, 1), (-1, 0)) for x in xs)  # examples in front, others behind
    found = vmap(vmap(slope, (0, shared), -1), (-1, None), 0)(twice, total.others)
    close(found, tuple(np.stack([np.moveaxis(g, 0, -1)] * 2) for g in slopes), "vmap(vmap(grad))")

    # by an argument that all share
    if len(xs) > 1:
        xs, vs = (first[0], *xs[1:]), (along[0], *vs[1:])
        each = [hvp(total.at(k), (xs[0], *x[1:]), (vs[0], *v[1:])) for k, (x, v) in enumerate(pairs)]
        own = stacked(each)
        close(hvp(summed, xs, vs), (own[0].sum(0), *own[1:]), "hvp(vmap) by what is shared")
        close(grad(directed, argnums)(*xs), (own[0].sum(0), *own[1:]), "grad(grad(vmap)) by what is shared")


@pytest.mark.parametrize("call", CALLS, ids=repr)
def test_compiled(call, monkeypatch):
    """Under jit, around and inside; loops are interpreted, for that they compile alike is others' to test."""
    interpret_loops(monkeypatch)
    total = Weighted(call)

    def slope(x, others):
        return grad(lambda *own: total.of(own, others), total.argnums)(*x)

    def matrix(x, others):
        return hessian(lambda *own: total.of(own, others), total.argnums)(*x)

    shared = 0 if total.others else None
    for f in (slope, matrix):
        many = vmap(f, (0, shared))
        expected = many(total.arrays, total.others)
        close(nbgrad.jit(many)(total.arrays, total.others), expected, "jit(vmap)")
    jitted = nbgrad.jit(lambda own, others: total.of(own, others))
    found = vmap(grad(jitted), (0, shared))(total.arrays, total.others)
    close(found, vmap(slope, (0, shared))(total.arrays, total.others), "vmap(grad(jit))")
