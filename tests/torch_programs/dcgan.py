"""Two networks that train each other, one that makes handwritten digits and one that judges them, for PyTorch."""

import numpy as np
import torch
import torch.nn as nn
import torch.optim as optim
from sklearn.datasets import load_digits

NZ, NGF, NDF = 10, 8, 8


def weights_init(m):
    classname = m.__class__.__name__
    if classname.find("Conv") != -1:
        torch.nn.init.normal_(m.weight, 0.0, 0.02)
    elif classname.find("BatchNorm") != -1:
        torch.nn.init.normal_(m.weight, 1.0, 0.02)
        torch.nn.init.zeros_(m.bias)


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.ConvTranspose2d(NZ, NGF * 2, 4, 1, 0, bias=False),
            nn.BatchNorm2d(NGF * 2),
            nn.ReLU(True),
            nn.ConvTranspose2d(NGF * 2, 1, 4, 2, 1, bias=False),
            nn.Tanh(),
        )

    def forward(self, input):
        return self.main(input)


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(1, NDF, 4, 2, 1, bias=False),
            nn.BatchNorm2d(NDF),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(NDF, 1, 4, 1, 0, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, input):
        return self.main(input).view(-1, 1).squeeze(1)


def main(start=None, epochs=2, samples=192, batch_size=32):
    random = np.random.default_rng(0)
    images = load_digits().images[:samples, None] / 8.0 - 1.0
    device = torch.device("cpu")
    nets = nn.ModuleDict({"generator": Generator(), "discriminator": Discriminator()}).to(device)
    nets.apply(weights_init)
    if start is not None:
        nets.load_state_dict({name: torch.tensor(value) for name, value in start.items()})
    begun = {name: value.numpy().copy() for name, value in nets.state_dict().items()}
    generator, discriminator = nets["generator"], nets["discriminator"]
    criterion = nn.BCELoss()
    optimizer_d = optim.Adam(discriminator.parameters(), lr=0.002, betas=(0.5, 0.999))
    optimizer_g = optim.Adam(generator.parameters(), lr=0.002, betas=(0.5, 0.999))
    real_label, fake_label = 1, 0
    losses = []
    for _ in range(epochs):
        for begin in range(0, samples, batch_size):
            discriminator.zero_grad()
            real = torch.from_numpy(images[begin : begin + batch_size]).to(device)
            label = torch.full((real.size(0),), real_label, dtype=real.dtype, device=device)
            output = discriminator(real)
            error_real = criterion(output, label)
            error_real.backward()
            noise = torch.from_numpy(random.normal(size=(real.size(0), NZ, 1, 1)))
            fake = generator(noise)
            label.fill_(fake_label)
            error_fake = criterion(discriminator(fake.detach()), label)
            error_fake.backward()
            optimizer_d.step()
            generator.zero_grad()
            label.fill_(real_label)
            error_g = criterion(discriminator(fake), label)
            error_g.backward()
            optimizer_g.step()
            losses += [(error_real + error_fake).item(), error_g.item(), output.mean().item()]
    return begun, losses


if __name__ == "__main__":
    print(main(epochs=20, samples=1600)[1][-3:])
