"""REINFORCE in a corridor whose end is to be reached, written for PyTorch."""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim


class Corridor:
    """Places in a row: one step to the left or to the right at a time, and a reward at the right end."""

    def __init__(self, length=6):
        self.length = length

    def reset(self):
        self.place, self.time = 0, 0
        return self.seen()

    def seen(self):
        return np.eye(self.length)[self.place]

    def step(self, action):
        self.place = min(max(self.place + (1 if action else -1), 0), self.length - 1)
        self.time += 1
        there = self.place == self.length - 1
        return self.seen(), 1.0 if there else -0.1, there or self.time >= 20


class Policy(nn.Module):
    def __init__(self, places):
        super().__init__()
        self.affine1 = nn.Linear(places, 16)
        self.affine2 = nn.Linear(16, 2)

    def forward(self, x):
        return F.log_softmax(self.affine2(F.relu(self.affine1(x))), dim=-1)


def main(start=None, episodes=12, gamma=0.95):
    env, chance = Corridor(), np.random.default_rng(5)
    policy = Policy(env.length)
    if start is not None:
        policy.load_state_dict({name: torch.tensor(value) for name, value in start.items()})
    begun = {name: value.numpy().copy() for name, value in policy.state_dict().items()}
    optimizer = optim.Adam(policy.parameters(), lr=3e-2)
    losses = []
    for _ in range(episodes):
        state, done, chosen, rewards = env.reset(), False, [], []
        while not done:
            logs = policy(torch.tensor(state))
            action = int(chance.random() < logs[1].exp().item())
            chosen.append(logs[action])
            state, reward, done = env.step(action)
            rewards.append(reward)
        returns, total = [], 0.0
        for reward in reversed(rewards):
            total = reward + gamma * total
            returns.insert(0, total)
        returns = torch.tensor(returns)
        returns = (returns - returns.mean()) / (returns.std() + 1e-8)
        optimizer.zero_grad()
        loss = -(torch.stack(chosen) * returns).sum()
        loss.backward()
        optimizer.step()
        losses += [loss.item(), float(len(rewards))]
    return begun, losses


if __name__ == "__main__":
    print(main(episodes=150)[1][-1])
