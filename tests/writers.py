# ruff: noqa: B023
"""Random programs that write in place: views, writes, reads and uses in any order, for nbgrad and for PyTorch."""

import math

import numpy as np

SHAPE = (3, 4)
KEYS = [
    1, -1, slice(1, None), slice(None, 2), slice(None, None, 2), (slice(None), 1), (slice(None), slice(1, 3)), (1, 2),
    (Ellipsis, 0), (slice(None), None), [0, 2], (slice(None), [0, 2]), (None, 0),
]  # fmt: skip


class Program:
    """Steps drawn from random numbers, taken alike in each library: they depend on shapes alone."""

    def __init__(self, seed, steps, more=False, shape=SHAPE):
        #: `more`: also methods that change shapes, cut off the past, or write what needs no formula.
        self.seed, self.steps, self.more, self.shape = seed, steps, more, shape

    def run(self, library, w, record=None):
        """Take the steps on a library's leaf of the shape; return the sum of all that there is in the end."""
        random = np.random.default_rng(self.seed)
        record = [] if record is None else record
        constant = lambda a: library.tensor(np.asarray(a, np.float64))  # noqa: E731
        pool = [w * 1.0, constant((np.arange(math.prod(self.shape)) % 12.0).reshape(self.shape) / 10), w.clone()]

        def pick(same=None):
            fitting = [x for x in pool if same is None or tuple(x.shape) == same]
            return fitting[random.integers(len(fitting))] if fitting else None

        for _ in range(self.steps):
            x = pick()
            kind = random.integers(16 if self.more else 12)
            if kind >= 12:
                self._more(library, random, pool, record, x, pick(tuple(x.shape)))
                continue
            if kind >= 10:  # a new one, written to while a single name holds it
                y = library.sin(x) if random.integers(2) else x * 1.0
                choice = random.integers(4)
                record.append(f"{len(pool)} = fresh from {index_of(pool, x)}, {choice}")
                if choice == 0:
                    y[...] = 0.5 if random.integers(2) else x
                elif choice == 1:
                    y += x
                elif choice == 2:
                    with library.no_grad():
                        y *= 0.5
                else:
                    y *= x
                pool.append(y)
                continue
            if kind <= 1:  # a view
                key = KEYS[random.integers(len(KEYS))]
                choice = random.integers(7 if self.more else 4)
                try:
                    y = [lambda: x[key], lambda: x.reshape(-1), lambda: x.t() if x.ndim == 2 else x[None],
                         lambda: x.detach(), lambda: x.diagonal() if x.ndim > 1 else x[None],
                         lambda: x.unfold(-1, 2, 2) if x.ndim and x.shape[-1] > 1 else x[None],
                         lambda: x.flip(-1) if x.ndim else x[None]][choice]()  # fmt: skip
                except IndexError:
                    continue
                pool.append(y)
                record.append(f"{len(pool) - 1} = view of a {tuple(x.shape)}: {choice} {key}")
            elif kind <= 3:  # elements are written
                key = KEYS[random.integers(len(KEYS))]
                try:
                    part = x.detach()[key] if x.ndim else x
                except IndexError:
                    continue
                if not x.ndim:
                    continue
                value = pick(tuple(part.shape)) if random.integers(2) else None
                single = pick(()) if random.integers(2) else None
                record.append(f"{index_of(pool, x)}[{key}] = {index_of(pool, value)}, {index_of(pool, single)}")
                x[key] = value if value is not None else single if single is not None else 0.5
            elif kind <= 5:  # an operation in place
                other = pick(tuple(x.shape))
                choice = random.integers(7)
                record.append(f"{index_of(pool, x)} in place {choice} with {index_of(pool, other)}")
                if choice == 0:
                    x += other
                elif choice == 1:
                    x *= other
                elif choice == 2:
                    x.mul_(0.5)
                elif choice == 3:
                    x.sin_()
                elif choice == 4:
                    x.sigmoid_()
                elif choice == 5:
                    x.sub_(other)
                else:
                    x.zero_()
            elif kind <= 8:  # something new
                other = pick(tuple(x.shape))
                choice = random.integers(6)
                record.append(f"{len(pool)} = new {choice} of {index_of(pool, x)} and {index_of(pool, other)}")
                pool.append([lambda: x * other, lambda: library.sin(x), lambda: library.sigmoid(x), lambda: x + other,
                             lambda: x.sum(), lambda: x * 0.5][choice]())  # fmt: skip
            else:
                with library.no_grad():
                    record.append(f"{index_of(pool, x)} *= 0.5 unrecorded")
                    x *= 0.5
        total = sum([(x * x * 0.1 + x).sum() for x in pool[::2]], pool[0].sum() * 0)
        return total

    def _more(self, library, random, pool, record, x, other):
        other = other.clone()  # what overlaps, PyTorch may read when it is written already
        choice = random.integers(10)
        record.append(f"{index_of(pool, x)} otherwise {choice} with {index_of(pool, other)}")
        if choice <= 1 and x.ndim == 2:
            x.t_()
        elif choice == 2:
            x.unsqueeze_(0)
        elif choice == 3:
            x.squeeze_()
        elif choice == 4:  # with views PyTorch would have them lose their past as well
            y = x * 1.0
            pool.append(y * 2)
            pool.append(y.detach_())
        elif choice == 5:
            x.lerp_(other, 0.3)
        elif choice == 6 and x.ndim == 2:
            x.tril_()
        elif choice == 7 and x.ndim:
            x.index_add_(0, library.tensor(np.zeros(x.shape[0], np.int64)), other)
        elif choice == 8 and x.ndim == 2:
            x.scatter_(1, library.tensor(np.zeros((x.shape[0], 1), np.int64)), other[:, :1])
        elif choice == 9:
            x.masked_scatter_(library.tensor(np.arange(x.numel()).reshape(tuple(x.shape)) % 3 == 0), other)


def index_of(pool, x):
    return next((i for i, y in enumerate(pool) if y is x), None)
