"""Sequences of several lengths in one batch: padded, or packed step by step without the padding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ...ops.creation import full
from ...ops.joining import cat, stack
from ...variable import Variable, as_variable, data_of


class PackedSequence(NamedTuple):
    """Sequences by steps: the first elements of all, the second of those that have one, and so on.

    `data` has a row for each element, `batch_sizes` how many sequences reach each step, and the last two how sequences
    were sorted by their lengths, the longest first, and how they come back to their places; None where they were so.
    """

    data: Any
    batch_sizes: Any
    sorted_indices: Any = None
    unsorted_indices: Any = None


def pad_sequence(
    sequences: Iterable[Any], batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Any:
    """Stack sequences of shapes (steps, ...) as (steps, batch, ...), the shorter ones padded.

    `batch_first` gives (batch, steps, ...). Raises ValueError for another side than left or right, and for none.
    """
    if padding_side not in ("left", "right"):
        raise ValueError(f"pad_sequence: padding_side is 'left' or 'right', not {padding_side!r}")
    given = [as_variable(x) for x in sequences]
    if not given:
        raise ValueError("pad_sequence: there are no sequences")
    longest = max(int(x.shape[0]) for x in given)
    rows = []
    for x in given:
        if x.shape[0] < longest:
            shape = (longest - x.shape[0], *x.shape[1:])
            padding = full(shape, padding_value, dtype=x.dtype, device=x.device)
            x = cat([x, padding] if padding_side == "right" else [padding, x])
        rows.append(x)
    return stack(rows, 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Any, lengths: Any, batch_first: bool = False) -> list[Any]:
    """Give the sequences that `pad_sequence` padded, by their lengths."""
    rows = padded_sequences if batch_first else padded_sequences.swapaxes(0, 1)
    return [rows[k, : int(length)] for k, length in enumerate(_whole(lengths))]


def pack_padded_sequence(input: Any, lengths: Any, batch_first: bool = False, enforce_sorted: bool = True) -> Any:
    """Pack a batch of shape (steps, batch, ...), or (batch, steps, ...) with `batch_first`, by its lengths.

    Lengths are in decreasing order unless ``enforce_sorted=False``, which sorts. Raises ValueError for a length below
    1 or above the steps, for another number of them, and where they are not sorted and should be.
    """
    sizes = _whole(lengths)
    batch, steps = input.shape[:2] if batch_first else input.shape[1::-1]
    if sizes.shape != (batch,) or not sizes.size or sizes.min() < 1 or sizes.max() > steps:
        raise ValueError(f"pack_padded_sequence: {batch} lengths from 1 to {steps} are wanted, got {sizes.tolist()}")
    order = None
    if not enforce_sorted:
        order = np.argsort(-sizes, kind="stable")
        sizes = sizes[order]
    elif (np.diff(sizes) > 0).any():
        raise ValueError(
            f"pack_padded_sequence: lengths are not in decreasing order, {sizes.tolist()}: enforce_sorted=False sorts"
        )
    step, place = np.nonzero(np.arange(sizes[0])[:, None] < sizes)
    counts = np.bincount(step)
    if order is not None:
        place = order[place]
    data = input[place, step] if batch_first else input[step, place]
    if order is None:
        return PackedSequence(data, _constant(counts))
    return PackedSequence(data, _constant(counts), _constant(order), _constant(np.argsort(order)))


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Any, Variable]:
    """Give what was packed as a padded batch, and the lengths; raises ValueError where `total_length` is too few."""
    counts = _whole(sequence.batch_sizes)
    reached = counts[:, None] > np.arange(counts[0])
    lengths = reached.sum(0)
    rows = np.full((max(len(counts), total_length or 0), counts[0]), int(counts.sum()))  # behind all: the padding
    rows[: len(counts)][reached] = np.arange(int(counts.sum()))
    if total_length is not None and total_length < len(counts):
        raise ValueError(f"pad_packed_sequence: total_length {total_length} is below the longest, of {len(counts)}")
    if sequence.unsorted_indices is not None:
        back = _whole(sequence.unsorted_indices)
        rows, lengths = rows[:, back], lengths[back]
    data = sequence.data
    padding = full((1, *data.shape[1:]), padding_value, dtype=data.dtype, device=data.device)
    return cat([data, padding])[rows.T if batch_first else rows], _constant(lengths)


def pack_sequence(sequences: Sequence[Any], enforce_sorted: bool = True) -> Any:
    """Pack sequences of shapes (steps, ...); they are in decreasing order of steps, or ``enforce_sorted=False``."""
    lengths = [len(x) for x in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences: PackedSequence) -> list[Any]:
    """Give the sequences that were packed."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)


def segments(batch_sizes: Any) -> list[tuple[int, int, int]]:
    """Cut steps where sequences end: the first row and the row behind the last of each part, and its sequences."""
    counts = _whole(batch_sizes)
    cuts = [0, *(np.flatnonzero(np.diff(counts)) + 1).tolist(), len(counts)]
    ends = np.concatenate([[0], np.cumsum(counts)])
    return [(int(ends[a]), int(ends[b]), int(counts[a])) for a, b in pairwise(cuts)]


def _whole(values: Any) -> Any:
    """Give whole numbers that somebody has, as NumPy's."""
    return np.asarray([int(x) for x in values] if isinstance(values, list | tuple) else data_of(values)).astype(
        np.int64
    )


def _constant(values: Any) -> Variable:
    return Variable(np.ascontiguousarray(values, np.int64), requires_grad=False)
