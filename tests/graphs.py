"""What tests of the graph build graphs of."""

import numpy as np

from nbgrad import Function, Variable


def scalar(value: float) -> Variable:
    return Variable(np.array(value))


def vector(*values: float) -> Variable:
    return Variable(np.array(values))


class Square(Function):
    def forward(self, x):
        return x * x

    def backward(self, gy):
        return 2 * self.inputs[0].data * gy


class Add(Function):
    def forward(self, x, y):
        return x + y

    def backward(self, gy):
        return gy, gy


class Note(Function):
    """The identity, which writes down when the walk passes it."""

    def __init__(self, name, log):
        self.name, self.log = name, log

    def forward(self, x):
        return x + 0

    def backward(self, gy):
        self.log.append(self.name)
        return gy
