"""Arrays of every layout, and how the compiled calls for small arrays are held against NumPy's way."""

import numpy as np

SHAPES = [(), (1,), (7,), (0,), (4, 5), (1, 5), (4, 1), (5, 0), (2, 3, 4), (1, 1, 1), (2, 1, 3, 2)]


class Own(np.ndarray):
    """A subclass, which no compiled call is for."""


def misaligned(x):
    """Give an array whose elements straddle words."""
    memory = np.zeros(x.nbytes + 1, np.uint8)[1:]
    view = memory[: x.nbytes].view(x.dtype).reshape(x.shape)
    view[...] = x
    return view


def read_only(x):
    """Give a copy that nobody may write."""
    copied = x.copy()
    copied.flags.writeable = False
    return copied


LAYOUTS = {
    "contiguous": lambda x: x.copy(),
    "Fortran": lambda x: x.copy("F"),
    "strided": lambda x: np.repeat(x, 2, -1)[..., ::2] if x.ndim else x.copy(),
    "rows apart": lambda x: np.repeat(x, 2, 0)[::2] if x.ndim else x.copy(),
    "negative": lambda x: x[::-1].copy()[::-1] if x.ndim else x.copy(),
    "broadcast": lambda x: np.broadcast_to(x[:1], x.shape) if x.ndim and x.size else x.copy(),
    "one number": lambda x: np.broadcast_to(np.array(1.5, x.dtype), x.shape),
    "transposed": lambda x: x.T.copy("C").T,
    "misaligned": misaligned,
    "read-only": read_only,
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "subclass": lambda x: x.copy().view(Own),
    "large": lambda x: np.broadcast_to(x, (5000, *x.shape)),
}


def array(shape, layout="contiguous", dtype="d", seed=0):
    """Give an array of numbers of a shape, as a layout has it."""
    numbers = np.random.default_rng(seed).normal(size=shape).astype(dtype)
    return LAYOUTS[layout](np.asarray(numbers))


def form(x):
    """Give all that users may see of an array: steps only where there is a next element."""
    steps = tuple(step if size > 1 and x.size else 0 for size, step in zip(x.shape, x.strides, strict=True))
    return type(x), x.dtype, x.shape, steps, x.flags.writeable


def assert_same(found, expected):
    """Assert that two arrays have the same form and the same bits."""
    assert form(found) == form(expected)
    assert found.tobytes() == expected.tobytes()


def outcome(function, *arguments):
    """Give what a call gives, or the exception that it raises."""
    try:
        return function(*arguments)
    except Exception as error:
        return error
