"""Random calls of operations on small arrays, right and wrong ones, and what comes of them: a line for each call.

Run with a seed and a number of calls. The lines are the same whether compiled calls answer or not, which is what
``NBGRAD_TEST_LAYOUT=unknown`` decides. With ``--guarded`` arrays lie in memory that ends where they do.
"""

import hashlib
import os
import random
import sys
import warnings

import numpy as np
from layouts import LAYOUTS, SHAPES, array, form

import nbgrad
from nbgrad import Variable


def operands(pick, count=1, like=None):
    """Draw arrays of a shape, or of shapes that may broadcast."""
    shape = pick.choice(SHAPES) if like is None else like
    found = []
    for _ in range(count):
        cut = pick.randrange(len(shape) + 1)
        other = tuple(1 if pick.random() < 0.2 else size for size in shape[cut:]) if pick.random() < 0.3 else shape
        layout = pick.choice([*LAYOUTS] + ["contiguous"] * 10)
        dtype = pick.choice("ddddfi") if pick.random() < 0.3 else "d"
        found.append(array(other, layout, dtype, pick.randrange(1000)))
    return found


def part(pick):
    """Draw a part of an index."""
    bound = lambda: pick.choice([None, *range(-4, 5), 10**20])  # noqa: E731
    kinds = [lambda: pick.randrange(-4, 5), lambda: slice(bound(), bound(), pick.choice([None, 1, -1, 2, -3, 0]))]
    rare = [True, np.int64(1), 1.5, "x", None, Ellipsis, [0, 1], np.array([0, -1]), np.array([True, False])]
    return pick.choice([*kinds, *kinds, *kinds, lambda: pick.choice(rare)])()


def axis(pick):
    """Draw a dimension, or several."""
    return pick.choice([None, 0, 1, -1, 2, -2, 3, (0, 1), (0, 2), (), [1], 1.0, True, "x", np.int64(0)])


def size(pick):
    """Draw a size."""
    return pick.choice([0, 1, 2, 3, 4, 5, 20, 24, -1, 2.0, None])


def draw(pick):
    """Draw a call: its name, its arrays, and the function of the Variables."""
    n = nbgrad
    binary = [n.mul, n.add, n.div, n.sub, n.maximum, n.lt, n.eq, n.atan2, lambda x, y: x * y, lambda x, y: x > y]
    unary = [n.exp, n.tanh, n.relu, n.neg, n.sqrt, lambda x: x**2, lambda x: x**3, lambda x: -x, n.positive]
    reduce = [n.sum, n.mean, n.amax, n.amin, n.logsumexp, n.prod, n.std, n.var, n.any, n.all, n.count_nonzero]
    number = pick.choice([0.0, -0.0, 1, 2.5, -3, float("nan"), 1e300, True, None, "x"])
    kind = pick.randrange(25)
    if kind == 0:
        return operands(pick, 2), pick.choice(binary)
    if kind == 1:
        return operands(pick), pick.choice(unary)
    if kind == 2:
        call = pick.choice(binary)
        return operands(pick), pick.choice([lambda x: call(x, number), lambda x: call(number, x)])
    if kind == 3:
        call = pick.choice([n.where, lambda c, x, y: n.where(c > 0, x, y), lambda c, x, y: n.where(c > 0, x, number)])
        return operands(pick, 3), call
    if kind == 4:
        other = pick.choice([1, 0.5, None, number])
        return operands(pick), lambda x: n.clamp(x, number, other)
    if kind in (5, 6):
        call, dim, keepdim = pick.choice(reduce), axis(pick), pick.choice([False, False, True, 1])
        options = pick.choice([{}, {}, {"axis": axis(pick)}, {"dtype": "f"}])
        return operands(pick), lambda x: call(x, dim, keepdim, **options)
    if kind == 7:
        call, dim = pick.choice([n.softmax, n.log_softmax]), axis(pick)
        return operands(pick), lambda x: call(x, dim)
    if kind == 8:
        shapes = [(), (3,), (3, 4), (4, 3), (4,), (1, 3), (3, 1), (0, 3), (2, 3, 4), (70, 3)]
        return [operands(pick, 1, pick.choice(shapes))[0] for _ in range(2)], lambda x, y: x @ y
    if kind in (9, 10):
        key = part(pick) if pick.random() < 0.5 else tuple(part(pick) for _ in range(pick.randrange(4)))
        return operands(pick), lambda x: x[key]
    if kind == 11:
        sizes = pick.choice([[size(pick) for _ in range(pick.randrange(4))], [20], [-1], [5, 4], [6, -1]])
        return operands(pick), pick.choice([lambda x: x.reshape(*sizes), lambda x: x.reshape(tuple(sizes))])
    if kind == 12:
        dims = [pick.randrange(-3, 4) for _ in range(pick.randrange(4))]
        return operands(pick), pick.choice([lambda x: x.permute(*dims), lambda x: x.transpose(*dims), n.t])
    if kind == 13:
        dim = axis(pick)
        call = pick.choice([n.unsqueeze, n.squeeze, lambda x, dim: n.flatten(x), n.chunk])
        return operands(pick), lambda x: call(x, dim)
    if kind == 14:
        sizes = [size(pick) for _ in range(pick.randrange(2))]
        return operands(pick), lambda x: x.expand(*sizes, *x.shape)
    if kind == 15:
        sizes = [1 if pick.random() < 0.5 else size(pick) for _ in range(pick.randrange(3))]
        return operands(pick), lambda x: n.sum_to(x, tuple(sizes))
    if kind == 16:
        call, dim, keepdim = pick.choice([n.max, n.min]), axis(pick), pick.choice([False, False, True])
        return operands(pick), lambda x: call(x, dim, keepdim)
    if kind == 17:
        call, dim = pick.choice([n.cumsum, n.cumprod, n.cummax, n.cummin, n.logcumsumexp]), axis(pick)
        return operands(pick), lambda x: call(x, dim)
    if kind == 18:
        dim, rows, seed = axis(pick), pick.randrange(4), pick.randrange(1000)

        def taken(x):
            shape = [rows if i == dim else size for i, size in enumerate(x.shape)]
            return n.take_along_dim(x, np.random.default_rng(seed).integers(-2, 3, shape), dim)

        return operands(pick), taken
    if kind == 19:
        name = pick.choice(["add_", "sub_", "mul_", "div_", "atan2_", "exp_", "neg_", "sqrt_"])
        recorded, held, other = pick.random() < 0.6, pick.random() < 0.3, pick.random() < 0.3

        def written(x, y):
            x = x * 1 if recorded else nbgrad.tensor(x.data * 1)
            holder = [x] if held else None
            for _ in range(3):
                getattr(x, name)(
                    *([number if other else y] if name in ("add_", "sub_", "mul_", "div_", "atan2_") else [])
                )
            return x if holder is None else holder[0]

        return operands(pick, 2), written
    if kind == 20:
        first, second, third = (pick.randrange(-3, 4) for _ in range(3))
        calls = [lambda x: n.diagonal(x, first), n.trace, n.diag, lambda x: n.diag_embed(x, first)]
        calls += [lambda x: n.tril(x, first), lambda x: n.triu(x, first), lambda x: n.movedim(x, first, second)]
        calls += [lambda x: n.roll(x, first, second), lambda x: n.unbind(x, first), lambda x: n.flip(x, (first,))]
        calls += [lambda x: n.select(x, first, second), lambda x: n.narrow(x, first, second, third)]
        calls += [lambda x: x.unfold(first, second, third), lambda x: n.as_strided(x, (2, 2), (second, third), first)]
        return operands(pick), pick.choice(calls)
    if kind == 21:
        dim, seed, rows = pick.randrange(-1, 3), pick.randrange(1000), pick.choice([(), (3,), (2, 2), (0,), (1,)])
        places = np.random.default_rng(seed).integers(pick.choice([0, 0, 0, -2]), pick.choice([1, 3, 4]), rows)
        wrong = pick.choice([places] * 8 + [places.astype("i4"), places * 1.0, places[..., None][..., 0], 1])
        every = (slice(None),) * max(dim, 0)

        def shaped(x):
            form = [places.size if i == dim else size for i, size in enumerate(x.shape)]
            return np.random.default_rng(seed).integers(0, 3, form)

        calls = [lambda x: n.index_select(x, dim, wrong), lambda x: n.take(x, wrong), lambda x: x[(*every, wrong)]]
        calls += [lambda x: n.gather(x, dim, shaped(x)), lambda x: n.index_add(x, dim, wrong, x)]
        calls += [lambda x: n.scatter_add(x, dim, shaped(x), x), lambda x: n.argmax(x, dim), lambda x: n.argmin(x, dim)]
        calls += [lambda x: n.masked_fill(x, x > 0, number), lambda x: n.nn.functional.one_hot(wrong, 4)]
        return operands(pick), pick.choice(calls)
    if kind == 22:
        target = pick.choice([*"?bhilBHILefd", np.float32, np.float64, "int8", bool, int, float, "cpu", "x", None, [1]])
        large = pick.choice([1, 1, 100, 1e5, 1e10, 1e300, 1e-300, float("nan")])
        call = pick.choice(
            [lambda x: x.to(target), lambda x: n.astype(x, target), lambda x: x.int(), lambda x: x.bool()]
        )
        return operands(pick), lambda x: call(x * large)
    if kind == 23:
        dim, count = axis(pick), pick.randrange(-1, 4)
        calls = [n.isnan, n.isinf, n.isfinite, n.isposinf, n.signbit, n.floor, n.median, lambda x: n.median(x, dim)]
        calls += [
            lambda x: n.sort(x, dim, count > 1),
            lambda x: n.topk(x, count, dim),
            lambda x: n.remainder(x, number),
        ]
        calls += [
            lambda x: n.pow(2, x),
            lambda x: n.zeros_like(x),
            lambda x: n.full_like(x, number),
            lambda x: x.detach(),
        ]
        return operands(pick), pick.choice(calls)
    call, dim, count = pick.choice([n.cat, n.stack]), axis(pick), pick.randrange(1, 4)
    together = pick.choice([list, tuple])
    return operands(pick, count), lambda *xs: call(together(xs), dim)


def seen(value):
    """Give all that there is to see of a result, in words."""
    if isinstance(value, tuple | list):
        return [seen(v) for v in value]
    if isinstance(value, Variable):
        # above these bits generations count writes, of which compiled calls leave out some
        generation, creator = value._generation & 0xFFFFFFFF, value.creator
        graph = None if creator is None else [type(creator).__name__, creator.generation & 0xFFFFFFFF]
        return ["Variable", generation, graph, seen(value.data)]
    if isinstance(value, np.ndarray):
        return [form(value), hashlib.sha256(value.tobytes()).hexdigest()[:16]]
    return repr(value)


def outcome(arrays, function, recorded):
    """Call a function of Variables, go back from its result, and give in words what came of it."""
    inputs = [Variable(x) if recorded else x for x in arrays]
    try:
        result = function(*inputs)
        found = [seen(result)]
        if isinstance(result, tuple) and result:  # values, of values and places
            result = result[0]
        if recorded and isinstance(result, Variable) and result.requires_grad:
            for create_graph in (False, True):
                start = np.random.default_rng(0).normal(size=result.shape).astype(result.dtype)
                leaves = [x for x in inputs if x.requires_grad]
                gradients = nbgrad.autograd.grad(
                    [result], leaves, [Variable(start)], retain_graph=True, create_graph=create_graph, allow_unused=True
                )
                found.append([None if g is None else [form(g.data)[1:3], g.data.tobytes().hex()] for g in gradients])
            assert found[1] == found[2], "the two walks differ"
        return found
    except Exception as error:
        return [type(error).__name__, str(error)]


def main(seed, count):
    if os.environ.get("NBGRAD_TEST_LAYOUT") == "unknown":
        from nbgrad.kernels.cpu import caller, launch, ndarray

        caller.layout_holds = launch.layout_holds = ndarray.layout_holds = lambda: False
    guarded = "--guarded" in sys.argv
    if guarded:
        import guard_pages

        guard_pages.install()
    warnings.simplefilter("ignore")
    for number in range(count):
        pick = random.Random(f"{seed} {number}")
        arrays, function = draw(pick)
        shown = ", ".join(f"{x.dtype}{x.shape}{x.strides}" for x in arrays)
        print(number, shown, outcome(arrays, function, pick.random() < 0.8), flush=guarded)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
