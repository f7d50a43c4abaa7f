"""Regression by a Gaussian process whose length scales are learned, on scikit-learn's diabetes patients.

Each of ten measurements has a length scale of its own; those that do not matter become long. After 150 steps the root
of the mean squared error for 100 patients held out is 0.70 of their standard deviation, with 95 % of them
within the process's own two standard deviations.

    python examples/gaussian_process.py --jit
"""

import argparse
import math
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_diabetes
from tqdm import tqdm

import nbgrad
from nbgrad import optim

NAMES = ("age", "sex", "bmi", "pressure", "s1", "s2", "s3", "s4", "s5", "s6")


def covariance(p: dict, a: nbgrad.Variable, b: nbgrad.Variable) -> nbgrad.Variable:
    """Give how alike rows of a and of b are: exp(-|difference / scales|**2 / 2) times a variance, and a linear part."""
    scale = nbgrad.exp(p["scales"])
    x, y = a / scale, b / scale
    distance = (x * x).sum(1)[:, None] + (y * y).sum(1)[None] - 2 * x @ y.T
    return nbgrad.exp(p["variance"] - distance.clip(0, None) / 2) + nbgrad.exp(p["linear"]) * (a @ b.T)


def with_noise(p: dict, x: nbgrad.Variable) -> nbgrad.Variable:
    """Give the covariance of what is measured."""
    return covariance(p, x, x) + (nbgrad.exp(p["noise"]) + 1e-6) * nbgrad.eye(x.shape[0], device=x.device)


def surprise(p: dict, x: nbgrad.Variable, y: nbgrad.Variable) -> nbgrad.Variable:
    """Give minus the logarithm of the likelihood, a patient (Rasmussen and Williams, 2006, equation 2.30)."""
    root = nbgrad.linalg.cholesky(with_noise(p, x))
    z = nbgrad.linalg.solve_triangular(root, y[:, None], upper=False)
    whole = (z * z).sum() / 2 + nbgrad.log(root.diagonal()).sum() + len(y) / 2 * math.log(2 * math.pi)
    return whole / len(y)


def predicted(p: dict, x: nbgrad.Variable, y: nbgrad.Variable, new: nbgrad.Variable) -> tuple[np.ndarray, np.ndarray]:
    """Give mean and standard deviation for new patients."""
    with nbgrad.no_grad():
        root = nbgrad.linalg.cholesky(with_noise(p, x))
        between = nbgrad.linalg.solve_triangular(root, covariance(p, x, new), upper=False)
        mean = between.T @ nbgrad.linalg.solve_triangular(root, y[:, None], upper=False)
        variance = with_noise(p, new).diagonal() - (between * between).sum(0)
    return mean[:, 0].cpu().numpy(), np.sqrt(variance.cpu().numpy())


def picture(scales: np.ndarray, mean: np.ndarray, spread: np.ndarray, truth: np.ndarray, path: str) -> None:
    """Show which measurements matter, and what was predicted beside what was."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    _, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
    left.barh(NAMES, 1 / scales)
    left.set(xlabel="1 / length scale")
    right.errorbar(truth, mean, 2 * spread, fmt=".", lw=0.6, alpha=0.7)
    right.plot([truth.min(), truth.max()], [truth.min(), truth.max()], "k--", lw=0.8)
    right.set(xlabel="progression (standardised)", ylabel="predicted, two standard deviations")
    plt.tight_layout()
    plt.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=150, help="steps, each by all patients")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jit", action="store_true", help="compile a whole step")
    parser.add_argument("--out", default=str(Path(__file__).with_suffix(".png")))
    options = parser.parse_args()
    data, target = load_diabetes(return_X_y=True)
    order = np.random.default_rng(options.seed).permutation(len(data))
    data, target = data[order], target[order]
    data = (data - data[100:].mean(0)) / data[100:].std(0)
    target = (target - target[100:].mean()) / target[100:].std()
    x, y, new = (nbgrad.tensor(part, device=options.device) for part in (data[100:], target[100:], data[:100]))
    starts = {"scales": np.full(10, math.log(3.0)), "variance": -1.0, "linear": -3.0, "noise": -1.0}
    p = {k: nbgrad.tensor(np.array(v), requires_grad=True, device=options.device) for k, v in starts.items()}
    optimizer = optim.Adam(p.values(), lr=0.05)

    def step() -> nbgrad.Variable:
        optimizer.zero_grad()
        loss = surprise(p, x, y)
        loss.backward()
        optimizer.step()
        return loss

    if options.jit:
        step = nbgrad.jit(step)
    begin = time.perf_counter()
    steps = tqdm(range(options.epochs))
    for _ in steps:
        steps.set_postfix(surprise=f"{step().item():.4f}")
    print(f"{options.epochs} steps in {time.perf_counter() - begin:.1f} s")
    mean, spread = predicted(p, x, y, new)
    truth = target[:100]
    picture(np.exp(p["scales"].detach().cpu().numpy()), mean, spread, truth, options.out)
    error, within = np.sqrt(np.mean((mean - truth) ** 2)) / truth.std(), np.mean(np.abs(mean - truth) < 2 * spread)
    print(f"error {error:.3f} of the standard deviation of the patients held out, {within:.0%} within two of its own")


if __name__ == "__main__":
    main()
