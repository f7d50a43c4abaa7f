"""Random numbers of many distributions, in new Variables and in place, from the shared generators or one's own."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import as_array, is_array, is_stand_in
from ..function import constant
from ..generator import Generator, default_generator
from ..kernels import dispatch, placement
from ..registry import operation
from ..variable import Variable, data_of, get_default_dtype
from .arguments import whole_numbers
from .inplace import overwrite
from .picking import operand

Dtype = npt.DTypeLike | None


def _of_streams(source: Generator, method: str, *arguments: Any) -> Any:
    """Give what the method of that name of NumPy's generators would, from a stream of ours."""

    def uniform(shape: Any, dtype: Any = np.float64) -> Any:
        return source.draw("uniform", tuple(shape), dtype)

    def normal(shape: Any, dtype: Any = np.float64) -> Any:
        return source.draw("normal", tuple(shape), dtype)

    def waited(shape: Any) -> Any:
        return -np.log1p(-uniform(shape))

    if method in ("random", "standard_normal"):
        return (uniform if method == "random" else normal)(*arguments)
    if method == "permutation":
        return np.argsort(uniform((arguments[0],)), kind="stable")
    if method in ("binomial", "poisson"):  # which take as many numbers as they take
        seed, rest = source.draw("bits", (2,), np.uint64), [as_array(x) for x in arguments]
        return dispatch.called(method, partial(_by_numpy, method), seed, *rest)
    *numbers, shape = arguments
    if method == "integers":
        low, high = numbers
        return (uniform(shape) * float(high - low)).astype(np.int64) + low
    if method == "uniform":
        low, high = numbers
        found = uniform(shape)
        return found if low == 0 and high == 1 else found * (high - low) + low
    if method in ("normal", "lognormal"):
        mean, deviation = numbers
        found = normal(shape) * deviation + mean
        return np.exp(found) if method == "lognormal" else found
    if method == "geometric":
        return np.maximum(np.ceil(waited(shape) / -np.log1p(-numbers[0])), 1.0)
    return waited(shape) * (numbers[0] if method == "exponential" else 1.0)


def _by_numpy(method: str, seed: Any, *numbers: Any) -> Any:
    """Draw from a seed that a stream gave, which a compiled function does anew in every run."""
    seed, *given = [dispatch.in_numpy(x) for x in (seed, *numbers)]
    rates = given[-1]
    if rates.size and not rates.min() >= 0:
        raise ValueError(f"{method}: a rate is {rates.min()}: it must not be negative")
    return getattr(np.random.default_rng(seed), method)(*given)


def draw_from(what: str, generator: Any, method: str, *arguments: Any) -> Any:
    """Draw by a method of NumPy's generators: from one of these, from a `Generator`, or the one there is for all."""
    if isinstance(generator, np.random.Generator):
        return getattr(generator, method)(*arguments)
    if generator is not None and not isinstance(generator, Generator):
        raise TypeError(f"{what}: generator is {type(generator).__name__}: give nbgrad.Generator() or NumPy's")
    return _of_streams(generator or default_generator, method, *arguments)


def drawn_beside(what: str, generator: Any, like: Any, method: str, *arguments: Any) -> Any:
    """Draw an array, where another array is."""
    found = as_array(draw_from(what, generator, method, *arguments))
    return found if is_stand_in(found) else dispatch.beside(found, like)


def _kind(what: str, dtype: Dtype, like: Any) -> np.dtype[Any]:
    kind = np.dtype(like.dtype if dtype is None else dtype)
    if kind.char not in "fd":
        raise TypeError(f"{what}: draws float32 or float64, not {kind}: give dtype=")
    return kind


def _is_plain(x: Any) -> bool:
    """Tell whether something is a Variable with a floating array of NumPy's."""
    return type(x) is Variable and type(x._array) is np.ndarray and x._array.dtype.char in "fd"


@operation(method=False)
def rand_like(
    input: Any, *, dtype: Dtype = None, requires_grad: bool = False, device: Any = None, generator: Any = None
) -> Variable:
    """Make a Variable of numbers uniform in [0, 1), of the shape and dtype of input."""
    if dtype is device is generator is None and requires_grad is False and _is_plain(input):
        return constant(default_generator.draw("uniform", input._array.shape, input._array.dtype))
    like = data_of(operand(input))
    drawn = drawn_beside("rand_like", generator, like, "random", tuple(like.shape), _kind("rand_like", dtype, like))
    return Variable(_on(drawn, device), requires_grad=requires_grad)


@operation(method=False)
def randn_like(
    input: Any, *, dtype: Dtype = None, requires_grad: bool = False, device: Any = None, generator: Any = None
) -> Variable:
    """Make a Variable of numbers from the standard normal distribution, of the shape and dtype of input."""
    if dtype is device is generator is None and requires_grad is False and _is_plain(input):
        return constant(default_generator.draw("normal", input._array.shape, input._array.dtype))
    like = data_of(operand(input))
    kind = _kind("randn_like", dtype, like)
    drawn = drawn_beside("randn_like", generator, like, "standard_normal", tuple(like.shape), kind)
    return Variable(_on(drawn, device), requires_grad=requires_grad)


@operation(method=False)
def randint_like(
    input: Any,
    *bounds: Any,
    low: Any = None,
    high: Any = None,
    dtype: Dtype = None,
    requires_grad: bool = False,
    device: Any = None,
    generator: Any = None,
) -> Variable:
    """Make a Variable of whole numbers in [low, high), of the shape and dtype of input; one bound is the high one."""
    like = data_of(operand(input))
    numbers = [*([low] if low is not None else []), *bounds, *([high] if high is not None else [])]
    numbers = [n.item() if isinstance(n, Variable) else n for n in numbers]
    if not 1 <= len(numbers) <= 2:
        raise TypeError("randint_like: takes (high) or (low, high) after input")
    lowest, highest = (0, numbers[0]) if len(numbers) == 1 else numbers
    if lowest >= highest:
        raise ValueError(f"randint_like: no numbers from {lowest} to before {highest}")
    drawn = drawn_beside("randint_like", generator, like, "integers", lowest, highest, tuple(like.shape))
    return Variable(_on(drawn.astype(like.dtype if dtype is None else dtype), device), requires_grad=requires_grad)


def _on(array: Any, device: Any) -> Any:
    return array if device is None else dispatch.moved(array, placement.named(device))


@operation(method=False)
def randperm(
    n: int, *, dtype: Dtype = np.int64, device: Any = None, requires_grad: bool = False, generator: Any = None
) -> Variable:
    """Make a Variable of the numbers below n in random order; raises ValueError for a negative n."""
    if n < 0:
        raise ValueError(f"randperm: n is {n}: it must not be negative")
    drawn = as_array(draw_from("randperm", generator, "permutation", n)).astype(np.dtype(dtype))
    return Variable(_on(drawn, device), requires_grad=requires_grad)


@operation(method=False)
def normal(
    input: Any,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Any = None,
    dtype: Dtype = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Draw from normal distributions of a mean and a standard deviation each: of arrays that broadcast, or of a size.

    Raises ValueError for a negative standard deviation.
    """
    numbers = [data_of(v) if isinstance(v, Variable) else as_array(v) for v in (input, std)]
    mean, deviation = numbers
    if not is_stand_in(deviation) and dispatch.in_numpy(deviation).size and dispatch.in_numpy(deviation).min() < 0:
        raise ValueError(
            f"normal: a standard deviation is {dispatch.in_numpy(deviation).min()}: it must not be negative"
        )
    shape = np.broadcast_shapes(mean.shape, deviation.shape) if size is None else whole_numbers("normal", (size,))
    arrays = [a for a, given in zip(numbers, (input, std), strict=True) if not isinstance(given, int | float)]
    if dtype is None and arrays:
        dtype = np.result_type(*[a.dtype for a in arrays])
    kind = get_default_dtype() if dtype is None else np.dtype(dtype)
    if kind.char not in "fd":
        raise TypeError(f"normal: draws float32 or float64, not {kind}")
    like = arrays[0] if arrays else mean
    drawn = drawn_beside("normal", generator, like, "standard_normal", shape, kind)
    return Variable(_on(as_array(drawn * deviation + mean).astype(kind), device), requires_grad=requires_grad)


@operation
def bernoulli(input: Any, p: Any = None, *, generator: Any = None) -> Any:
    """Draw 1 with the probability that each element is, or p, and 0 otherwise, of the dtype of input.

    Raises ValueError for what is no probability.
    """
    x = operand(input)
    like = data_of(x)
    chances = like if p is None else data_of(operand(p))
    host = dispatch.in_numpy(chances)
    if not is_stand_in(host) and host.size and not (host.min() >= 0 and host.max() <= 1):
        raise ValueError(f"bernoulli: probabilities from {host.min()} to {host.max()}: they are from 0 to 1")
    drawn = drawn_beside("bernoulli", generator, like, "random", tuple(like.shape))
    found = as_array(drawn < chances).astype(like.dtype)
    return Variable(found, requires_grad=False) if isinstance(x, Variable) else found


@operation
def poisson(input: Any, generator: Any = None) -> Any:
    """Draw from Poisson distributions of rates each, of the dtype of input; raises ValueError for negative rates."""
    x = operand(input)
    rates = dispatch.in_numpy(data_of(x))
    if not is_stand_in(rates) and rates.size and not rates.min() >= 0:
        raise ValueError(f"poisson: a rate is {rates.min()}: it must not be negative")
    found = drawn_beside("poisson", generator, data_of(x), "poisson", rates).astype(x.dtype)
    return Variable(found, requires_grad=False) if isinstance(x, Variable) else found


@operation
def multinomial(input: Any, num_samples: int, replacement: bool = False, *, generator: Any = None) -> Any:
    """Draw numbers of classes by the weights of a vector, or of each row: (..., num_samples), without one twice.

    Raises ValueError for negative weights, for rows of zeros, and for more samples than there are classes to draw from.
    """
    x = operand(input)
    if x.dtype.kind != "f":
        raise TypeError(f"multinomial: weights have dtype {x.dtype}: they must be floating")
    like = data_of(x)
    if x.ndim not in (1, 2) or num_samples < 1:
        raise ValueError(f"multinomial: {num_samples} samples of shape {x.shape}: give 1 or more of a vector or matrix")
    rows, classes = (1, *x.shape)[-2:]
    if not replacement and num_samples > classes:
        raise ValueError(f"multinomial: {num_samples} samples of {classes} classes, without one twice")
    if replacement:
        drawn = drawn_beside("multinomial", generator, like, "random", (rows, num_samples))
    else:
        drawn = drawn_beside("multinomial", generator, like, "standard_exponential", (rows, classes))
    found = dispatch.called("multinomial", partial(_chosen, num_samples, replacement), like, drawn)
    return Variable(found, requires_grad=False) if isinstance(x, Variable) else found


def _chosen(count: int, replacement: bool, weights: Any, drawn: Any) -> Any:
    """Give numbers of classes by weights, from what was drawn. Raises ValueError for what are no weights."""
    rows, numbers = np.atleast_2d(dispatch.in_numpy(weights).astype(np.float64)), dispatch.in_numpy(drawn)
    if not np.isfinite(rows).all() or (rows < 0).any() or (rows.sum(1) <= 0).any():
        raise ValueError("multinomial: weights are finite, not negative, and not all 0")
    if replacement:
        sums = np.cumsum(rows, 1)
        found = np.stack([np.searchsorted(s, d * s[-1], "right") for s, d in zip(sums, numbers, strict=True)])
        found = np.minimum(found, rows.shape[1] - 1)
    else:
        # the largest of weights over exponential variables (Efraimidis and Spirakis, 2006)
        with np.errstate(divide="ignore"):
            found = np.argsort(numbers / rows, 1, kind="stable")[:, :count]
    return dispatch.beside((found if weights.ndim == 2 else found[0]).astype(np.int64), weights)


# ---- in place -------------------------------------------------------------------------------------------------------


def _filled(x: Any, what: str, generator: Any, method: str, *arguments: Any) -> Any:
    """Draw an array for a floating Variable to be filled with."""
    like = data_of(x)
    if like.dtype.char not in "fd":
        raise TypeError(f"{what}: dtype {like.dtype}: fills Variables of float32 or float64")
    return drawn_beside(what, generator, like, method, *arguments, tuple(like.shape))


def _write(x: Variable, what: str, values: Any) -> Variable:
    overwrite(x, what, values.astype(x.dtype, copy=False))
    return x


@operation(public=False)
def uniform_(input: Variable, a: float = 0.0, b: float = 1.0, *, generator: Any = None) -> Variable:
    """Fill with numbers uniform in [a, b), and give the Variable; raises ValueError for an a above b."""
    if a > b:
        raise ValueError(f"uniform_: from {a} to {b}: give the lower bound first")
    return _write(input, "uniform_", _filled(input, "uniform_", generator, "uniform", a, b))


@operation(public=False)
def normal_(input: Variable, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Variable:
    """Fill with numbers of a normal distribution, and give the Variable; raises ValueError for a negative std."""
    if std < 0:
        raise ValueError(f"normal_: the standard deviation is {std}: it must not be negative")
    return _write(input, "normal_", _filled(input, "normal_", generator, "normal", mean, std))


@operation(public=False)
def random_(input: Variable, *bounds: int, generator: Any = None) -> Variable:
    """Fill with whole numbers: ``random_()``, ``random_(to)`` below `to`, or ``random_(lowest, to)``.

    Without bounds they are all that the dtype has, up to 2**53. Raises ValueError where there is none in between.
    """
    kind = input.dtype
    if kind.kind not in "fiu" or len(bounds) > 2:
        raise TypeError(f"random_: dtype {kind}, bounds {bounds}: fills real dtypes, from at most two bounds")
    most = 2 ** (np.finfo(kind).nmant + 1) if kind.kind == "f" else min(int(np.iinfo(kind).max), 2**53)
    low, high = (0, most) if not bounds else (0, bounds[0]) if len(bounds) == 1 else bounds
    if low >= high:
        raise ValueError(f"random_: no numbers from {low} to before {high}")
    found = drawn_beside("random_", generator, data_of(input), "integers", low, high, tuple(input.shape))
    return _write(input, "random_", found)


@operation(public=False)
def exponential_(input: Variable, lambd: float = 1.0, *, generator: Any = None) -> Variable:
    """Fill with numbers of an exponential distribution of a rate, and give the Variable.

    Raises ValueError for a rate that is not positive.
    """
    if not lambd > 0:
        raise ValueError(f"exponential_: the rate is {lambd}: it must be positive")
    return _write(input, "exponential_", _filled(input, "exponential_", generator, "exponential", 1 / lambd))


@operation(public=False)
def cauchy_(input: Variable, median: float = 0.0, sigma: float = 1.0, *, generator: Any = None) -> Variable:
    """Fill with numbers of a Cauchy distribution, and give the Variable; raises ValueError for a sigma not positive."""
    if not sigma > 0:
        raise ValueError(f"cauchy_: sigma is {sigma}: it must be positive")
    drawn = _filled(input, "cauchy_", generator, "uniform", -0.5, 0.5)
    return _write(input, "cauchy_", np.tan(np.pi * drawn) * sigma + median)


@operation(public=False)
def log_normal_(input: Variable, mean: float = 1.0, std: float = 2.0, *, generator: Any = None) -> Variable:
    """Fill with exponentials of normal numbers, and give the Variable; raises ValueError for a std not positive."""
    if not std > 0:
        raise ValueError(f"log_normal_: the standard deviation is {std}: it must be positive")
    return _write(input, "log_normal_", _filled(input, "log_normal_", generator, "lognormal", mean, std))


@operation(public=False)
def geometric_(input: Variable, p: float, *, generator: Any = None) -> Variable:
    """Fill with numbers of tries until one succeeds, with a probability of p, and give the Variable.

    Raises ValueError for a p that is not between 0 and 1.
    """
    if not 0 < p < 1:
        raise ValueError(f"geometric_: p is {p}: it must be between 0 and 1")
    return _write(input, "geometric_", _filled(input, "geometric_", generator, "geometric", p))


@operation(public=False)
def bernoulli_(input: Variable, p: Any = 0.5, *, generator: Any = None) -> Variable:
    """Fill with 1 by a probability, or one for each element, and 0 otherwise, and give the Variable."""
    chances = data_of(p) if isinstance(p, Variable) or is_array(p) else np.asarray(p)
    host = dispatch.in_numpy(chances)
    if host.size and not (host.min() >= 0 and host.max() <= 1):
        raise ValueError(f"bernoulli_: probabilities from {host.min()} to {host.max()}: they are from 0 to 1")
    drawn = drawn_beside("bernoulli_", generator, data_of(input), "random", tuple(input.shape))
    return _write(input, "bernoulli_", drawn < chances)
