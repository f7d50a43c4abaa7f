"""Sine waves foretold by two LSTM cells and L-BFGS, written for PyTorch."""

import numpy as np
import torch
import torch.nn as nn
import torch.optim as optim


class Sequence(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.size = size
        self.lstm1 = nn.LSTMCell(1, size)
        self.lstm2 = nn.LSTMCell(size, size)
        self.linear = nn.Linear(size, 1)

    def forward(self, input, future=0):
        outputs = []
        h_t = torch.zeros(input.size(0), self.size)
        c_t = torch.zeros(input.size(0), self.size)
        h_t2 = torch.zeros(input.size(0), self.size)
        c_t2 = torch.zeros(input.size(0), self.size)
        for input_t in input.split(1, dim=1):
            h_t, c_t = self.lstm1(input_t, (h_t, c_t))
            h_t2, c_t2 = self.lstm2(h_t, (h_t2, c_t2))
            output = self.linear(h_t2)
            outputs += [output]
        for _ in range(future):
            h_t, c_t = self.lstm1(output, (h_t, c_t))
            h_t2, c_t2 = self.lstm2(h_t, (h_t2, c_t2))
            output = self.linear(h_t2)
            outputs += [output]
        return torch.cat(outputs, dim=1)


def main(start=None, steps=2, length=12, size=6, future=5):
    rng = np.random.default_rng(2)
    places = np.arange(length + 1) + rng.integers(-8, 8, (10, 1))
    data = np.sin(places / 3.0)
    input, target = torch.tensor(data[3:, :-1]), torch.tensor(data[3:, 1:])
    test_input, test_target = torch.tensor(data[:3, :-1]), torch.tensor(data[:3, 1:])
    seq = Sequence(size)
    if start is not None:
        seq.load_state_dict({name: torch.tensor(value) for name, value in start.items()})
    begun = {name: value.numpy().copy() for name, value in seq.state_dict().items()}
    criterion = nn.MSELoss()
    optimizer = optim.LBFGS(seq.parameters(), lr=0.8, max_iter=5)
    losses = []

    def closure():
        optimizer.zero_grad()
        out = seq(input)
        loss = criterion(out, target)
        losses.append(loss.item())
        loss.backward()
        return loss

    for _ in range(steps):
        optimizer.step(closure)
        with torch.no_grad():
            pred = seq(test_input, future=future)
            losses.append(criterion(pred[:, :-future], test_target).item())
            losses += pred.detach().numpy()[:, -1].tolist()
    return begun, losses


if __name__ == "__main__":
    print(main(steps=10, length=200, size=51)[1][-4])
