"""Train a small network on scikit-learn's handwritten digits, and see how well it reads digits it never saw.

The data are real: 1797 scans of 8 by 8 pixels (UCI "Optical Recognition of Handwritten Digits", in scikit-learn).
Run it with ``python examples/digits.py``; ``--help`` lists the options. The same seed gives the same numbers.
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
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

import nbgrad
from nbgrad.nn import functional as F

MOMENTUM = 0.9


def initial(sizes: tuple[int, ...], device: str) -> list[nbgrad.Variable]:
    """Draw the weights, and set the biases to zero, in turns: layer by layer."""
    parameters = []
    for inputs, outputs in pairwise(sizes):
        parameters.append((nbgrad.randn(inputs, outputs, dtype=np.float32) * float(np.sqrt(2 / inputs))).detach())
        parameters.append(nbgrad.zeros(outputs, dtype=np.float32))
    return [parameter.to(device).requires_grad_() for parameter in parameters]


def network(parameters: list[nbgrad.Variable], x: nbgrad.Variable) -> nbgrad.Variable:
    """Layers of rectifiers, and a linear one at the end."""
    *hidden, (weight, bias) = zip(parameters[::2], parameters[1::2], strict=True)
    for w, b in hidden:
        x = nbgrad.relu(x @ w + b)
    return x @ weight + bias


def eager_step(parameters, velocities, x, labels, rate):
    """Go one step of stochastic gradient descent with momentum, in place."""
    loss = F.cross_entropy(network(parameters, nbgrad.tensor(x)), nbgrad.tensor(labels))
    loss.backward()
    for p, velocity in zip(parameters, velocities, strict=True):
        velocity *= MOMENTUM
        velocity += p.grad.data
        p.data -= rate * velocity
        p.cleargrad()
    return loss.item(), parameters, velocities


@functools.partial(nbgrad.jit, donate_argnums=(0, 1))
def compiled_step(parameters, velocities, x, labels, rate):
    """Go the same step as a few fused kernels, which give new parameters in place of the old ones."""

    def loss(*parameters):
        return F.cross_entropy(network(parameters, x), labels)

    value, slopes = nbgrad.value_and_grad(loss, tuple(range(len(parameters))))(*parameters)
    velocities = [MOMENTUM * v + slope for v, slope in zip(velocities, slopes, strict=True)]
    return value, [p - rate * v for p, v in zip(parameters, velocities, strict=True)], velocities


def accuracy(parameters: list[nbgrad.Variable], x: nbgrad.Variable, labels: np.ndarray) -> float:
    with nbgrad.no_grad():
        return float((network(parameters, x).cpu().data.argmax(1) == labels).mean())


def main() -> None:
    started = time.perf_counter()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--plot", type=Path, default=Path("digits.png"), help="where the loss curve goes")
    parser.add_argument("--jit", action="store_true", help="compile the whole training step")
    parser.add_argument("--device", default="cpu", help="where to train: cpu, or cuda with nbgrad[cuda13]")
    options = parser.parse_args()

    digits = load_digits()
    images = (digits.data / 16).astype(np.float32)
    x_train, x_test, y_train, y_test = train_test_split(
        images, digits.target, test_size=0.2, random_state=options.seed, stratify=digits.target
    )
    x_test = nbgrad.tensor(x_test, device=options.device)
    x_train, y_train = (nbgrad.tensor(array, device=options.device).data for array in (x_train, y_train))
    nbgrad.manual_seed(options.seed)
    order = np.random.default_rng(options.seed)
    parameters = initial((64, 128, 64, 10), options.device)
    step = eager_step
    if options.jit:
        step, parameters = compiled_step, [p.data for p in parameters]
    velocities = [nbgrad.zeros_like(p).data for p in parameters]

    losses: list[float] = []
    accuracies: list[float] = []
    trained = time.perf_counter()
    epochs = tqdm(range(options.epochs), desc="training", unit="epoch")
    for epoch in epochs:
        rate = float(options.rate * 0.5 * (1 + np.cos(np.pi * epoch / options.epochs)))
        shuffled = order.permutation(len(x_train))
        for start in range(0, len(shuffled), options.batch):
            batch = shuffled[start : start + options.batch]
            loss, parameters, velocities = step(parameters, velocities, x_train[batch], y_train[batch], rate)
            losses.append(float(loss))
            if len(losses) == 1:
                tqdm.write(f"first step after {time.perf_counter() - started:.1f} s")
        accuracies.append(accuracy([nbgrad.tensor(p) for p in parameters], x_test, y_test))
        epochs.set_postfix(loss=f"{losses[-1]:.4f}", accuracy=f"{accuracies[-1]:.2%}")

    seconds = time.perf_counter() - trained
    print(f"{len(losses)} steps in {seconds:.2f} s")
    print(f"test accuracy {accuracies[-1]:.2%} on {len(y_test)} digits that were held out")
    figure, left = plt.subplots(figsize=(7, 4), layout="constrained")
    steps = np.arange(1, len(losses) + 1) * options.epochs / len(losses)
    left.semilogy(steps, losses, color="tab:blue", linewidth=0.6, alpha=0.5, label="loss of a batch")
    left.set(xlabel="epoch", ylabel="cross entropy", title="Handwritten digits, 64-128-64-10 network")
    right = left.twinx()
    right.plot(range(1, len(accuracies) + 1), accuracies, color="tab:orange", label="test accuracy")
    right.set(ylabel="accuracy", ylim=(min(0.9, *accuracies), 1))
    figure.legend(loc="upper center", bbox_to_anchor=(0.5, 0.9), ncols=2)
    figure.savefig(options.plot, dpi=150)
    print(f"loss curve in {options.plot}")


if __name__ == "__main__":
    main()
