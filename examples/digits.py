"""Train a small network on scikit-learn's handwritten digits, and see how well it reads digits it never saw.

The data are real: 1797 scans of 8 by 8 pixels (UCI "Optical Recognition of Handwritten Digits", in scikit-learn).
Run it with ``python examples/digits.py``; ``--help`` lists the options. The same seed gives the same numbers.
"""

import argparse
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


class Network:
    """Two hidden layers of rectifiers."""

    def __init__(self, *sizes: int) -> None:
        self.weights = [
            (nbgrad.randn(inputs, outputs, dtype=np.float32) * float(np.sqrt(2 / inputs))).requires_grad_()
            for inputs, outputs in pairwise(sizes)
        ]
        self.biases = [nbgrad.zeros(outputs, dtype=np.float32, requires_grad=True) for outputs in sizes[1:]]

    @property
    def parameters(self) -> list[nbgrad.Variable]:
        return [*self.weights, *self.biases]

    def __call__(self, x: nbgrad.Variable) -> nbgrad.Variable:
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            x = (x @ weight + bias).relu()
        return x @ self.weights[-1] + self.biases[-1]


class MomentumSGD:
    """Stochastic gradient descent with momentum, in place on the parameters' arrays."""

    def __init__(self, parameters: list[nbgrad.Variable], rate: float, momentum: float = 0.9) -> None:
        self.parameters, self.rate, self.momentum = parameters, rate, momentum
        self.velocities = [np.zeros_like(p.data) for p in parameters]

    def step(self) -> None:
        for p, velocity in zip(self.parameters, self.velocities, strict=True):
            velocity *= self.momentum
            velocity += p.grad.data
            p.data -= self.rate * velocity
            p.cleargrad()


def accuracy(network: Network, x: nbgrad.Variable, labels: np.ndarray) -> float:
    with nbgrad.no_grad():
        return float((network(x).data.argmax(1) == labels).mean())


def main() -> None:
    started = time.perf_counter()
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--plot", type=Path, default=Path("digits.png"), help="where the loss curve goes")
    options = parser.parse_args()

    digits = load_digits()
    images = (digits.data / 16).astype(np.float32)
    x_train, x_test, y_train, y_test = train_test_split(
        images, digits.target, test_size=0.2, random_state=options.seed, stratify=digits.target
    )
    x_test = nbgrad.tensor(x_test)
    nbgrad.manual_seed(options.seed)
    order = np.random.default_rng(options.seed)
    network = Network(64, 128, 64, 10)
    optimizer = MomentumSGD(network.parameters, options.rate)

    losses: list[float] = []
    accuracies: list[float] = []
    epochs = tqdm(range(options.epochs), desc="training", unit="epoch")
    for epoch in epochs:
        optimizer.rate = options.rate * 0.5 * (1 + np.cos(np.pi * epoch / options.epochs))
        shuffled = order.permutation(len(x_train))
        for start in range(0, len(shuffled), options.batch):
            batch = shuffled[start : start + options.batch]
            loss = F.cross_entropy(network(nbgrad.tensor(x_train[batch])), nbgrad.tensor(y_train[batch]))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if len(losses) == 1:
                tqdm.write(f"first step after {time.perf_counter() - started:.1f} s")
        accuracies.append(accuracy(network, x_test, y_test))
        epochs.set_postfix(loss=f"{losses[-1]:.4f}", accuracy=f"{accuracies[-1]:.2%}")

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
