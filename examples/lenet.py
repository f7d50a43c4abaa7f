"""A convolutional network, after LeNet, on scikit-learn's handwritten digits, with batch norm and dropout.

After 15 epochs it knows 96.3 % of the 297 digits that it never saw, of other writers.

    python examples/lenet.py --jit
"""

import argparse
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from tqdm import tqdm

import nbgrad
from nbgrad import nn, optim
from nbgrad.nn import functional as F
from nbgrad.utils.data import DataLoader, TensorDataset


def network() -> nn.Module:
    """Two convolutions, pools, and two linear maps, for images of 8 by 8."""
    return nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1, bias=False),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(96, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def picture(model: nn.Module, images: nbgrad.Variable, labels: np.ndarray, path: str) -> None:
    """Show the digits that the model is least sure of, with what it takes them for."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    with nbgrad.no_grad():
        probabilities = model(images).softmax(1).cpu().numpy()
    order = np.argsort(probabilities.max(1))[:20]
    _, places = plt.subplots(2, 10, figsize=(10, 2.6))
    pixels = images.cpu().numpy()
    for place, number in zip(places.flat, order, strict=True):
        place.imshow(pixels[number, 0], cmap="gray_r")
        guess = probabilities[number].argmax()
        right = guess == labels[number]
        place.set_title(f"{guess} ({probabilities[number].max():.0%})", fontsize=7, color="black" if right else "red")
        place.axis("off")
    plt.tight_layout()
    plt.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jit", action="store_true", help="compile the whole training step")
    parser.add_argument("--out", default=str(Path(__file__).with_suffix(".png")))
    options = parser.parse_args()
    nbgrad.manual_seed(options.seed)
    nbgrad.set_default_dtype("float32")
    data, labels = load_digits(return_X_y=True)
    images = nbgrad.tensor((data / 16).astype(np.float32).reshape(-1, 1, 8, 8), device=options.device)
    targets = nbgrad.tensor(labels.astype(np.int64), device=options.device)
    model = network().to(options.device)
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    loader = DataLoader(TensorDataset(images[:1500], targets[:1500]), batch_size=64, shuffle=True, drop_last=True)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 0.2, epochs=options.epochs, steps_per_epoch=len(loader))

    def step(x: nbgrad.Variable, y: nbgrad.Variable) -> nbgrad.Variable:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    if options.jit:
        step = nbgrad.jit(step)
    print(nbgrad.utils.summary(model, images[:64]))
    begin = time.perf_counter()
    epochs = tqdm(range(options.epochs))
    for _ in epochs:
        losses = []
        for x, y in loader:
            losses.append(step(x, y).item())
            schedule.step()
        epochs.set_postfix(loss=f"{np.mean(losses):.4f}")
    print(f"{options.epochs} epochs in {time.perf_counter() - begin:.1f} s")
    model.eval()
    with nbgrad.no_grad():
        guesses = model(images[1500:]).max(1)[1]
    print(f"{(guesses == targets[1500:]).astype(float).mean().item():.1%} of the digits not seen are right")
    picture(model, images[1500:], labels[1500:], options.out)


if __name__ == "__main__":
    main()
