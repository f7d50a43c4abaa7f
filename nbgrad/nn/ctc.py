"""The loss of sequences that are as long as they like: connectionist temporal classification."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..arrays import Array, is_stand_in
from ..kernels import dispatch
from ..kernels.cpu import alignments
from ..ops.elementwise import logaddexp, mul, neg, where
from ..ops.indexing import getitem
from ..ops.joining import take_along_dim
from ..ops.reduction import logsumexp, mean
from ..ops.shape import reshape, unsqueeze
from ..ops.steps import plain
from ..variable import data_of
from .by_kernel import ByKernel, have_kernels
from .padding import pad
from .reduced import number_of, reduced
from .windows import operand

__all__ = ["ctc_loss"]


def ctc_loss(
    log_probs: Any,
    targets: Any,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Any:
    """Give the negative log-likelihood of label sequences, over all their alignments with blanks, reduced.

    log_probs has the shape (time, samples, classes), or (time, classes); targets (samples, longest), or all labels one
    after the other; lengths (samples,). The mean is of losses divided by the targets' lengths. Infinite losses, of
    targets that are too long, become 0 with their gradients by `zero_infinity`. See Graves et al., 2006.

    Raises ValueError for shapes, lengths and labels that do not match.
    """
    x = operand("ctc_loss", log_probs)
    found = _by_kernel(x, targets, input_lengths, target_lengths, blank)
    if found is not None:
        each, lengths = found
        return _reduced(each, lengths, reduction, zero_infinity, False)
    alone = x.ndim == 2
    if x.ndim not in (2, 3):
        raise ValueError(f"ctc_loss: log_probs has shape {x.shape}: it is (time, samples, classes), or (time, classes)")
    x = unsqueeze(x, 1) if alone else x
    given = [data_of(plain(a)) for a in (targets, input_lengths, target_lengths)]
    # how long the longest target is nobody knows of those that have no elements yet: as long as there is room
    room = given[0].shape[-1] if given[0].ndim and any(map(is_stand_in, given)) else None
    paths = dispatch.called("ctc_loss", partial(_checked, blank=blank, shape=tuple(x.shape), room=room), *given)
    return _reduced(_losses(x, *paths), paths[-1], reduction, zero_infinity, alone)


def _paths(labels: Array, inputs: Array, outputs: Array, blank: int) -> tuple[Array, ...]:
    """Give states, those that may be jumped to, where samples end, final states, which there are, targets' lengths."""
    samples, longest = labels.shape
    # blanks before, between and behind the labels
    states = np.full((samples, 2 * longest + 1), blank)
    states[:, 1::2] = labels
    # a label may follow the one before without a blank, if it is another one
    jumps = np.zeros(states.shape, np.bool_)
    jumps[:, 3::2] = labels[:, 1:] != labels[:, :-1]
    last = 2 * outputs[:, None]
    final = np.concatenate([last, np.maximum(last - 1, 0)], 1)
    return states, jumps, inputs[:, None], final, np.concatenate([last >= 0, last > 0], 1), outputs


def _losses(x: Any, *paths: Array) -> Any:
    """Give the loss of each sample along its `_paths`, composed; where it is infinite, it has no gradient."""
    here = data_of(x)
    states, jumps, ends, final, only = (dispatch.beside(a, here) for a in paths[:5])
    emitted = take_along_dim(x, states[None], 2)
    first = np.zeros(tuple(jumps.shape), np.bool_)
    first[:, :2] = True
    alpha = where(dispatch.beside(first, here), getitem(emitted, 0), _NEVER)
    for step in range(1, x.shape[0]):
        stayed = logaddexp(alpha, _shifted(alpha, 1))
        reached = where(jumps, logaddexp(stayed, _shifted(alpha, 2)), stayed)
        alpha = where(step < ends, reached + getitem(emitted, step), alpha)
    each = neg(logsumexp(where(only, take_along_dim(alpha, final, 1), _NEVER), 1))
    # a number that stands for infinity would have a gradient
    return where(data_of(each) > -_NEVER / 2, np.inf, each)


def _reduced(each: Any, outputs: Array, reduction: str, zero_infinity: bool, alone: bool) -> Any:
    """Give the losses of samples with targets of some lengths, reduced; `alone` tells that there are no samples."""
    here = data_of(each)
    if zero_infinity:
        each = where(here == np.inf, 0.0, each)
    if reduction == "mean":
        lengths = np.maximum(dispatch.beside(outputs, here), 1).astype(here.dtype)
        return mean(each / lengths)
    return reduced("ctc_loss", reshape(each, ()) if alone and reduction == "none" else each, reduction)


class Ctc(ByKernel):
    """`ctc_loss` of each sample."""

    __slots__ = ("blank", "labels", "lengths", "losses", "state")

    def __init__(self, labels: Array, lengths: Array, blank: int) -> None:
        self.labels, self.lengths, self.blank = labels, lengths, number_of(blank, "l")

    def forward(self, x: Array) -> Array:
        self.losses, self.state = alignments.ctc(x.swapaxes(0, 1), self.labels, self.lengths, self.blank)
        return self.losses

    def slopes(self, gy: Array, *xs: Array) -> tuple[Array]:
        known = self.labels, self.lengths, self.blank, self.state, self.losses
        return (alignments.ctc_slope(gy, xs[0].swapaxes(0, 1), *known).swapaxes(0, 1),)

    def composed(self, *xs: Any) -> Any:
        inputs, outputs = self.lengths.T
        longest = outputs.max(initial=0)
        # what is behind a target's end may be no class
        labels = np.where(np.arange(longest) < outputs[:, None], self.labels[:, :longest], self.blank)
        return _losses(xs[0], *_paths(labels, inputs, outputs, int(self.blank)))


def _by_kernel(x: Any, targets: Any, input_lengths: Any, target_lengths: Any, blank: int) -> Any:
    """Give the loss of each sample by its kernel, and the targets' lengths; None where it takes other ways."""
    labels, *lengths = [data_of(given) for given in (targets, input_lengths, target_lengths)]
    if not have_kernels(x) or type(labels) is not np.ndarray or labels.dtype.kind not in "iu":
        return None
    shape = x.shape
    if len(shape) != 3 or 0 in shape or labels.ndim != 2 or len(labels) != shape[1] or not labels.size:
        return None
    try:
        both = np.array(lengths)
        if both.dtype.kind not in "iu" or both.shape != (2, shape[1]) or type(blank) is not int:
            return None
        # copies: they must be the same when the gradient comes back
        own = Ctc(labels.astype(np.int64), both.T.astype(np.int64, copy=False), blank)
    except ValueError:
        return None
    try:
        return own(x), both[1]
    except IndexError:
        return None  # which the other way has words for


#: The logarithm of a probability that is none; infinities would make NaN of gradients.
_NEVER = -1e30


def _shifted(alpha: Any, by: int) -> Any:
    """Give for each state what the one so many before has."""
    if alpha.shape[1] <= by:
        return mul(alpha, 0.0) + _NEVER
    return pad(getitem(alpha, (slice(None), slice(None, -by))), (by, 0), value=_NEVER)


def _checked(
    targets: Any, input_lengths: Any, target_lengths: Any, blank: int, shape: tuple[int, ...], room: int | None
) -> tuple[Array, ...]:
    """Give the `_paths` of targets, as arrays of NumPy's, with room for so many labels or for the longest target."""
    time, samples, classes = shape
    lengths = []
    for name, given in (("input_lengths", input_lengths), ("target_lengths", target_lengths)):
        length = np.asarray(dispatch.in_numpy(given)).reshape(-1)
        if length.dtype.kind not in "iu":
            raise TypeError(f"ctc_loss: {name} have dtype {length.dtype}: they must be whole numbers")
        if length.size != samples:
            raise ValueError(f"ctc_loss: {length.size} {name} for {samples} samples")
        lengths.append(length.astype(np.int64))
    inputs, outputs = lengths
    labels = np.asarray(dispatch.in_numpy(targets))
    if labels.dtype.kind not in "iu":
        labels = labels.astype(np.int64)
    if not 0 <= blank < classes:
        raise ValueError(f"ctc_loss: blank is {blank} of {classes} classes")
    if inputs.max(initial=0) > time or inputs.min(initial=0) < 0 or outputs.min(initial=0) < 0:
        raise ValueError(f"ctc_loss: input_lengths {inputs} of {time} steps, target_lengths {outputs}")
    longest = int(outputs.max(initial=0))
    width = longest if room is None else room
    if labels.ndim == 1 and (samples != 1 or labels.size == outputs.sum()):
        if labels.size < outputs.sum():
            raise ValueError(f"ctc_loss: {labels.size} labels for target_lengths {outputs}")
        rows = np.full((samples, width), blank)
        for row, end, count in zip(rows, np.cumsum(outputs).tolist(), outputs.tolist(), strict=True):
            row[:count] = labels[end - count : end]
        labels = rows
    else:
        labels = labels.reshape(samples, -1) if labels.ndim == 1 else labels
        if labels.ndim != 2 or labels.shape[0] != samples or labels.shape[1] < longest:
            raise ValueError(
                f"ctc_loss: targets of shape {labels.shape} for {samples} samples of up to {longest} labels"
            )
        labels = np.where(np.arange(width) < outputs[:, None], labels[:, :width], blank)
    if labels.size and (labels.min() < 0 or labels.max() >= classes):
        raise ValueError(f"ctc_loss: labels from {labels.min()} to {labels.max()} of {classes} classes")
    return _paths(labels, inputs, outputs, blank)
