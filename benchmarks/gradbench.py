"""GradBench's problems as loops that `nbgrad.njit` differentiates, against C++: by hand, and by CppAD.

The definitions are GradBench's (github.com/gradbench/gradbench); the code of both sides is ours. `benchmarks.njit`
measures and writes the table. CppAD, a library that records what its numbers go through, is taken where it is installed
(`pip install cmeel-cppad`). `det` is defined by a function that calls itself, n! times; here both sides take each
minor once, in loops over sets of columns. `ht` is the one without further variables, of a hand that is drawn by chance.
"""

from __future__ import annotations

import ctypes
import itertools
import math
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import nbgrad

BY_HAND = Path(__file__).with_name("gradbench.cpp")
BY_CPPAD = Path(__file__).with_name("gradbench_cppad.cpp")


# ---- the problems ----------------------------------------------------------------------------------------------------


@nbgrad.njit
def log_sum_exp(x: Any) -> Any:
    most = x[0]
    for i in range(1, x.size):
        most = max(most, x[i])
    total = 0.0
    for i in range(x.size):
        total += math.exp(x[i] - most)
    return most + math.log(total)


def kmeans(points: Any, centroids: Any) -> float:
    cost = 0.0
    for i in range(points.shape[0]):
        closest = math.inf
        place = 0
        for j in range(centroids.shape[0]):
            distance = 0.0
            for c in range(points.shape[1]):
                distance += (points[i, c] - centroids[j, c]) ** 2
            if distance < closest:
                closest = distance
                place = j
        for c in range(points.shape[1]):
            cost += (points[i, c] - centroids[place, c]) ** 2
    return cost


def llsq(x: Any, n: int) -> Any:
    total = 0.0
    for i in range(n):
        t = -1.0 + i * 2.0 / (n - 1)
        rest = 1.0 if t > 0.0 else (-1.0 if t < 0.0 else 0.0)
        power = 1.0
        for j in range(x.size):
            rest -= x[j] * power
            power *= t
        total += rest * rest
    return total / 2


def ode(x: Any, steps: int) -> Any:
    n = x.size
    h = 2.0 / steps

    def slope(y: Any) -> Any:
        z = np.empty(n)
        z[0] = x[0]
        for i in range(1, n):
            z[i] = x[i] * y[i - 1]
        return z

    y = np.zeros(n)
    for _ in range(steps):
        k1 = slope(y)
        k2 = slope(y + h / 2 * k1)
        k3 = slope(y + h / 2 * k2)
        k4 = slope(y + h * k3)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return y[n - 1]


def gmm(alpha: Any, mu: Any, q: Any, lower: Any, x: Any, gamma: float, m: int, constant: float) -> Any:
    k, d = mu.shape
    diagonal = np.empty((k, d))
    sums = np.zeros(k)
    for c in range(k):
        for i in range(d):
            diagonal[c, i] = math.exp(q[c, i])
            sums[c] += q[c, i]
    total = 0.0
    for p in range(x.shape[0]):
        term = np.empty(k)
        product = np.empty((k, d))
        for c in range(k):
            for i in range(d):
                product[c, i] = diagonal[c, i] * (x[p, i] - mu[c, i])
            for i in range(d):
                # the triangle is kept column by column
                first = i * d - i * (i + 1) // 2 - i - 1
                for j in range(i + 1, d):
                    product[c, j] += lower[c, first + j] * (x[p, i] - mu[c, i])
            squares = 0.0
            for i in range(d):
                squares += product[c, i] * product[c, i]
            term[c] = alpha[c] + sums[c] - 0.5 * squares
        total += log_sum_exp(term)
    prior = 0.0
    for c in range(k):
        squares = 0.0
        for i in range(d):
            squares += diagonal[c, i] ** 2
        for i in range(lower.shape[1]):
            squares += lower[c, i] ** 2
        prior += 0.5 * gamma * gamma * squares - m * sums[c]
    return constant + total - x.shape[0] * log_sum_exp(alpha) - prior


def lstm(main: Any, extra: Any, state: Any, sequence: Any) -> Any:
    layers, b = main.shape[0] // 2, sequence.shape[1]
    hidden, cell = np.empty((layers, b)), np.empty((layers, b))
    for k in range(layers):
        for i in range(b):
            hidden[k, i] = state[2 * k, i]
            cell[k, i] = state[2 * k + 1, i]
    total = 0.0
    for t in range(sequence.shape[0] - 1):
        top = np.empty(b)
        for i in range(b):
            top[i] = sequence[t, i] * extra[0, i]
        for k in range(layers):
            w, v = main[2 * k], main[2 * k + 1]
            for i in range(b):
                forget = 1.0 / (1.0 + math.exp(-(top[i] * w[i] + v[i])))
                taken = 1.0 / (1.0 + math.exp(-(hidden[k, i] * w[b + i] + v[b + i])))
                given = 1.0 / (1.0 + math.exp(-(top[i] * w[2 * b + i] + v[2 * b + i])))
                change = math.tanh(hidden[k, i] * w[3 * b + i] + v[3 * b + i])
                cell[k, i] = cell[k, i] * forget + taken * change
                hidden[k, i] = given * math.tanh(cell[k, i])
                top[i] = hidden[k, i]
        total_exp, gold, dot = 2.0, 0.0, 0.0
        for i in range(b):
            y = top[i] * extra[1, i] + extra[2, i]
            total_exp += math.exp(y)
            gold += sequence[t + 1, i]
            dot += sequence[t + 1, i] * y
        total += dot - gold * math.log(total_exp)
    return -total / ((sequence.shape[0] - 1) * b)


def reprojected(cams: Any, points: Any, weights: Any, feats: Any) -> Any:
    """Each row is one observation, so that one way back for either error gives all blocks of the Jacobian."""
    errors = np.empty((cams.shape[0], 2))
    for o in range(cams.shape[0]):
        r0, r1, r2 = cams[o, 0], cams[o, 1], cams[o, 2]
        v0, v1, v2 = points[o, 0] - cams[o, 3], points[o, 1] - cams[o, 4], points[o, 2] - cams[o, 5]
        theta = math.sqrt(r0 * r0 + r1 * r1 + r2 * r2)
        s, c = math.sin(theta), math.cos(theta)
        r0, r1, r2 = r0 / theta, r1 / theta, r2 / theta
        part = (r0 * v0 + r1 * v1 + r2 * v2) * (1.0 - c)
        x = v0 * c + (r1 * v2 - r2 * v1) * s + r0 * part
        y = v1 * c + (r2 * v0 - r0 * v2) * s + r1 * part
        z = v2 * c + (r0 * v1 - r1 * v0) * s + r2 * part
        x, y = x / z, y / z
        square = x * x + y * y
        bend = 1.0 + cams[o, 9] * square + cams[o, 10] * square * square
        errors[o, 0] = weights[o] * (x * bend * cams[o, 6] + cams[o, 7] - feats[o, 0])
        errors[o, 1] = weights[o] * (y * bend * cams[o, 6] + cams[o, 8] - feats[o, 1])
    return errors


def det(a: Any) -> Any:
    """Minors of the first rows, by sets of columns that are the bits of a number, each expanded along its last row."""
    n = a.shape[0]
    counts = np.zeros(2**n, np.int64)
    places = np.empty((2**n, n), np.int8)
    for columns in range(1, 2**n):
        first, others = columns & 1, columns >> 1
        places[columns, 0] = 0
        for k in range(counts[others]):
            places[columns, first + k] = places[others, k] + 1
        counts[columns] = first + counts[others]
    minors = np.empty(2**n)
    minors[0] = 1.0
    for columns in range(1, 2**n):
        row = counts[columns] - 1
        total = 0.0
        for k in range(row + 1):
            j = places[columns, k]
            total = a[row, j] * minors[columns - (1 << j)] - total
        minors[columns] = total
    return minors[2**n - 1]


def turned_hand(
    theta: Any, parents: Any, relatives: Any, inverses: Any, base: Any, weights: Any, mirror: float, seen: Any,
    points: Any,
) -> Any:  # fmt: skip
    """How far points are from vertices of a hand, by how it is turned (3), where it is (3) and 4 angles a finger.

    Its Jacobian is 26 tangents, each through the whole hand; the C++ knows which bones an angle moves.
    """
    bones, vertices = weights.shape
    absolutes = np.empty((bones, 4, 4))
    skin = np.zeros((3, vertices))
    for b in range(bones):
        # the wrist, five times a knuckle that stays and three joints that bend, the forearm
        joint, first = (b - 1) % 4, 6 + (b - 1) // 4 * 4
        x, z = 0.0, 0.0
        if 0 < b < bones - 1 and joint > 0:
            x = theta[first if joint == 1 else first + joint]
            if joint == 1:
                z = theta[first + 1]
        bend = np.eye(4)
        bend[0, 0], bend[0, 1], bend[0, 2] = math.cos(z), -math.sin(z) * math.cos(x), math.sin(z) * math.sin(x)
        bend[1, 0], bend[1, 1], bend[1, 2] = math.sin(z), math.cos(z) * math.cos(x), -math.cos(z) * math.sin(x)
        bend[2, 1], bend[2, 2] = math.sin(x), math.cos(x)
        relative = relatives[b] @ bend
        if parents[b] < 0:
            absolutes[b] = relative
        else:
            absolutes[b] = absolutes[parents[b]] @ relative
        transform = absolutes[b] @ inverses[b]
        for i in range(3):
            t0, t1, t2, t3 = transform[i, 0], transform[i, 1], transform[i, 2], transform[i, 3]
            for v in range(vertices):
                skin[i, v] += weights[b, v] * (t0 * base[0, v] + t1 * base[1, v] + t2 * base[2, v] + t3 * base[3, v])
    turn = np.eye(3)
    norm = math.sqrt(theta[0] * theta[0] + theta[1] * theta[1] + theta[2] * theta[2])
    if norm >= 1e-4:
        x, y, z = theta[0] / norm, theta[1] / norm, theta[2] / norm
        s, c = math.sin(norm), math.cos(norm)
        turn[0, 0], turn[0, 1], turn[0, 2] = x * x + (1 - x * x) * c, x * y * (1 - c) - z * s, x * z * (1 - c) + y * s
        turn[1, 0], turn[1, 1], turn[1, 2] = x * y * (1 - c) + z * s, y * y + (1 - y * y) * c, y * z * (1 - c) - x * s
        turn[2, 0], turn[2, 1], turn[2, 2] = x * z * (1 - c) - y * s, y * z * (1 - c) + x * s, z * z + (1 - z * z) * c
    errors = np.empty((seen.size, 3))
    for p in range(seen.size):
        v = seen[p]
        for i in range(3):
            place = turn[i, 0] * mirror * skin[0, v] + turn[i, 1] * skin[1, v] + turn[i, 2] * skin[2, v] + theta[3 + i]
            errors[p, i] = points[p, i] - place
    return errors


# ---- both sides, at the sizes of GradBench's smaller and middle runs -------------------------------------------------


def library(source: Path, directory: str, *flags: str) -> Any:
    """Compile one of the sources; None where there is no g++."""
    compiler = shutil.which("g++")
    if compiler is None:
        return None
    made = Path(directory, source.stem).with_suffix(".so")
    command = [compiler, "-O3", "-march=native", "-DNDEBUG", "-shared", "-fPIC", *flags, "-o", made, source]
    subprocess.run(command, check=True)
    found = ctypes.CDLL(str(made))
    for name in ("lse", "kmeans", "llsq", "ode", "gmm", "lstm", "det"):
        getattr(found, name).restype = ctypes.c_double
    return found


def with_cppad(directory: str) -> Any:
    """Compile the functions that CppAD differentiates; None where its headers or g++ are not found."""
    packages = (Path(path, "cmeel.prefix", "include") for path in sys.path)
    for headers in itertools.chain(packages, (Path("/usr/include"), Path("/usr/local/include"))):
        if (headers / "cppad" / "cppad.hpp").exists():
            return library(BY_CPPAD, directory, "-isystem", str(headers))
    return None


def _given(x: Any) -> Any:
    if isinstance(x, np.ndarray):
        return ctypes.c_void_p(x.ctypes.data)
    return ctypes.c_double(x) if isinstance(x, float) else ctypes.c_int64(x)


def _bound(function: Any, *arguments: Any) -> Callable[[], Any]:
    """Give a call of a C function, whose arguments are made before; they stay alive with it."""
    made = tuple(map(_given, arguments))
    return lambda kept=arguments: function(*made)


def cases(compiled: Any) -> dict[str, tuple[Callable[[], Any], Callable[[], Any], Callable[[], float]]]:
    """Give for each problem a call of ours, one of the C++, and what tells how far they are apart."""
    rng = np.random.default_rng(0)
    found: dict[str, tuple[Callable[[], Any], Callable[[], Any], Callable[[], float]]] = {}

    def add(name: str, function: Any, given: tuple[Any, ...], places: tuple[int, ...], call: str, *rest: Any) -> None:
        mine = nbgrad.value_and_grad(nbgrad.njit(function), places)
        gradients = [np.empty_like(given[place]) for place in places]
        theirs = _bound(getattr(compiled, call), *rest, *gradients)

        def apart() -> float:
            value, mine_too = mine(*given)
            other = theirs()
            pairs = [(value, other), *zip(mine_too, gradients, strict=True)]
            return max(float(np.max(np.abs(a - b)) / np.max(np.abs(b))) for a, b in pairs)

        found[name] = (lambda: mine(*given), theirs, apart)

    x = rng.normal(size=10000)
    add("lse, 10,000 numbers", log_sum_exp, (x,), (0,), "lse", x.size, x)
    points, centroids = rng.normal(size=(2000, 8)), rng.normal(size=(20, 8))
    add("kmeans, 2000 points of 8, 20 centroids", kmeans, (points, centroids), (1,), "kmeans", 2000, 20, 8, points,
        centroids)  # fmt: skip
    x = rng.normal(size=64)
    add("llsq, 64 coefficients, 1024 points", llsq, (x, 1024), (0,), "llsq", 1024, 64, x)
    x = rng.uniform(0.5, 1.5, 100)
    add("ode, 100 values, 200 steps", ode, (x, 200), (0,), "ode", 100, 200, x)
    n, k, d = 1000, 10, 10
    alpha, mu, q = rng.normal(size=k), rng.normal(size=(k, d)), 0.3 * rng.normal(size=(k, d))
    lower, x = 0.3 * rng.normal(size=(k, d * (d - 1) // 2)), rng.normal(size=(n, d))
    add("gmm, 1000 points of 10, 10 normals", gmm, (alpha, mu, q, lower, x, 1.0, 0, -50.0), (0, 1, 2, 3), "gmm", n, k,
        d, alpha, mu, q, lower, x, 1.0, 0, -50.0)  # fmt: skip
    layers, b, chars = 2, 14, 1024
    main, extra = rng.normal(size=(2 * layers, 4 * b)), rng.normal(size=(3, b))
    state, sequence = rng.normal(size=(2 * layers, b)), (rng.random((chars, b)) > 0.5).astype(float)
    add("lstm, 2 layers of 14, 1024 characters", lstm, (main, extra, state, sequence), (0, 1), "lstm", layers, chars,
        b, main, extra, state, sequence)  # fmt: skip
    found["ba, 21 cameras, 1000 points, 4000 errors"] = _bundles(compiled, rng)
    a = rng.normal(size=(12, 12))
    add("det, 12 x 12", det, (a,), (0,), "det", 12, a)
    found["ht, 22 bones, 544 vertices, 1000 points"] = _hands(compiled, rng)
    return found


def _bundles(compiled: Any, rng: Any) -> tuple[Callable[[], Any], Callable[[], Any], Callable[[], float]]:
    cams, points, weights = rng.normal(size=(21, 11)), rng.normal(size=(1000, 3)) + 9.0, rng.normal(size=4000)
    cams[:, 9:] *= 0.01
    feats = rng.normal(size=(4000, 2))
    seen = np.stack((np.arange(4000) % 21, np.arange(4000) % 1000), 1).astype(np.int64)
    back = nbgrad.njit(reprojected).entry("vjp", 1)
    seeds = np.zeros((2, 4000, 2))
    seeds[0, :, 0] = seeds[1, :, 1] = 1.0

    def mine() -> Any:
        own_cams, own_points = cams[seen[:, 0]], points[seen[:, 1]]
        return [back(own_cams, own_points, weights, feats, seed) for seed in seeds]

    errors, blocks = np.empty((4000, 2)), np.empty((4000, 2, 15))
    theirs = _bound(compiled.ba, 4000, cams, points, weights, seen, feats, errors, blocks)

    def apart() -> float:
        theirs()
        mine_too = mine()
        found = [np.max(np.abs(mine_too[0][0] - errors)) / np.max(np.abs(errors))]
        for e, (_, (by_cam, by_point, by_weight, _)) in enumerate(mine_too):
            block = np.concatenate((by_cam, by_point, by_weight[:, None]), 1)
            found.append(np.max(np.abs(block - blocks[:, e])) / np.max(np.abs(blocks)))
        return float(max(found))

    return mine, theirs, apart


def hand(rng: Any, bones: int, vertices: int, count: int) -> tuple[Any, ...]:
    """Draw a hand, how it is held, and points that are seen of it."""
    parents = np.array([0 if b % 4 == 1 else b - 1 for b in range(bones)])
    relatives, inverses = np.zeros((bones, 4, 4)), np.zeros((bones, 4, 4))
    relatives[:, 3, 3] = inverses[:, 3, 3] = 1.0
    relatives[:, :3], inverses[:, :3] = rng.normal(size=(bones, 3, 4)), rng.normal(size=(bones, 3, 4))
    base = np.concatenate((rng.normal(size=(3, vertices)), np.ones((1, vertices))))
    weights = rng.dirichlet(np.ones(bones), size=vertices).T.copy()
    seen = rng.integers(vertices, size=count)
    return rng.normal(size=26), parents, relatives, inverses, base, weights, -1.0, seen, rng.normal(size=(count, 3))


def _hands(compiled: Any, rng: Any) -> tuple[Callable[[], Any], Callable[[], Any], Callable[[], float]]:
    given = hand(rng, 22, 544, 1000)
    along = nbgrad.njit(turned_hand).entry("jvp", 1, (0,))
    directions = np.eye(26)
    errors, jacobian = np.empty((1000, 3)), np.empty((26, 1000, 3))
    own = np.empty_like(jacobian)

    def mine() -> Any:
        for k, direction in enumerate(directions):
            value, own[k] = along(*given, direction)
        return value

    theirs = _bound(compiled.ht, 22, 544, 1000, *given, errors, jacobian)

    def apart() -> float:
        theirs()
        pairs = [(mine(), errors), (own, jacobian)]
        return max(float(np.max(np.abs(a - b)) / np.max(np.abs(b))) for a, b in pairs)

    return mine, theirs, apart


def measured(
    least: Callable[[dict[str, Callable[[], Any]], int], dict[str, float]], rounds: int
) -> list[dict[str, Any]]:
    """Give a row for each problem, of times that `least` measures; none where there is no g++."""
    rows = []
    with tempfile.TemporaryDirectory() as directory:
        by_hand, recorded = library(BY_HAND, directory), with_cppad(directory)
        if by_hand is None:
            return []
        others = cases(recorded) if recorded is not None else {}
        for name, (mine, by_hand_too, apart) in cases(by_hand).items():
            steps = {"nbgrad": mine, "C++": by_hand_too}
            distances = [apart()]
            if name in others:
                steps["CppAD"] = others[name][1]
                distances.append(others[name][2]())
            assert max(distances) < 1e-9, (name, distances)
            samples = least(steps, rounds)
            rows.append({"name": name, "nbgrad": samples["nbgrad"], "other": samples["C++"],
                         "recorded": samples.get("CppAD"), "ratio": samples["nbgrad"] / samples["C++"]})  # fmt: skip
    return rows
