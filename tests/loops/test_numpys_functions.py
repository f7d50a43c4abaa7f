"""NumPy's functions, masks, arrays of places and what else stands for loops: against differences, and NumPy itself."""

import numpy as np
import pytest
from plainly import check, derivative

import nbgrad

# ruff: noqa: E731

RNG = np.random.default_rng(0)
X = RNG.normal(size=5)
M = RNG.normal(size=(4, 5))
S = M[:, :4] @ M[:, :4].T + 4 * np.eye(4)


def arange2(x):
    t = np.arange(1, x.size)
    u = np.arange(0.0, 1.0, 0.25)
    w = np.arange(2, 12, 3)
    return (t * x[1:]).sum() + (u * x[:4]).sum() + (w * x[:4]).sum()


def linspace2(x):
    return (np.linspace(0.0, 1.0, x.size) * x).sum() + np.linspace(x[0], x[1])[7]


def masks(x):
    return x[x > 0].sum()


def maskset(x):
    y = x.copy()
    y[x > 0] = 0.5
    y[y < 0] *= 2.0
    return y


def solve(a, b):
    return np.linalg.solve(a, b)


def inv(a):
    return np.linalg.inv(a)


def det(a):
    return np.linalg.det(a)


def slog(a):
    return np.linalg.slogdet(a)[1]


def chol(a):
    return np.linalg.cholesky(a)


def cumsum(x):
    return np.cumsum(x), np.cumsum(x * x)[-1]


def diffs(x):
    return np.diff(x)


def concat(x):
    return np.concatenate((x, x * 2))


def stack(x):
    return np.stack((x, x * 2)), np.vstack((x, x)), np.hstack((x, x))


def clip(x):
    return np.clip(x, -0.5, 0.5) * x


def argm(x):
    i = np.argmax(x)
    return x[i] * x[x.argmin()]


def sorting(x):
    return np.sort(x) * np.arange(x.size), x[np.argsort(x)]


def roll(x):
    return np.roll(x, 1) * x


def trace(a):
    return np.trace(a) + np.sum(np.diag(a))


def kron(a):
    return np.kron(a, a)


def cross(x):
    return np.cross(x[:3], x[1:4])


def logical(x):
    return np.where(np.logical_and(x > 0, x < 1), x, -x)


def anyall(x):
    if np.any(x > 0) and not np.all(x > 0) and (x > 5).any():
        return x.sum()
    return (x * x).sum()


def count(x):
    return x.sum() * np.count_nonzero(x > 0)


def floordiv(x):
    return (x // 1.0) * x + x % 0.7 + np.fmod(x, 0.3)


def divm(x):
    q, r = divmod(7, 2)
    return x * q + r


def listcomp(x):
    y = np.array([v * v for v in x])
    return y.sum() + sum([v for v in x])


def lam(x):
    f = lambda t: t * t
    return f(x[0])


def walrus(x):
    if (y := x[0] * 2) > 0:
        return y
    return -y


def nditer(x):
    s = 0.0
    for i, v in np.ndenumerate(x):
        s += v * v * (i[0] + 1)
    return s


def star(x):
    def f(a, b):
        return a * b

    t = (x[0], x[1])
    return f(*t)


def dotm(m, x):
    s = 0.0
    for i in range(3):
        s += np.dot(m[i], x) ** 2 + m[i] @ x
    return s


def flat(m):
    s = 0.0
    for v in m.flat:
        s += v * v
    return s + m.flatten()[2] + m.size


def minmax(x):
    return min(x), max(x), min(x[0], x[1], 0.1), np.minimum(x, 0.1), np.fmax(x, 0.2)


def fullt(x):
    return np.full((2, 3), x[0]) * np.ones((2, 1)), np.full(3, 1.5) * x[:3]


def expand(x):
    return (x[:, None] - x[None, :]).sum(), np.expand_dims(x, 0) * 2


def intarr(x):
    idx = np.array([2, 0, 1])
    y = np.zeros(3)
    y[idx] = x[:3]
    return y * x[:3]


def fancyadd(x):
    y = np.zeros(5)
    idx = np.array([2, 0, 1])
    y[idx] += x[:3]
    return y * x


def median(x):
    return np.median(x)


def interp(x):
    return np.interp(0.3, np.array([0.0, 1.0]), x[:2])


def nansum(x):
    return np.nansum(x), np.nanmean(x)


def varax(m):
    return m.var(axis=0), m.std(axis=1)


def delete(x):
    s = x[0]
    t = s
    del t
    return s


def g_(x):
    return (
        np.sign(x) * x
        + np.floor(x)
        + np.heaviside(x, 0.5)
        + np.hypot(x, 1.0)
        + np.square(x)
        + np.reciprocal(x)
        + np.exp2(x)
        + np.log1p(np.abs(x))
        + np.arctan(x)
        + np.sinh(x)
        + np.cbrt(x)
    )


def polyval(x):
    c = (1.0, 2.0, 3.0)
    r = 0.0
    for k in range(3):
        r = r * x[0] + c[k]
    return r


def masked_rows(m):
    chosen = m[m[:, 0] > 0]
    y = m.copy()
    y[m[:, 1] > 0] *= 2.0
    y[m[:, 2] > 0] = m[0]
    return chosen * 2, y


def masked_all(m, s):
    y = m.copy()
    y[m > 0] = m[m > 0] * 3.0
    places = np.array([2, 0])
    y[places] += s[places, 0].sum()
    y[places] = m[:2]
    return y, s[s > 1.0].sum()


CASES = [
    (arange2, X), (linspace2, X), (masks, X), (maskset, X), (solve, S, X[:4]), (solve, S, M), (inv, S), (det, S),
    (slog, S), (chol, S), (cumsum, X), (diffs, X), (concat, X), (stack, X), (clip, X), (argm, X), (sorting, X),
    (roll, X), (trace, S), (kron, S[:2, :2].copy()), (cross, X), (logical, X), (anyall, X), (count, X), (floordiv,
    X), (divm, 2.0), (listcomp, X), (lam, X), (walrus, X), (nditer, X), (star, X), (dotm, M, X), (flat, M), (minmax,
    X), (fullt, X), (expand, X), (intarr, X), (fancyadd, X), (median, X), (interp, X), (nansum, X), (varax, M),
    (delete, X), (g_, X), (polyval, X), (masked_rows, M), (masked_all, M, S),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0].__name__)
def test_functions(case):
    check(*case)


def mixed(x, places):
    return np.concatenate((places, x)), np.stack((places, x[:2])), np.kron(np.eye(2), x.reshape((1, -1)))


def test_dtypes_are_joined():
    check(mixed, X, np.array([3, 1]))


def picked(x, mask, values):
    y = x * x
    y[mask] = values
    return y[mask].sum() + y.sum()


def test_masks_and_values_that_do_not_fit_are_refused():
    run = derivative(picked, "vjp", (X, X > 0, X))
    check(picked, X, X > 0, X[X > 0])
    with pytest.raises(IndexError, match="mask of another size"):
        run(X, np.ones(6, bool), X, 1.0)
    with pytest.raises(ValueError, match="as many values"):
        run(X, X > 0, X[:1], 1.0)


def test_singular_matrices_are_refused():
    compiled = nbgrad.njit(det)
    with pytest.raises(np.linalg.LinAlgError, match="singular"):
        nbgrad.grad(compiled)(np.zeros((2, 2)))
    np.testing.assert_allclose(nbgrad.grad(compiled)(S), np.linalg.det(S) * np.linalg.inv(S).T)
