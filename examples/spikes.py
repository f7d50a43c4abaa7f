"""A long short-term memory foretells the voltage of a nerve cell, as a patch clamp recorded it while it fired.

The recording comes with matplotlib (`membrane.dat`). From what the cell did so far, its voltage two milliseconds ahead
is foretold. After 30 epochs on the first part of the spikes the root of the mean squared error on the part that
follows is 0.26 of that of saying that nothing will change.

    python examples/spikes.py --jit
"""

import argparse
import time
from pathlib import Path

import matplotlib as mpl
import numpy as np
from tqdm import tqdm

import nbgrad
from nbgrad import nn, optim
from nbgrad.nn import functional as F

AHEAD, LENGTH = 4, 100  # of half a millisecond each


class Foreteller(nn.Module):
    """An LSTM, and a linear map of its output: by how much the voltage will change."""

    def __init__(self, size: int = 48) -> None:
        super().__init__()
        self.memory, self.last = nn.LSTM(2, size), nn.Linear(size, 1)

    def forward(self, x: nbgrad.Variable) -> nbgrad.Variable:
        """Give (steps, batch) for (steps, batch, voltage and its last change)."""
        return self.last(self.memory(x)[0])[..., 0]


def series() -> tuple[np.ndarray, np.ndarray]:
    """Give inputs of (steps, 2) and the changes to foretell, standardised, of the time in which the cell fires."""
    voltage = np.fromfile(Path(mpl.get_data_path(), "sample_data", "membrane.dat"), np.float32)[1500:7500]
    voltage = (voltage - voltage.mean()) / voltage.std()
    inputs = np.stack([voltage[1:], 5 * np.diff(voltage)], 1)
    return inputs[:-AHEAD], voltage[1 + AHEAD :] - voltage[1:-AHEAD]


def picture(truth: np.ndarray, foretold: np.ndarray, path: str) -> None:
    """Show the voltage, and what had been foretold of it."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    time_of = np.arange(len(truth)) / 2
    plt.figure(figsize=(9, 3.2))
    plt.plot(time_of, truth, label="voltage")
    plt.plot(time_of, foretold, lw=1, label=f"foretold {AHEAD / 2:g} ms before")
    plt.xlabel("milliseconds of the part held out")
    plt.ylabel("standard deviations")
    plt.legend(loc="upper right")
    plt.tight_layout()
    plt.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jit", action="store_true", help="compile the whole training step")
    parser.add_argument("--out", default=str(Path(__file__).with_suffix(".png")))
    options = parser.parse_args()
    nbgrad.manual_seed(options.seed)
    nbgrad.set_default_dtype("float32")
    rng = np.random.default_rng(options.seed)
    inputs, changes = series()
    split = len(inputs) * 3 // 4
    model = Foreteller().to(options.device)
    optimizer = optim.Adam(model.parameters())
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, epochs=options.epochs, steps_per_epoch=8)

    def step(x: nbgrad.Variable, y: nbgrad.Variable) -> nbgrad.Variable:
        optimizer.zero_grad()
        loss = F.mse_loss(model(x)[20:], y[20:])  # the first steps have seen nothing yet
        loss.backward()
        optimizer.step()
        return loss

    if options.jit:
        step = nbgrad.jit(step)
    begin = time.perf_counter()
    epochs = tqdm(range(options.epochs))
    for _ in epochs:
        losses = []
        for _ in range(8):
            places = rng.integers(0, split - LENGTH, 32) + np.arange(LENGTH)[:, None]
            x, y = (nbgrad.tensor(part[places], device=options.device) for part in (inputs, changes))
            losses.append(step(x, y).item())
            schedule.step()
        epochs.set_postfix(loss=f"{np.mean(losses):.4f}")
    print(f"{options.epochs} epochs in {time.perf_counter() - begin:.1f} s")
    with nbgrad.no_grad():
        found = model(nbgrad.tensor(inputs[split:, None], device=options.device)).cpu().numpy()[:, 0]
    held = changes[split:]
    share = np.sqrt(np.mean((found - held)[20:] ** 2) / np.mean(held[20:] ** 2))
    before = inputs[split:, 0]
    picture((before + held)[100:700], (before + found)[100:700], options.out)
    print(f"the error on the part held out is {share:.3f} of that of saying that nothing will change")


if __name__ == "__main__":
    main()
