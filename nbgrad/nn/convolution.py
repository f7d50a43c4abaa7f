"""Convolutions: products of matrices with what windows see of images, in columns.

The sum over all places of input * weight * output is linear in each of the three. `Correlation` gives one of them from
the other two, which is convolution, transposed convolution, or the gradient by the weight; the gradients of each are
the other two, to any order.
"""

from __future__ import annotations

import math
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array
from ..function import Operation
from ..kernels import dispatch
from ..kernels.cpu import direct
from ..kernels.windows import Frame
from ..ops.elementwise import add
from ..ops.linalg import matmul
from ..ops.places import FEW, At, moving, summing
from ..ops.shape import Permute, Reshape, permute, reshape
from ..variable import data_of
from .windows import Overlap, Windows, batched, framed, numbers_of, operand, unbatched

__all__ = [
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_tbc",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "fold",
    "unfold",
]

#: Elements of the columns that are multiplied at once: as many as stay in the caches until they are.
BLOCK = 1 << 18


class Form(NamedTuple):
    """What the three arrays of a convolution have in common."""

    frame: Frame
    groups: int
    samples: int
    #: Channels of the input, and of the output.
    channels: tuple[int, int]


class Correlation(Operation):
    """One of input, weight and output, from the other two in this order: ``output = sum of weight * window of input``.

    Input has the shape (samples, channels, *size), weight (output channels, channels in a group, *kernel), output
    (samples, output channels, *places).
    """

    __slots__ = ("form", "gives")

    def __init__(self, gives: str, form: Form) -> None:
        self.gives, self.form = gives, form

    def forward(self, first: Array, second: Array) -> Array:
        give = {"output": _output, "input": _input, "weight": _weight}[self.gives]
        return dispatch.called(f"conv's {self.gives}", partial(give, self.form), first, second)

    def vjp(self, gy: Any, y: Any, *given: Any) -> Any:
        roles = _OTHERS[self.gives]
        known = {self.gives: gy, **dict(zip(roles, given, strict=True))}
        return tuple(
            [
                Correlation(role, self.form)(*[known[other] for other in _OTHERS[role]]) if self.needs(i) else None
                for i, role in enumerate(roles)
            ]
        )


_OTHERS = {"output": ("input", "weight"), "input": ("weight", "output"), "weight": ("input", "output")}


class _Blocks:
    """The samples, in blocks whose columns stay in the caches, and the three arrays as matrices of a block."""

    __slots__ = ("form", "frame", "groups", "inner", "is_whole", "places", "samples")

    def __init__(self, form: Form) -> None:
        frame, self.groups = form.frame, form.groups
        self.frame, self.form, self.is_whole = frame, form, frame.is_whole
        self.places = math.prod(frame.places)
        self.inner = form.channels[0] // form.groups * math.prod(frame.kernel)
        each = form.groups * self.inner * self.places
        count = max(1, min(form.samples, BLOCK // max(each, 1)))
        self.samples = [slice(start, min(start + count, form.samples)) for start in range(0, form.samples, count)]

    def _matrix(self, x: Any, rows: int, columns: int) -> Any:
        """Give an array as a matrix, or as one a group."""
        return x.reshape((rows, columns) if self.groups == 1 else (self.groups, rows // self.groups, columns))

    def columns(self, x: Any, samples: slice) -> Any:
        """Give what windows see of the input."""
        count = samples.stop - samples.start
        x = x[samples]
        if self.is_whole and count == 1:
            seen = x
        else:
            seen = dispatch.columns(x, self.frame)
        return self._matrix(seen, self.groups * self.inner, count * self.places)

    def input(self, columns: Any, samples: slice) -> Any:
        """Give the adjoint of `columns`."""
        count = samples.stop - samples.start
        shape = (self.form.channels[0], *self.frame.kernel, count, *self.frame.places)
        return dispatch.overlapped(columns.reshape(shape), self.frame)

    def weight(self, weight: Any) -> Any:
        """Give the weight."""
        return self._matrix(weight, self.form.channels[1], self.inner)

    def of_output(self, y: Any, samples: slice) -> Any:
        """Give the output, of a block."""
        part = y[samples].reshape((samples.stop - samples.start, self.form.channels[1], self.places))
        return self._matrix(part.transpose((1, 0, 2)), self.form.channels[1], len(part) * self.places)

    def output(self, product: Any, samples: slice) -> Any:
        """Give the part of the output that a matrix like that of `of_output` is."""
        count = samples.stop - samples.start
        order = (1, 0, *range(2, 2 + len(self.frame.places)))
        return product.reshape((self.form.channels[1], count, *self.frame.places)).transpose(order)


_blocks = lru_cache(256)(_Blocks)


def _transposed(x: Any) -> Any:
    return x.transpose((*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def _directly(form: Form, fits: Any, *arrays: Any) -> bool:
    """Tell whether the loop for few channels takes these arrays."""
    plain = all(type(x) is np.ndarray for x in arrays) and len({x.dtype for x in arrays}) == 1
    return plain and 0 not in arrays[0].shape and fits(form.frame, form.groups, form.channels)


def _output(form: Form, x: Any, weight: Any) -> Any:
    if _directly(form, direct.fits, x, weight):
        return direct.output(x, weight, form.frame)
    blocks = _blocks(form)
    shape = (form.samples, form.channels[1], *form.frame.places)
    y = dispatch.empty(shape, np.result_type(x.dtype, weight.dtype), x)
    matrix = blocks.weight(weight)
    for samples in blocks.samples:
        y[samples] = blocks.output(dispatch.matmul(matrix, blocks.columns(x, samples)), samples)
    return y


def _input(form: Form, weight: Any, y: Any) -> Any:
    if _directly(form, direct.fits_back, y, weight):
        return direct.input(weight, y, form.frame)
    blocks = _blocks(form)
    x = dispatch.empty((form.samples, form.channels[0], *form.frame.size), y.dtype, y)
    matrix = _transposed(blocks.weight(weight))
    for samples in blocks.samples:
        x[samples] = blocks.input(dispatch.matmul(matrix, blocks.of_output(y, samples)), samples)
    return x


def _weight(form: Form, x: Any, y: Any) -> Any:
    if _directly(form, direct.fits, x, y):
        return direct.weight(x, y, form.frame)
    blocks = _blocks(form)
    total: Any = None
    for samples in blocks.samples:
        part = dispatch.matmul(blocks.of_output(y, samples), _transposed(blocks.columns(x, samples)))
        total = part if total is None else add(total, part)
    shape = (form.channels[1], form.channels[0] // form.groups, *form.frame.kernel)
    return dispatch.zeros(shape, y.dtype, y) if total is None else total.reshape(shape)


# ---- the functions --------------------------------------------------------------------------------------------------


def _convolved(
    what: str, dims: int, x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int
) -> Any:
    x, added = batched(what, x, dims)
    weight = operand(what, weight)
    strides = numbers_of(what, "stride", stride, dims, 1)
    dilations = numbers_of(what, "dilation", dilation, dims, 1)
    paddings = padding if isinstance(padding, str) else numbers_of(what, "padding", padding, dims)
    if bias is not None:
        _check_bias(what, bias, weight.shape[0] if weight.ndim else 0)
    form = _form_of(what, dims, tuple(x.shape), tuple(weight.shape), strides, paddings, dilations, groups)
    return _biased(_correlated(form, x, weight), bias, dims, added)


def _correlated(form: Form, x: Any, weight: Any) -> Any:
    """Give the output: of few elements as a product with columns that are picked by kept places."""
    arrays = data_of(x), data_of(weight)
    if form.groups == 1 and type(arrays[0]) is type(arrays[1]) is np.ndarray and arrays[0].dtype is arrays[1].dtype:
        places = _columns_in(form)
        if places is not None:
            outputs = form.channels[1]
            product = matmul(Reshape.apply(weight, (outputs, places.shape[0])), At.apply(x, places))
            y = Reshape.apply(product, (outputs, form.samples, *form.frame.places))
            return Permute.apply(y, _SWAPPED[len(form.frame.places)])
    return Correlation("output", form)(x, weight)


#: The order of dimensions that exchanges the first two, by how many others there are.
_SWAPPED = [(1, 0, *range(2, 2 + others)) for others in range(4)]


@lru_cache(256)
def _columns_in(form: Form) -> Array | None:
    """Give where windows see the elements of few images: a row for each element of a window, a column a place."""
    frame = form.frame
    shape = (form.samples, form.channels[0], *frame.size)
    inner, places = form.channels[0] * math.prod(frame.kernel), form.samples * math.prod(frame.places)
    if not 0 < math.prod(shape) <= FEW or not 0 < inner * places <= FEW:
        return None
    numbers = np.arange(1.0, math.prod(shape) + 1).reshape(shape)
    seen = dispatch.columns(numbers, frame)  # (channels, *kernel, samples, *places), 0 where there is padding
    return np.ascontiguousarray(seen, np.int64).reshape(inner, places) - 1


@lru_cache(256, typed=True)
def _form_of(
    what: str,
    dims: int,
    shape: tuple[int, ...],
    weight: tuple[int, ...],
    stride: tuple[int, ...],
    padding: str | tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
) -> Form:
    """Give what the arrays of a convolution have in common, by the shapes of input and weight."""
    _check_weight(what, dims, weight, groups, shape[1], 1)
    kernel = weight[2:]
    if isinstance(padding, str):
        before, behind = _padding_by_name(what, padding, kernel, stride, dilation)
    else:
        before = behind = padding
    frame = framed(what, shape[2:], kernel, stride, before, dilation, behind)
    return Form(frame, groups, shape[0], (shape[1], weight[0]))


def _check_weight(what: str, dims: int, weight: tuple[int, ...], groups: int, channels: int, axis: int) -> None:
    """Look whether input and a weight of a shape belong together; `axis` is where it has a group's channels."""
    if not isinstance(groups, int) or groups < 1:
        raise ValueError(f"{what}: groups is {groups!r}: give a whole number of at least 1")
    if len(weight) != dims + 2 or 0 in weight:
        raise ValueError(f"{what}: weight has shape {weight}: it has {dims + 2} dimensions, none of them empty")
    inputs = weight[1] * groups if axis == 1 else weight[0]
    if inputs != channels or weight[0] % groups:
        raise ValueError(
            f"{what}: input of {channels} channels, weight of shape {weight} and {groups} groups do not match: "
            f"weight is for {inputs} channels" + (f", and {groups} divides none" if weight[0] % groups else "")
        )


def _check_bias(what: str, bias: Any, outputs: int) -> None:
    if operand(what, bias).shape != (outputs,):
        raise ValueError(f"{what}: bias has shape {bias.shape}: it must be ({outputs},)")


def _padding_by_name(
    what: str, padding: str, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Give the zeros before and behind that "valid" or "same" stand for; an odd one comes behind."""
    if padding == "valid":
        return (0,) * len(kernel), (0,) * len(kernel)
    if padding != "same":
        raise ValueError(f"{what}: padding is {padding!r}: give numbers, 'valid' or 'same'")
    if set(stride) != {1}:
        raise ValueError(f"{what}: padding='same' is for a stride of 1, got {stride}")
    both = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    return tuple([n // 2 for n in both]), tuple([n - n // 2 for n in both])


def _biased(y: Any, bias: Any, dims: int, added: bool) -> Any:
    if bias is not None:
        y = add(y, reshape(bias, -1, *(1,) * dims))
    return unbatched(y, added)


def conv1d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    """Move windows over sequences, and sum the products of what they see with a weight for each output channel.

    Input has the shape ((samples,) channels, length), weight (output channels, channels / groups, kernel), bias (output
    channels,). `padding` zeros, or as many as "valid" or "same" mean, stand at both ends; `stride` is how far a window
    moves, `dilation` how far its elements are apart. In groups, output channels see their share of the channels.

    Raises ValueError for shapes that do not match, TypeError for other dtypes than float32 and float64.

    >>> import nbgrad
    >>> x = nbgrad.tensor([[[1.0, 2.0, 4.0, 7.0]]])
    >>> nbgrad.nn.functional.conv1d(x, nbgrad.tensor([[[-1.0, 1.0]]]))
    Variable([[[1., 2., 3.]]])
    """
    return _convolved("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


def conv2d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    """Move windows over images: `conv1d` of ((samples,) channels, height, width)."""
    return _convolved("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


def conv3d(
    input: Any, weight: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Any:
    """Move windows over volumes: `conv1d` of ((samples,) channels, depth, height, width)."""
    return _convolved("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


def _spread(
    what: str,
    dims: int,
    y: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Any:
    y, added = batched(what, y, dims)
    weight = operand(what, weight)
    strides = numbers_of(what, "stride", stride, dims, 1)
    paddings = numbers_of(what, "padding", padding, dims)
    dilations = numbers_of(what, "dilation", dilation, dims, 1)
    further = numbers_of(what, "output_padding", output_padding, dims)
    outputs = weight.shape[1] * groups if weight.ndim > 1 else 0
    _check_weight(what, dims, tuple(weight.shape), groups, y.shape[1], 0)
    if bias is not None:
        _check_bias(what, bias, outputs)
    if any([f >= max(s, d) for f, s, d in zip(further, strides, dilations, strict=True)]):
        raise ValueError(
            f"{what}: output_padding is {output_padding}: it must be smaller than the stride {strides} or the dilation "
            f"{dilations}"
        )
    kernel = weight.shape[2:]
    sizes = zip(y.shape[2:], kernel, strides, paddings, dilations, further, strict=True)
    size = tuple([(n - 1) * s - 2 * p + d * (k - 1) + f + 1 for n, k, s, p, d, f in sizes])
    if min(size) < 1:
        raise ValueError(f"{what}: input of shape {y.shape} with padding {paddings} leaves images of {size} elements")
    # windows end where those of the smallest such images do
    behind = tuple([p - f for p, f in zip(paddings, further, strict=True)])
    form = Form(Frame(size, kernel, strides, paddings, dilations, behind), groups, y.shape[0], (outputs, y.shape[1]))
    return _biased(Correlation("input", form)(weight, y), bias, dims, added)


def conv_transpose1d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """Put a weight, times each element, where the windows of `conv1d` would be, and add it up: its adjoint.

    Weight has the shape (channels, output channels / groups, kernel). The result has the shape whose convolution has
    the input's, and `output_padding` further elements at its end.

    Raises ValueError for shapes that do not match, TypeError for other dtypes than float32 and float64.

    >>> import nbgrad
    >>> x = nbgrad.tensor([[[1.0, 2.0]]])
    >>> nbgrad.nn.functional.conv_transpose1d(x, nbgrad.tensor([[[1.0, 1.0]]]), stride=2)
    Variable([[[1., 1., 2., 2.]]])
    """
    return _spread("conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """Give the adjoint of `conv2d`, as `conv_transpose1d`."""
    return _spread("conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose3d(
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Any:
    """Give the adjoint of `conv3d`, as `conv_transpose1d`."""
    return _spread("conv_transpose3d", 3, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_tbc(input: Any, weight: Any, bias: Any, pad: int = 0) -> Any:
    """Give `conv1d` of input of shape (length, samples, channels), weight (kernel, channels, output channels)."""
    y = conv1d(permute(input, 1, 2, 0), permute(weight, 2, 1, 0), bias, padding=pad)
    return permute(y, 2, 0, 1)


@moving
def unfold(input: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """Give all that windows see of images, as columns: ((samples,) channels * kernel elements, places).

    Input has the shape ((samples,) channels, height, width). Raises ValueError where the window does not fit.
    """
    x, added = batched("unfold", input, 2)
    frame = framed(
        "unfold",
        x.shape[2:],
        numbers_of("unfold", "kernel_size", kernel_size, 2, 1),
        numbers_of("unfold", "stride", stride, 2, 1),
        numbers_of("unfold", "padding", padding, 2),
        numbers_of("unfold", "dilation", dilation, 2, 1),
    )
    y = permute(Windows(frame)(x), 3, 0, 1, 2, 4, 5)
    return unbatched(reshape(y, x.shape[0], math.prod(y.shape[1:4]), math.prod(y.shape[4:])), added)


@summing
def fold(input: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    """Add columns up where `unfold` found them in images of a size: its adjoint.

    Input has the shape ((samples,) channels * kernel elements, places). Raises ValueError for other shapes.
    """
    x = operand("fold", input)
    if x.ndim not in (2, 3):
        raise ValueError(f"fold: input has shape {x.shape}: it has (samples,) columns and places")
    added = x.ndim == 2
    x = reshape(x, 1, *x.shape) if added else x
    frame = framed(
        "fold",
        numbers_of("fold", "output_size", output_size, 2, 1),
        numbers_of("fold", "kernel_size", kernel_size, 2, 1),
        numbers_of("fold", "stride", stride, 2, 1),
        numbers_of("fold", "padding", padding, 2),
        numbers_of("fold", "dilation", dilation, 2, 1),
    )
    each, places = math.prod(frame.kernel), math.prod(frame.places)
    if x.shape[1] % each or x.shape[2] != places:
        raise ValueError(
            f"fold: input has shape {x.shape}: windows of {each} elements at {places} places of images of "
            f"{frame.size} give (samples, a multiple of {each}, {places})"
        )
    y = reshape(x, x.shape[0], x.shape[1] // each, *frame.kernel, *frame.places)
    return unbatched(Overlap(frame)(permute(y, 1, 2, 3, 0, 4, 5)), added)
