"""Loops as people write them, in plain Python and NumPy: `nbgrad.njit` compiles and differentiates them as they stand.

python examples/loops.py    the value of each, one of its derivatives, and how long they take
"""

import math

import numba
import numpy as np


def energy(x, q, cutoff):
    """N bodies that push each other away, near ones only."""
    n = x.shape[0]
    force = np.zeros(n)
    e = 0.0
    for i in range(n):
        for j in range(i):
            r2 = 0.0
            for k in range(3):
                d = x[i, k] - x[j, k]
                r2 += d * d
            if r2 < cutoff * cutoff:
                p = q[i] * q[j] / math.sqrt(r2)
                force[i] += p
                e += p
    return e + 0.5 * (force * force).sum()


def lotka_volterra(y0, rates, steps):
    """Runge and Kutta's method of fourth order."""

    def slope(y):
        d = np.empty(2)
        d[0] = rates[0] * y[0] - rates[1] * y[0] * y[1]
        d[1] = rates[2] * y[0] * y[1] - rates[3] * y[1]
        return d

    h = 0.05
    y = y0
    for _ in range(steps):
        k1 = slope(y)
        k2 = slope(y + 0.5 * h * k1)
        k3 = slope(y + 0.5 * h * k2)
        k4 = slope(y + h * k3)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return y


def stiff(y0, stiffness, steps):
    """Implicit Euler, Newton's method inside."""
    h = 0.1
    y = y0
    for _ in range(steps):
        z = y
        for _ in range(20):
            residual = z - y + h * stiffness * (z**3 - math.cos(z))
            slope = 1.0 + h * stiffness * (3 * z**2 + math.sin(z))
            step = residual / slope
            z -= step
            if abs(step) < 1e-13:
                break
        y = z
    return y


def hidden_markov(start, moves, emits):
    """The forward algorithm, in logarithms."""
    steps, states = emits.shape
    alpha = start + emits[0]
    for t in range(1, steps):
        new = np.empty(states)
        for j in range(states):
            most = -np.inf
            for i in range(states):
                most = max(most, alpha[i] + moves[i, j])
            total = 0.0
            for i in range(states):
                total += np.exp(alpha[i] + moves[i, j] - most)
            new[j] = most + np.log(total) + emits[t, j]
        alpha = new
    most = alpha.max()
    return most + np.log(np.exp(alpha - most).sum())


def kalman(observed, q, r):
    """The log-likelihood of a moving point whose place is seen."""
    state = np.zeros(2)
    cov = np.eye(2)
    move = np.array([[1.0, 1.0], [0.0, 1.0]])
    total = 0.0
    for t in range(observed.size):
        state = move @ state
        cov = move @ cov @ move.T
        cov[0, 0] += q
        cov[1, 1] += q
        innovation = observed[t] - state[0]
        s = cov[0, 0] + r
        gain = cov[:, 0] / s
        state = state + gain * innovation
        cov = cov - np.outer(gain, cov[0, :])
        total -= 0.5 * (innovation * innovation / s + math.log(s))
    return total


def soft_dtw(x, y, gamma):
    """Dynamic programming with a soft minimum."""
    n, m = x.size, y.size
    cost = np.full((n + 1, m + 1), 1e10)
    cost[0, 0] = 0.0
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            d = (x[i - 1] - y[j - 1]) ** 2
            a, b, c = cost[i - 1, j - 1], cost[i - 1, j], cost[i, j - 1]
            least = min(a, b, c)
            total = 0.0
            for v in (a, b, c):
                total += math.exp((least - v) / gamma)
            cost[i, j] = d + least - gamma * math.log(total)
    return cost[n, m]


def monte_carlo(spot, strike, rate, sigma, years, normals):
    """A call by Black and Scholes, by Monte Carlo."""
    drift = (rate - 0.5 * sigma * sigma) * years
    spread = sigma * math.sqrt(years)
    total = 0.0
    for i in range(normals.size):
        end = spot * math.exp(drift + spread * normals[i])
        if end > strike:
            total += end - strike
    return math.exp(-rate * years) * total / normals.size


@numba.njit
def log_density(x, precision):
    total = 0.0
    for i in range(x.size):
        total -= 0.5 * precision[i] * x[i] * x[i] + 0.1 * x[i] ** 4
    return total


@numba.njit
def slope_of(x, precision):
    g = np.empty_like(x)
    for i in range(x.size):
        g[i] = -precision[i] * x[i] - 0.4 * x[i] ** 3
    return g


def leapfrog(x, momentum, precision, step, count):
    """A step of Hamiltonian Monte Carlo."""
    p = momentum + 0.5 * step * slope_of(x, precision)
    for k in range(count):
        x = x + step * p
        scale = 1.0 if k < count - 1 else 0.5
        p = p + scale * step * slope_of(x, precision)
    return log_density(x, precision) - 0.5 * np.sum(p * p), x


def smoothing(image, strength, rounds):
    """A stencil, back and forth between two arrays."""
    a = image.copy()
    b = image.copy()
    for _ in range(rounds):
        for i in range(1, a.shape[0] - 1):
            for j in range(1, a.shape[1] - 1):
                lap = a[i - 1, j] + a[i + 1, j] + a[i, j - 1] + a[i, j + 1] - 4 * a[i, j]
                b[i, j] = a[i, j] + strength * lap / (1 + lap * lap)
        a, b = b, a
    return a


def smith_waterman(scores, gap):
    """A recursion of maxima."""
    n, m = scores.shape
    h = np.zeros((n + 1, m + 1))
    best = 0.0
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            v = max(0.0, h[i - 1, j - 1] + scores[i - 1, j - 1])
            v = max(v, h[i - 1, j] - gap)
            h[i, j] = max(v, h[i, j - 1] - gap)
            if h[i, j] > best:
                best = h[i, j]
    return best


def cholesky(a):
    """Three loops."""
    n = a.shape[0]
    c = np.zeros_like(a)
    for j in range(n):
        s = a[j, j]
        for k in range(j):
            s -= c[j, k] ** 2
        c[j, j] = math.sqrt(s)
        for i in range(j + 1, n):
            s = a[i, j]
            for k in range(j):
                s -= c[i, k] * c[j, k]
            c[i, j] = s / c[j, j]
    return c


def _random(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape)


def arguments():
    """Give each program with its arguments."""
    square = _random(4, 4)
    return {
        energy: (_random(5, 3), _random(5), 3.0),
        lotka_volterra: (np.array([1.0, 0.5]), np.array([1.1, 0.4, 0.1, 0.4]), 6),
        stiff: (0.5, 40.0, 4),
        hidden_markov: (_random(3), _random(3, 3), _random(5, 3)),
        kalman: (_random(6), 0.1, 0.5),
        soft_dtw: (_random(4), _random(5), 0.7),
        monte_carlo: (100.0, 105.0, 0.03, 0.2, 1.5, _random(20)),
        leapfrog: (_random(3), _random(3), np.array([1.0, 2.0, 0.5]), 0.1, 3),
        smoothing: (_random(5, 6), 0.2, 3),
        smith_waterman: (_random(4, 5), 0.3),
        cholesky: (square @ square.T + 4 * np.eye(4),),
    }


def main():
    """Print each program's value, and how long its gradient takes."""
    import timeit

    import nbgrad

    for function, given in arguments().items():
        compiled = nbgrad.njit(function)
        values = compiled(*given)
        results = values if isinstance(values, tuple) else (values,)
        cotangents = [np.ones_like(y) if np.ndim(y) else 1.0 for y in results]
        _, gradients = compiled.vjp(*given, *cotangents)
        size = max((np.max(np.abs(g)) for g in gradients if g is not None and np.size(g)), default=0.0)
        forth, back = (
            min(timeit.repeat(call, number=100, repeat=5)) / 100
            for call in (lambda c=compiled, a=given: c(*a), lambda c=compiled, a=given, g=cotangents: c.vjp(*a, *g))
        )
        print(f"{function.__name__:15} value {1e6 * forth:7.1f} us, gradient {1e6 * back:7.1f} us, at most {size:.4g}")


if __name__ == "__main__":
    main()
