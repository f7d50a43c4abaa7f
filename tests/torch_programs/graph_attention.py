"""Attention along the edges of a graph of handwritten digits, a few of them with labels, written for PyTorch."""

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.optim import Adam


class GraphAttentionLayer(nn.Module):
    def __init__(self, in_features, out_features, n_heads, concat=False, leaky_relu_slope=0.2):
        super().__init__()
        self.n_heads, self.concat = n_heads, concat
        self.n_hidden = out_features // n_heads if concat else out_features
        self.W = nn.Parameter(torch.empty(size=(in_features, self.n_hidden * n_heads)))
        self.a = nn.Parameter(torch.empty(size=(n_heads, 2 * self.n_hidden, 1)))
        self.leakyrelu = nn.LeakyReLU(leaky_relu_slope)
        self.softmax = nn.Softmax(dim=1)
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.xavier_normal_(self.W)
        nn.init.xavier_normal_(self.a)

    def _get_attention_scores(self, h_transformed):
        source_scores = torch.matmul(h_transformed, self.a[:, : self.n_hidden, :])
        target_scores = torch.matmul(h_transformed, self.a[:, self.n_hidden :, :])
        return self.leakyrelu(source_scores + target_scores.mT)

    def forward(self, h, adj_mat):
        n_nodes = h.shape[0]
        h_transformed = torch.mm(h, self.W)
        h_transformed = h_transformed.view(n_nodes, self.n_heads, self.n_hidden).permute(1, 0, 2)
        e = self._get_attention_scores(h_transformed)
        connectivity_mask = -9e16 * torch.ones_like(e)
        e = torch.where(adj_mat > 0, e, connectivity_mask)
        attention = F.softmax(e, dim=-1)
        h_prime = torch.matmul(attention, h_transformed)
        if self.concat:
            return h_prime.permute(1, 0, 2).contiguous().view(n_nodes, -1)
        return h_prime.mean(dim=0)


class GAT(nn.Module):
    def __init__(self, in_features, n_hidden, n_heads, num_classes):
        super().__init__()
        self.gat1 = GraphAttentionLayer(in_features, n_hidden, n_heads, concat=True)
        self.gat2 = GraphAttentionLayer(n_hidden, num_classes, 1)

    def forward(self, input_tensor, adj_mat):
        x = F.elu(self.gat1(input_tensor, adj_mat))
        return F.log_softmax(self.gat2(x, adj_mat), dim=1)


def graph(nodes):
    digits = load_digits()
    features = digits.data[:nodes] / 16.0
    distances = ((features[:, None] - features) ** 2).sum(-1)
    near = distances <= np.sort(distances, 1)[:, 5:6]
    adjacency = torch.from_numpy((near | near.T).astype(np.float64))
    return torch.from_numpy(features), adjacency, torch.from_numpy(digits.target[:nodes])


def main(start=None, epochs=8, nodes=120):
    features, adjacency, labels = graph(nodes)
    idx = torch.arange(nodes)
    idx_test, idx_train = idx[: nodes // 2], idx[nodes // 2 :]
    net = GAT(features.shape[1], 16, 4, 10)
    if start is not None:
        net.load_state_dict({name: torch.tensor(value) for name, value in start.items()})
    begun = {name: value.numpy().copy() for name, value in net.state_dict().items()}
    optimizer = Adam(net.parameters(), lr=0.01, weight_decay=5e-4)
    criterion = nn.NLLLoss()
    losses = []
    for _ in range(epochs):
        net.train()
        optimizer.zero_grad()
        output = net(features, adjacency)
        loss = criterion(output[idx_train], labels[idx_train])
        loss.backward()
        optimizer.step()
        net.eval()
        with torch.no_grad():
            output = net(features, adjacency)
            correct = output[idx_test].argmax(dim=1).eq(labels[idx_test]).sum()
            losses += [
                loss.item(),
                F.nll_loss(output[idx_test], labels[idx_test]).item(),
                correct.item() / len(idx_test),
            ]
    return begun, losses


if __name__ == "__main__":
    print(main(epochs=60, nodes=600)[1][-3:])
