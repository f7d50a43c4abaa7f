"""A variational autoencoder (Kingma and Welling, 2014) of scikit-learn's handwritten digits, and what it dreams up.

After 60 epochs the bound on the log-likelihood of 297 digits that it never saw is -24.6 nats or so.

    python examples/vae.py --jit
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


class VAE(nn.Module):
    """An encoder to the mean and the logarithm of the variance of a few numbers, and a decoder of these."""

    def __init__(self, pixels: int = 64, hidden: int = 128, latent: int = 8) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(pixels, hidden), nn.SiLU(), nn.Linear(hidden, 2 * latent))
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.SiLU(), nn.Linear(hidden, pixels))
        self.latent = latent

    def forward(self, x: nbgrad.Variable) -> tuple[nbgrad.Variable, nbgrad.Variable, nbgrad.Variable]:
        """Encode, draw, decode to logits."""
        code = self.encoder(x)
        mean, log_variance = code[:, : self.latent], code[:, self.latent :]
        drawn = mean + (0.5 * log_variance).exp() * nbgrad.randn(*mean.shape, dtype=x.dtype)
        return self.decoder(drawn), mean, log_variance


def minus_bound(model: VAE, x: nbgrad.Variable) -> nbgrad.Variable:
    """Give minus the bound on the log-likelihood, of a digit on average."""
    logits, mean, log_variance = model(x)
    missing = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    spread = -0.5 * (1 + log_variance - mean * mean - log_variance.exp()).sum()
    return (missing + spread) / len(x)


def draw(model: VAE, path: str, device: str) -> None:
    """Decode 64 draws to a picture."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    with nbgrad.no_grad():
        images = model.decoder(nbgrad.randn(64, model.latent, dtype="float32", device=device)).sigmoid().cpu().numpy()
    rows = [np.hstack([np.pad(x, 1) for x in images[8 * k : 8 * k + 8].reshape(8, 8, 8)]) for k in range(8)]
    plt.imsave(path, np.vstack(rows).repeat(6, 0).repeat(6, 1), cmap="gray")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jit", action="store_true", help="compile the whole training step")
    parser.add_argument("--out", default=str(Path(__file__).with_suffix(".png")))
    options = parser.parse_args()
    nbgrad.manual_seed(options.seed)
    nbgrad.set_default_dtype("float32")
    images = nbgrad.tensor((load_digits().data / 16).astype(np.float32), device=options.device)
    model = VAE().to(options.device)
    optimizer = optim.Adam(model.parameters(), lr=2e-3)

    def step(x: nbgrad.Variable) -> nbgrad.Variable:
        optimizer.zero_grad()
        loss = minus_bound(model, x)
        loss.backward()
        optimizer.step()
        return loss

    if options.jit:
        step = nbgrad.jit(step)
    loader = DataLoader(TensorDataset(images[:1500]), batch_size=100, shuffle=True)
    begin = time.perf_counter()
    epochs = tqdm(range(options.epochs))
    for _ in epochs:
        losses = [step(x).item() for (x,) in loader]
        epochs.set_postfix(bound=f"{-np.mean(losses):.2f}")
    print(f"{options.epochs} epochs in {time.perf_counter() - begin:.1f} s")
    with nbgrad.no_grad():
        print(f"bound on digits not seen: {-minus_bound(model, images[1500:]).item():.2f} nats")
    draw(model, options.out, options.device)


if __name__ == "__main__":
    main()
