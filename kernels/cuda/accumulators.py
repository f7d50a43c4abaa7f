"""What a thread carries along a fold, and how threads bring it together, as kernels' text."""

from __future__ import annotations

import numpy as np

from ..formula import ScalarFunction
from ..formula import source as write
from ..reductions import identity_text
from ..text import indented


class Accumulator:
    """A fold in one dtype: a value, and with sums and products of floating dtypes the error it has so far.

    `number` is the dtype of the elements, `wide` that of the fold, which must be one that can be shuffled.
    """

    def __init__(
        self, name: str, combine: ScalarFunction, identity: float, number: str, wide: str, exact: bool = True
    ) -> None:
        self.combine, self.number = combine, number
        self.start, self.wide = identity, shuffled(wide)
        floating = np.dtype(wide).kind == "f" and exact
        self.error_of = {"add": "two_sum", "mul": "two_product"}.get(combine.name) if floating else None
        self.carried: tuple[str, ...] = (f"{name}_value",)
        if self.error_of:
            self.carried += (f"{name}_rest",)

    def identity(self) -> str:
        """Write what a fold begins with."""
        return identity_text(self.start, self.number, self.wide)

    def begin(self) -> list[str]:
        """Start from the identity."""
        return [f"{self.carried[0]} = {self.identity()}", *(f"{name} = {self.wide}(0)" for name in self.carried[1:])]

    def take(self, element: str, place: str | None = None) -> list[str]:
        """Take in an element; into memory at a place, if one is given."""
        value = place or self.carried[0]
        lines = [f"new = {self.wide}({element})"]
        if not self.error_of:
            return [*lines, *self._combined(value, "new")]
        rest = self.carried[1]
        lines.append(f"{value}, error = {self.error_of}_{self.wide}({value}, new)")
        return [*lines, f"{rest} = {rest} + error" if self.error_of == "two_sum" else f"{rest} = {rest} * new + error"]

    def join(self) -> list[str]:
        """Take in what another thread has carried so far: `other0`, and its error `other1`."""
        value = self.carried[0]
        if not self.error_of:
            return self._combined(value, "other0")
        rest = self.carried[1]
        if self.error_of == "two_sum":
            errors = f"({rest} + other1) + error"  # this way round all threads of a warp get the same
        else:
            errors = f"(old * other1 + {rest} * other0) + error"
        return [f"old = {value}", f"{value}, error = {self.error_of}_{self.wide}(old, other0)", f"{rest} = {errors}"]

    def end(self) -> str:
        """Give the result; the error of an infinity is NaN."""
        if not self.error_of:
            return self.carried[0]
        value, rest = self.carried
        return f"({value} + {rest} if {rest} - {rest} == {self.wide}(0) and {rest} != {self.wide}(0) else {value})"

    def _combined(self, value: str, other: str) -> list[str]:
        lines, (combined,) = write([self.combine.expression], self.wide, {0: value, 1: other})
        return [*lines, f"{value} = {self.wide}({combined})"]


def shuffled(dtype: str) -> str:
    """Give the dtype in which values of a dtype go from thread to thread: of 4 or 8 bytes."""
    if np.dtype(dtype).itemsize < 4:
        return "int32"
    return "int64" if dtype == "uint32" else dtype


def joined_in_warp(fold: Accumulator, width: str) -> list[str]:
    """Join what neighbouring threads of a warp carry, so that each of them has the whole."""
    lines = [f"offset = {width} >> 1", "while offset > 0:"]
    for c, name in enumerate(fold.carried):
        if fold.wide == "uint64":  # shuffles know signed numbers only
            lines.append(f"    other{c} = uint64(cuda.shfl_xor_sync(0xffffffff, int64({name}), offset))")
        else:
            lines.append(f"    other{c} = cuda.shfl_xor_sync(0xffffffff, {name}, offset)")
    return [*lines, *indented(fold.join()), "    offset >>= 1"]


def joined_in_block(fold: Accumulator) -> list[str]:
    """Join what the threads of a block carry, through `shared0_float32` and its like: every thread has the whole."""
    shared = [f"shared{c}_{fold.wide}" for c in range(len(fold.carried))]
    return [
        *joined_in_warp(fold, "32"),
        "cuda.syncthreads()",
        "if thread & 31 == 0:",
        *(f"    {place}[thread >> 5] = {name}" for place, name in zip(shared, fold.carried, strict=True)),
        "cuda.syncthreads()",
        *fold.begin(),
        "if (thread & 31) < (threads >> 5):",
        *(f"    {name} = {place}[thread & 31]" for place, name in zip(shared, fold.carried, strict=True)),
        *joined_in_warp(fold, "32"),
    ]


def joined_in_columns(fold: Accumulator, part: str, parts: str) -> list[str]:
    """Join what threads carry that are multiples of ``1 << shift`` apart: the first of them have the whole.

    `part` names which of a column's threads one is, and `parts` how many they are, a power of two.
    """
    shared = [f"shared{c}_{fold.wide}" for c in range(len(fold.carried))]
    kept = [f"{place}[thread] = {name}" for place, name in zip(shared, fold.carried, strict=True)]
    return [
        "cuda.syncthreads()",
        *kept,
        "cuda.syncthreads()",
        f"half = {parts} >> 1",
        "while half > 0:",
        f"    if {part} < half:",
        *(f"        other{c} = {place}[thread + (half << shift)]" for c, place in enumerate(shared)),
        *indented([*fold.join(), *kept], 2),
        "    cuda.syncthreads()",
        "    half >>= 1",
    ]
