"""A convolutional network on handwritten digits, written for PyTorch."""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from sklearn.datasets import load_digits
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self, rate):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, 1, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3, 1)
        self.dropout1 = nn.Dropout(rate)
        self.dropout2 = nn.Dropout(rate)
        self.fc1 = nn.Linear(144, 32)
        self.fc2 = nn.Linear(32, 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = F.max_pool2d(x, 2)
        x = self.dropout1(x)
        x = torch.flatten(x, 1)
        x = self.dropout2(F.relu(self.fc1(x)))
        return F.log_softmax(self.fc2(x), dim=1)


def train(model, loader, optimizer, losses):
    model.train()
    for data, target in loader:
        optimizer.zero_grad()
        output = model(data)
        loss = F.nll_loss(output, target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())


def test(model, loader):
    model.eval()
    total, correct, count = 0.0, 0, 0
    with torch.no_grad():
        for data, target in loader:
            output = model(data)
            total += F.nll_loss(output, target, reduction="sum").item()
            pred = output.max(dim=1, keepdim=True)[1]
            correct += pred.eq(target.view(-1, 1)).sum().item()
            count += len(data)
    return total / count, correct / count


def main(start=None, epochs=2, rate=0.0, samples=192):
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 1, 8, 8) / 16.0
    xs, ys = torch.tensor(images), torch.tensor(labels.astype(np.int64))
    train_loader = DataLoader(TensorDataset(xs[:samples], ys[:samples]), batch_size=32)
    test_loader = DataLoader(TensorDataset(xs[-200:], ys[-200:]), batch_size=100)
    model = Net(rate)
    if start is not None:
        model.load_state_dict({name: torch.tensor(value) for name, value in start.items()})
    begun = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    optimizer = optim.Adadelta(model.parameters(), lr=1.0)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.7)
    losses = []
    for _ in range(epochs):
        train(model, train_loader, optimizer, losses)
        losses += test(model, test_loader)
        scheduler.step()
    return begun, losses


if __name__ == "__main__":
    print(main(epochs=10, rate=0.25, samples=1500)[1][-2:])
