"""A transformer that reads Python's documentation character by character, and says which comes next.

The text is that of ``help()``, which every Python has with it (`pydoc_data`): 80 % of the topics to learn from, the
others to tell how many bits a character of them takes: 2.84 after the 480 steps of 8 epochs, from 6.9.

    python examples/characters.py --jit
"""

import argparse
import math
import time
from pathlib import Path
from pydoc_data.topics import topics

import numpy as np
from tqdm import tqdm

import nbgrad
from nbgrad import nn, optim
from nbgrad.nn import functional as F

CONTEXT, BATCH, STEPS = 64, 16, 60


class Reader(nn.Module):
    """Characters and places as vectors, layers of causal attention, and a distribution of the next character."""

    def __init__(self, characters: int, width: int = 64, layers: int = 2) -> None:
        super().__init__()
        self.character, self.place = nn.Embedding(characters, width), nn.Embedding(CONTEXT, width)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.1, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, nn.LayerNorm(width))
        self.last = nn.Linear(width, characters)
        self.register_buffer("places", nbgrad.tensor(np.arange(CONTEXT)), persistent=False)
        self.register_buffer("future", nbgrad.tensor(np.triu(np.ones((CONTEXT, CONTEXT), bool), 1)), persistent=False)

    def forward(self, codes: nbgrad.Variable) -> nbgrad.Variable:
        """Give (batch, CONTEXT, characters) for codes of (batch, CONTEXT)."""
        x = self.character(codes) + self.place(self.places)
        return self.last(self.layers(x, mask=self.future))


def texts() -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Give the topics as codes, those to learn from and those to be asked about, and what the codes mean."""
    parts = [text for _, text in sorted(topics.items())]
    alphabet = sorted(set("".join(parts)))
    number = {character: code for code, character in enumerate(alphabet)}
    held = [text for k, text in enumerate(parts) if k % 5 == 4]
    seen = [text for k, text in enumerate(parts) if k % 5 != 4]
    return *(np.array([number[c] for c in "".join(some)]) for some in (seen, held)), alphabet


def written(model: Reader, alphabet: list[str], begin: str, count: int, rng: np.random.Generator) -> str:
    """Have the model go on with a text, each character drawn by the probability that it is given."""
    codes = [alphabet.index(c) for c in begin]
    device = model.last.weight.device
    with nbgrad.no_grad():
        for _ in range(count):
            recent = codes[-CONTEXT:]
            padded = np.array([recent + [0] * (CONTEXT - len(recent))])
            scores = model(nbgrad.tensor(padded, device=device))[0, len(recent) - 1]
            weights = F.softmax(scores / 0.7, 0).cpu().numpy().astype(float)
            codes.append(rng.choice(len(alphabet), p=weights / weights.sum()))
    text = "".join(alphabet[code] for code in codes)
    return "\n".join(line[k : k + 72] for line in text.split("\n") for k in range(0, max(len(line), 1), 72))


def picture(bits: list[float], text: str, path: str) -> None:
    """Show how many bits a character took from epoch to epoch, and what the model writes."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    _, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    left.plot(range(len(bits)), bits, "o-")
    left.set(xlabel="epochs", ylabel="bits a character, topics not seen", ylim=(0, None))
    right.text(0, 1, text, va="top", family="monospace", fontsize=7).set_in_layout(False)
    right.axis("off")
    plt.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jit", action="store_true", help="compile the whole training step")
    parser.add_argument("--out", default=str(Path(__file__).with_suffix(".png")))
    options = parser.parse_args()
    nbgrad.manual_seed(options.seed)
    nbgrad.set_default_dtype("float32")
    rng = np.random.default_rng(options.seed)
    seen, held, alphabet = texts()
    model = Reader(len(alphabet)).to(options.device)
    optimizer = optim.AdamW(model.parameters(), lr=1e-3)
    schedule = optim.lr_scheduler.OneCycleLR(optimizer, 5e-3, epochs=options.epochs, steps_per_epoch=STEPS)

    def loss_of(codes: nbgrad.Variable) -> nbgrad.Variable:
        return F.cross_entropy(model(codes[:, :-1]).reshape(-1, len(alphabet)), codes[:, 1:].reshape(-1))

    def step(codes: nbgrad.Variable) -> nbgrad.Variable:
        optimizer.zero_grad()
        loss = loss_of(codes)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss

    if options.jit:
        step = nbgrad.jit(step)

    def bits_of_the_held() -> float:
        model.eval()
        with nbgrad.no_grad():
            places = np.linspace(0, len(held) - CONTEXT - 2, 16 * BATCH).astype(int).reshape(-1, BATCH)
            windows = held[places[..., None] + np.arange(CONTEXT + 1)]
            losses = [loss_of(nbgrad.tensor(w, device=options.device)).item() for w in windows]
        model.train()
        return float(np.mean(losses) / math.log(2))

    begin, bits = time.perf_counter(), [bits_of_the_held()]
    epochs = tqdm(range(options.epochs))
    for _ in epochs:
        for _ in range(STEPS):
            places = rng.integers(0, len(seen) - CONTEXT - 1, BATCH)[:, None]
            step(nbgrad.tensor(seen[places + np.arange(CONTEXT + 1)], device=options.device))
            schedule.step()
        bits.append(bits_of_the_held())
        epochs.set_postfix(bits=f"{bits[-1]:.2f}")
    print(f"{options.epochs} epochs in {time.perf_counter() - begin:.1f} s")
    picture(bits, written(model.eval(), alphabet, "The statement ", 500, rng), options.out)
    print(f"a character of the topics not seen takes {bits[-1]:.2f} bits")


if __name__ == "__main__":
    main()
