"""Tells whether two handwritten digits are the same, by one network for both, written for PyTorch."""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from sklearn.datasets import load_digits
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, Dataset


class Pairs(Dataset):
    def __init__(self, samples, seed):
        super().__init__()
        digits = load_digits()
        random = np.random.default_rng(seed)
        first, second = random.integers(0, 400, (2, samples))
        alike = random.random(samples) < 0.5
        for i in np.flatnonzero(alike):
            second[i] = random.choice(np.flatnonzero(digits.target[:400] == digits.target[first[i]]))
        self.images = digits.images[:, None] / 16.0
        self.first, self.second = first, second
        self.targets = (digits.target[first] == digits.target[second]).astype(np.float64)

    def __len__(self):
        return len(self.first)

    def __getitem__(self, index):
        one, two = self.images[self.first[index]], self.images[self.second[index]]
        return torch.from_numpy(one), torch.from_numpy(two), torch.tensor(self.targets[index], dtype=torch.float64)


class SiameseNetwork(nn.Module):
    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2)
        )
        self.fc = nn.Sequential(nn.Linear(2 * 128, 32), nn.ReLU(inplace=True), nn.Linear(32, 1))
        self.sigmoid = nn.Sigmoid()
        self.features.apply(self.init_weights)
        self.fc.apply(self.init_weights)

    def init_weights(self, m):
        if isinstance(m, nn.Linear):
            torch.nn.init.xavier_uniform_(m.weight)
            torch.nn.init.constant_(m.bias, 0.01)

    def forward_once(self, x):
        output = self.features(x)
        return output.view(output.size()[0], -1)

    def forward(self, input1, input2):
        output = torch.cat((self.forward_once(input1), self.forward_once(input2)), 1)
        return self.sigmoid(self.fc(output))


def train(model, device, train_loader, optimizer, losses):
    model.train()
    criterion = nn.BCELoss()
    for images_1, images_2, targets in train_loader:
        images_1, images_2, targets = images_1.to(device), images_2.to(device), targets.to(device)
        optimizer.zero_grad()
        outputs = model(images_1, images_2).squeeze()
        loss = criterion(outputs, targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())


def test(model, device, test_loader):
    model.eval()
    test_loss, correct = 0, 0
    with torch.no_grad():
        for images_1, images_2, targets in test_loader:
            images_1, images_2, targets = images_1.to(device), images_2.to(device), targets.to(device)
            outputs = model(images_1, images_2).squeeze()
            test_loss += F.binary_cross_entropy(outputs, targets).sum().item()
            pred = torch.where(outputs > 0.5, 1, 0)
            correct += pred.eq(targets.view_as(pred)).sum().item()
    return [test_loss / len(test_loader.dataset), correct / len(test_loader.dataset)]


def main(start=None, epochs=2, samples=128):
    device = torch.device("cpu")
    train_loader = DataLoader(Pairs(samples, 0), batch_size=32)
    test_loader = DataLoader(Pairs(64, 1), batch_size=64)
    model = SiameseNetwork().to(device)
    if start is not None:
        model.load_state_dict({name: torch.tensor(value) for name, value in start.items()})
    begun = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    optimizer = optim.Adadelta(model.parameters(), lr=1.0)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.7)
    losses = []
    for _ in range(epochs):
        train(model, device, train_loader, optimizer, losses)
        losses += test(model, device, test_loader)
        scheduler.step()
    return begun, losses


if __name__ == "__main__":
    print(main(epochs=10, samples=2000)[1][-2:])
