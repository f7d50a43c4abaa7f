"""Solve the heat equation by a network that knows it only by its derivatives, and hold it against the exact solution.

u_t = 0.1 u_xx on a rod with cold ends, from u = sin(pi x) + sin(3 pi x) / 2. The loss is how far a network u(x, t) is
from fulfilling that, so each step takes gradients of second derivatives: `nbgrad.jit` compiles them as one.
After 3000 steps no temperature between 0 and 1 is off by more than 0.0103, of temperatures up to 1.08.

Run it with ``python examples/heat.py``; ``--help`` lists the options. The same seed gives the same numbers.
"""

import argparse
import functools
import time
from itertools import pairwise
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

import nbgrad

DIFFUSION = 0.1


def initial(random, sizes):
    """Draw the weights, and set the biases to zero."""
    return [(random.normal(size=(n, m)) * np.sqrt(1 / n), np.zeros(m)) for n, m in pairwise(sizes)]


def network(parameters, points):
    """Give the temperature at points (x, t), a column of them."""
    *hidden, (w, b) = parameters
    for weight, bias in hidden:
        points = nbgrad.tanh(points @ weight + bias)
    return points @ w + b


def start(x):
    return nbgrad.sin(np.pi * x) + 0.5 * nbgrad.sin(3 * np.pi * x)


def loss(parameters, points):
    """How far the network is from the equation at points, and from the temperatures at the beginning and the ends."""

    def slopes(points):
        # points do not depend on one another, so the gradient of their sum has each one's
        by_point = nbgrad.grad(lambda z: network(parameters, z).sum())(points)
        return by_point[:, 0].sum(), by_point

    by_x, first = nbgrad.grad(slopes, has_aux=True)(points)
    equation = first[:, 1] - DIFFUSION * by_x[:, 0]
    x, t = points[:, :1], points[:, 1:]
    beginning = network(parameters, nbgrad.cat([x, 0.0 * t], 1)) - start(x)
    ends = [network(parameters, nbgrad.cat([0.0 * x + end, t], 1)) for end in (0.0, 1.0)]
    return (equation**2).mean() + 10.0 * (beginning**2).mean() + 10.0 * sum((end**2).mean() for end in ends)


@functools.partial(nbgrad.jit, donate_argnums=(0, 1, 2))
def step(parameters, means, squares, points, count, rate):
    """Go one step of Adam."""
    value, gradients = nbgrad.value_and_grad(loss)(parameters, points)
    moved, first, second = [], [], []
    for layer, m_layer, v_layer, g_layer in zip(parameters, means, squares, gradients, strict=True):
        news = []
        for p, m, v, g in zip(layer, m_layer, v_layer, g_layer, strict=True):
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            scaled = m / (1 - 0.9**count) / (np.sqrt(v / (1 - 0.999**count)) + 1e-8)
            news.append((p - rate * scaled, m, v))
        for made, part in zip((moved, first, second), zip(*news, strict=True), strict=True):
            made.append(part)
    return value, moved, first, second


def exact(x, t):
    return sum(a * np.exp(-DIFFUSION * (k * np.pi) ** 2 * t) * np.sin(k * np.pi * x) for k, a in ((1, 1.0), (3, 0.5)))


def main():
    """Train, and draw what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--points", type=int, default=512, help="points of a step, drawn anew each time")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--rate", type=float, default=4e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", type=Path, default=Path("heat.png"))
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    parameters = initial(random, (2, options.width, options.width, options.width, 1))
    means, squares = ([tuple(np.zeros_like(a) for a in layer) for layer in parameters] for _ in range(2))
    losses = []
    started = time.perf_counter()
    for count in (steps := tqdm(range(1, options.steps + 1), desc="training")):
        rate = float(options.rate * 0.5 * (1 + np.cos(np.pi * count / options.steps)))
        value, parameters, means, squares = step(
            parameters, means, squares, random.random((options.points, 2)), float(count), rate
        )
        losses.append(float(value))
        if count == 1:
            tqdm.write(f"first step after {time.perf_counter() - started:.1f} s")
        if count % 100 == 0:
            steps.set_postfix(loss=f"{losses[-1]:.2e}")
    x, t = np.meshgrid(np.linspace(0, 1, 101), np.linspace(0, 1, 101))
    found = np.asarray(network(parameters, np.stack([x.ravel(), t.ravel()], 1))).reshape(x.shape)
    error = found - exact(x, t)
    print(f"{options.steps} steps in {time.perf_counter() - started:.1f} s")
    print(f"largest error {abs(error).max():.4f}, of temperatures up to {abs(found).max():.2f}")
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.6), layout="constrained")
    for axes, values, title in ((left, found, "temperature"), (middle, error, "error")):
        limit = abs(values).max()
        image = axes.pcolormesh(
            x, t, values, cmap="RdBu_r", vmin=-limit, vmax=limit, shading="gouraud", rasterized=True
        )
        axes.set(xlabel="x", ylabel="t", title=title)
        figure.colorbar(image, ax=axes)
    right.semilogy(np.arange(1, len(losses) + 1), losses, linewidth=0.6)
    right.set(xlabel="step", title="loss")
    figure.savefig(options.plot, dpi=150)
    print(f"picture in {options.plot}")


if __name__ == "__main__":
    main()
