"""A language model of words by an LSTM, written for PyTorch."""

import math

import numpy as np
import torch
import torch.nn as nn

TEXT = """the cat sat on the mat and the dog sat on the cat . the dog saw the mat and the cat saw the dog .
the mat was on the dog and the cat was on the mat . the dog and the cat saw the mat and sat on it ."""


class RNNModel(nn.Module):
    def __init__(self, ntoken, ninp, nhid, nlayers, dropout):
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.encoder = nn.Embedding(ntoken, ninp)
        self.rnn = nn.LSTM(ninp, nhid, nlayers, dropout=dropout)
        self.decoder = nn.Linear(nhid, ntoken)
        self.ntoken, self.nhid, self.nlayers = ntoken, nhid, nlayers
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)
        nn.init.uniform_(self.decoder.weight, -0.1, 0.1)

    def forward(self, input, hidden):
        emb = self.drop(self.encoder(input))
        output, hidden = self.rnn(emb, hidden)
        decoded = self.decoder(self.drop(output))
        return decoded.view(-1, self.ntoken), hidden

    def init_hidden(self, bsz):
        return torch.zeros(self.nlayers, bsz, self.nhid), torch.zeros(self.nlayers, bsz, self.nhid)


def repackage_hidden(h):
    return tuple(v.detach() for v in h)


def main(start=None, epochs=2, bptt=5, batch=4, dropout=0.0):
    words = TEXT.split()
    dictionary = {word: place for place, word in enumerate(dict.fromkeys(words))}
    ids = np.array([dictionary[word] for word in words])
    source = torch.tensor(ids[: len(ids) // batch * batch].reshape(batch, -1).T.copy())
    model = RNNModel(len(dictionary), 8, 10, 2, dropout)
    if start is not None:
        model.load_state_dict({name: torch.tensor(value) for name, value in start.items()})
    begun = {name: value.numpy().copy() for name, value in model.state_dict().items()}
    criterion, lr, best, losses = nn.CrossEntropyLoss(), 5.0, math.inf, []
    for _ in range(epochs):
        model.train()
        hidden, total = model.init_hidden(batch), 0.0
        for i in range(0, len(source) - 1, bptt):
            seq_len = min(bptt, len(source) - 1 - i)
            data, targets = source[i : i + seq_len], source[i + 1 : i + 1 + seq_len].view(-1)
            model.zero_grad()
            hidden = repackage_hidden(hidden)
            output, hidden = model(data, hidden)
            loss = criterion(output, targets)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.25)
            with torch.no_grad():
                for p in model.parameters():
                    p.add_(p.grad, alpha=-lr)
            losses.append(loss.item())
            total += loss.item()
        if total < best:
            best = total
        else:
            lr /= 4.0
    return begun, losses


if __name__ == "__main__":
    print(main(epochs=40, dropout=0.1)[1][-1])
