"""A variational autoencoder of handwritten digits, written for PyTorch."""

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn, optim
from torch.nn import functional as F


class VAE(nn.Module):
    def __init__(self, noise):
        super().__init__()
        self.noise = noise
        self.fc1 = nn.Linear(64, 40)
        self.fc21 = nn.Linear(40, 5)
        self.fc22 = nn.Linear(40, 5)
        self.fc3 = nn.Linear(5, 40)
        self.fc4 = nn.Linear(40, 64)

    def encode(self, x):
        h1 = F.relu(self.fc1(x))
        return self.fc21(h1), self.fc22(h1)

    def reparameterize(self, mu, logvar):
        std = torch.exp(0.5 * logvar)
        eps = torch.tensor(self.noise.normal(size=tuple(std.shape)))
        return mu + eps * std

    def decode(self, z):
        h3 = F.relu(self.fc3(z))
        return torch.sigmoid(self.fc4(h3))

    def forward(self, x):
        mu, logvar = self.encode(x.view(-1, 64))
        z = self.reparameterize(mu, logvar)
        return self.decode(z), mu, logvar


def loss_function(recon_x, x, mu, logvar):
    bce = F.binary_cross_entropy(recon_x, x.view(-1, 64), reduction="sum")
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return bce + kld


def main(start=None, epochs=2, samples=320):
    noise = np.random.default_rng(0)
    images = load_digits().data / 16.0
    model = VAE(noise)
    if start is not None:
        model.load_state_dict({name: torch.tensor(value) for name, value in start.items()})
    begun = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(epochs):
        model.train()
        for begin in range(0, samples, 64):
            data = torch.tensor(images[begin : begin + 64])
            optimizer.zero_grad()
            recon_batch, mu, logvar = model(data)
            loss = loss_function(recon_batch, data, mu, logvar)
            loss.backward()
            optimizer.step()
            losses.append(loss.item() / len(data))
        model.eval()
        with torch.no_grad():
            data = torch.tensor(images[-200:])
            losses.append(loss_function(*[*model(data)][:1], data, *model.encode(data)).item() / 200)
    return begun, losses


if __name__ == "__main__":
    print(main(epochs=20, samples=1500)[1][-1])
