"""Wrong arrays at random, for everything compiled: no call may end the process.

Run as a program: ``python tests/fuzz_memory.py --seconds 60``. All arrays end at pages that must not be touched. Calls
may raise whatever they like; what they give is looked at only in `check`, which runs between the rounds and finds
whether everything still works. The number of each round is printed before it begins, so that the last one printed is
the one that ended the process: ``--seed S --first N --rounds 1 --verbose`` runs it again.
"""

import argparse
import faulthandler
import os
import sys
import time
import traceback
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import guard_pages

import nbgrad
from nbgrad.nn import functional
from nbgrad.ops.elementwise import OPERATIONS

SHAPES = [(), (1,), (5,), (64,), (3, 5), (5, 3), (1, 5), (5, 1), (2, 3, 5), (0,), (0, 3), (130, 5), (3000,), (70, 1000)]
FLOATS = ["d", "d", "d", "d", "f"]
ODD = ["f", "e", "g", "D", "l", "i", "b", "?", "L", "O", "U3", "M8[s]", "m8[s]", ">d", ">f", "S2"]


class Subclass(np.ndarray):
    """An array that is no plain one."""


def plain(random, shape, dtype):
    values = random.integers(-3, 6, shape)
    return values.astype(dtype)


def with_steps(random, shape, dtype):
    wide = plain(random, tuple(2 * size + 1 for size in shape), dtype)
    return wide[tuple(slice(1, None, 2) if random.random() < 0.5 else slice(-1, 0, -2) for _ in shape)]


def unaligned(random, shape, dtype):
    if dtype == "O":
        return plain(random, shape, dtype)
    count, size = int(np.prod(shape)), np.dtype(dtype).itemsize
    x = np.frombuffer(np.zeros(count * size + 1, np.uint8).data, np.uint8)[1:].view(dtype).reshape(shape)
    x[...] = plain(random, shape, dtype)
    return x


def a_field(random, shape, dtype):
    x = np.zeros(shape, [("a", "i1"), ("b", dtype), ("c", "i2")])
    x["b"] = plain(random, shape, dtype)
    return x["b"]


def repeated(random, shape, dtype):
    return np.broadcast_to(plain(random, tuple(1 if random.random() < 0.6 else n for n in shape), dtype), shape)


def overlapping(random, shape, dtype):
    x = plain(random, (sum(shape) + 1,), dtype)
    return np.lib.stride_tricks.as_strided(x, shape, (x.itemsize,) * len(shape))


def readonly(random, shape, dtype):
    x = plain(random, shape, dtype)
    x.flags.writeable = False
    return x


def part_of_another(random, shape, dtype):
    count = int(np.prod(shape))
    return plain(random, (count + 7,), dtype)[7:].reshape(shape)


LAYOUTS = [
    *[plain] * 4,
    lambda random, shape, dtype: np.asfortranarray(plain(random, shape, dtype)),
    with_steps,
    unaligned,
    a_field,
    repeated,
    overlapping,
    readonly,
    part_of_another,
    lambda random, shape, dtype: plain(random, shape, dtype).view(Subclass),
    lambda random, shape, dtype: np.ma.masked_array(plain(random, shape, dtype)),
    lambda random, shape, dtype: np.asmatrix(plain(random, shape[-2:], dtype)),
    lambda random, shape, dtype: plain(random, (), dtype)[()],  # a scalar of NumPy's
]


def pick(random, values):
    return values[int(random.integers(len(values)))]


def an_array(random, shape=None, odd=0.15):
    shape = pick(random, SHAPES) if shape is None or random.random() < odd else shape
    dtype = pick(random, ODD if random.random() < odd else FLOATS)
    return pick(random, LAYOUTS)(random, shape, dtype)


# ---- compiled functions ---------------------------------------------------------------------------------------------

FROM_OUTSIDE = np.arange(5.0)
SLOPE = nbgrad.jit(lambda x: nbgrad.tanh(x) * x)
PICKED = nbgrad.jit(lambda x: x[np.array([0, -1, 0])])
#: Operations by the number of their operands; with ``--few``, only the first `FEW` of each.
FEW = {1: 6, 2: 3, 3: 0}
EAGER = {
    1: [
        nbgrad.tanh,
        nbgrad.sum,
        lambda x: x.T,
        lambda x: x[::-1],
        lambda x: x[np.array([0, -1, 0])],
        lambda x: x[np.array([[0, -1]]), np.array([[0], [1]])],
        lambda x: x.reshape(-1),
        nbgrad.exp,
        nbgrad.amax,
        lambda x: nbgrad.softmax(x, -1),
        lambda x: nbgrad.softmax(x, 0),
        lambda x: nbgrad.sum(x, 0),
        lambda x: nbgrad.sum(x, -1),
        lambda x: functional.cross_entropy(x, np.arange(x.shape[0]) % x.shape[1]),
        lambda x: nbgrad.cat([x, x]),
        lambda x: nbgrad.take_along_dim(x, np.zeros(x.shape, int), -1),
    ],
    2: [nbgrad.mul, nbgrad.matmul, lambda x, y: x[y], nbgrad.add, nbgrad.where],
    3: [nbgrad.where, nbgrad.clamp],
}
FEW_COMPILED = {1: 3, 2: 2}
COMPILED = {
    1: [
        SLOPE,
        nbgrad.jit(lambda x: x + 1.0, donate_argnums=0),
        PICKED,
        nbgrad.jit(lambda x: x + FROM_OUTSIDE),
        nbgrad.jit(lambda x: nbgrad.softmax(x * 2.0, -1)),
        nbgrad.jit(lambda x: (x * x).sum(0)),
        nbgrad.jit(lambda x: x.T * 2.0),
        nbgrad.jit(nbgrad.value_and_grad(lambda x: (x * x).sum())),
    ],
    2: [
        nbgrad.jit(lambda x, y: x @ y),
        nbgrad.jit(lambda x, y: x[y] * 2.0),
        nbgrad.jit(lambda x, y: (x * y, (x + y).sum())),
        nbgrad.jit(lambda x, y: x * y + x, donate_argnums=(0, 1)),
    ],
}
QUICK = [(OPERATIONS[name].call, count) for name, count in (("mul", 2), ("tanh", 1))]


class Round:
    """A few values, and what is done to them."""

    def __init__(self, seed, verbose):
        self.random, self.verbose = np.random.default_rng(seed), verbose
        self.shape = pick(self.random, SHAPES)
        self.values = [self.a_value() for _ in range(4)]

    def an_array(self):
        return an_array(self.random, self.shape)

    def a_value(self):
        x = self.an_array()
        if self.random.random() < 0.3:
            return x
        try:
            return nbgrad.Variable(x)
        except TypeError:
            return x

    def some(self, count):
        return [pick(self.random, self.values) for _ in range(count)]

    def a_variable(self):
        return pick(self.random, [x for x in self.values if isinstance(x, nbgrad.Variable)] or [nbgrad.ones(2)])

    def keep(self, results):
        self.values += results if isinstance(results, list | tuple) else [results]
        del self.values[:-10]

    def apply(self):
        count = pick(self.random, [count for count, operations in EAGER.items() if operations])
        self.keep(pick(self.random, EAGER[count])(*self.some(count)))

    def apply_compiled(self):
        count = int(self.random.integers(1, 3))
        self.keep(pick(self.random, COMPILED[count])(*self.some(count)))

    def call_quickly(self):
        call, count = pick(self.random, QUICK)
        arrays = [x.data if isinstance(x, nbgrad.Variable) else x for x in self.some(count + 1)]
        self.keep(call(*arrays[: count + int(self.random.random() < 0.6)]))

    def add_to_the_pool(self):
        self.keep(self.a_value())

    def replace_data(self):
        self.a_variable().data = self.an_array()

    def inside(self):
        """Give a Variable behind another one."""
        y = self.a_variable()
        return y if y.creator is None or not y.creator.inputs else pick(self.random, list(y.creator.inputs))

    def replace_data_inside(self):
        x = self.inside()
        x._array = an_array(self.random, x.shape, 0.5)

    def resize_data(self):
        # of an array without views, whose memory would be gone by NumPy's own doing
        x = nbgrad.Variable(plain(self.random, (5,), "d"))
        y = pick(self.random, [lambda x: nbgrad.tanh(x * x), SLOPE, PICKED])(x)
        x.data.resize(pick(self.random, [(1,), (0,), (4000,)]), refcheck=False)
        y.backward(np.ones(y.shape))

    def reshape_data(self):
        x = self.inside().data
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            x.shape = x.shape[::-1]

    def replace_outputs_kept(self):
        creator = self.a_variable().creator
        creator.output = an_array(self.random, creator.output.shape, 0.5)

    def change_positions(self):
        x = nbgrad.Variable(plain(self.random, (3, 4), "d"))
        if self.random.random() < 0.5:
            y = functional.nll_loss(x, np.array([0, 1, 3]))
            picking = y.creator.inputs[0].creator.inputs[0].creator
        else:
            y = x[np.array([0, -1, 0])].sum()
            picking = y.creator.inputs[0].creator
        (rows,) = picking.index.key
        rows[...] = pick(self.random, [10**12, -(10**12), -1, 5, 11])
        if self.random.random() < 0.3:
            picking.inputs[0]._array = an_array(self.random, picking.inputs[0].shape, 0.5)
        y.backward()

    def change_what_is_outside(self):
        FROM_OUTSIDE.resize(pick(self.random, [(1,), (4000,)]), refcheck=False)

    def go_back(self):
        y = self.a_variable()
        gradient = None
        if self.random.random() < 0.7:
            gradient = plain(self.random, y.shape, y.dtype)
        elif self.random.random() < 0.7:
            gradient = an_array(self.random, y.shape, 0.2)
        y.backward(gradient, self.random.random() < 0.7, self.random.random() < 0.2)

    def run(self):
        actions = [
            *[self.apply] * 4,
            *[self.apply_compiled] * 5,
            *[self.call_quickly] * 2,
            self.add_to_the_pool,
            *[self.replace_data, self.replace_data_inside] * 2,
            self.resize_data,
            self.reshape_data,
            self.replace_outputs_kept,
            self.change_positions,
            self.change_what_is_outside,
            *[self.go_back] * 5,
        ]
        for _ in range(16):
            action = pick(self.random, actions)
            if self.verbose:
                os.write(2, f"{action.__name__}\n".encode())
            try:
                action()
            except Exception as error:
                if self.verbose:
                    os.write(2, f"    {error!r}\n".encode())


def check():
    """Compute a few gradients after all that."""
    a, b = np.linspace(-1, 1, 15).reshape(3, 5), np.linspace(1, 2, 15).reshape(5, 3)
    for product in (lambda x, y: nbgrad.tanh(x @ y).sum(), nbgrad.jit(lambda x, y: nbgrad.tanh(x @ y).sum())):
        x, y = nbgrad.Variable(a), nbgrad.Variable(b)
        product(x, y).backward()
        slope = 1 - np.tanh(a @ b) ** 2
        np.testing.assert_allclose(x.grad.data, slope @ b.T, rtol=1e-9)
        np.testing.assert_allclose(y.grad.data, a.T @ slope, rtol=1e-9)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--rounds", type=int, default=sys.maxsize)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--few", action="store_true", help="keep to what takes few kernels")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    faulthandler.enable()
    if options.few:
        for table, few in ((EAGER, FEW), (COMPILED, FEW_COMPILED)):
            for count, operations in table.items():
                del operations[few[count] :]
        FLOATS[:], ODD[:] = ["d"], ["D", "O", "U3", "M8[s]", ">d", "S2"]
    warnings.simplefilter("ignore")
    words = guard_pages.install()
    end = time.monotonic() + options.seconds
    for number in range(options.first, options.first + options.rounds):
        if time.monotonic() > end:
            break
        os.write(1, f"{number}\n".encode())
        with np.errstate(all="ignore"):
            Round((options.seed, number), options.verbose).run()
        if number % 50 == 0:
            check()
    check()
    assert words[0] > options.rounds or options.rounds == sys.maxsize  # arrays were allocated so
    os.write(1, b"whole\n")
    os._exit(0)


if __name__ == "__main__":
    try:
        main()
    except BaseException:
        traceback.print_exc()
        os._exit(1)  # the interpreter's own end would free arrays when their allocator is gone
