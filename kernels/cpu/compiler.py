"""What compiles the programs of nbgrad.jit for the CPU: how their loops are cut, compiled and launched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache as once
from typing import TYPE_CHECKING, Any

import numpy as np

from ..loop_nest import Nest, size_names
from . import codegen, fused, launch, pool, products, rows
from .launch import Launch, launcher, replayer, signature
from .threads import ADDITION, SHARE_ABOVE

if TYPE_CHECKING:
    from .. import target as protocol

#: Texts of nests that are remembered, at most.
_MOST_TEXTS = 10_000


class Compiler:
    """Compiles loops that run when they are called, on NumPy's arrays."""

    streams = False
    workspace = None
    empty: Callable[..., Any] = staticmethod(np.empty)
    broadcast_to: Callable[..., Any] = staticmethod(np.broadcast_to)
    copy: Callable[..., Any] = staticmethod(np.array)
    most_sources = 500
    #: Long ones are cut into parts (`parts`).
    most_steps = 20_000
    fold_of = staticmethod(fused.fold_of)
    fits = staticmethod(signature)
    replayer = staticmethod(replayer)
    #: What a block costs at least, in elements times operations; partial results are one a block.
    _block = 100_000
    _most_blocks = 64

    def __init__(self, target: protocol.Target) -> None:
        self.target = target
        #: The texts of nests and what these cost: where Python has unrolled a loop, most nests are equal.
        self._texts: dict[Any, tuple[str, int]] = {}
        #: Where loops' machine code is, by label and text, of which `codegen` takes a hash whenever it is asked;
        #: None where it has been begun.
        self._loops: dict[tuple[str, str], int | None] = {}

    def contiguous_array(self, x: Any) -> Any:
        """Return an array whose elements follow one another: itself, if they do."""
        return np.ascontiguousarray(x)

    def constant(self, x: Any) -> Any:
        """Return an array from outside as it is: loops read it where it lies."""
        return x

    def settled(self, y: Any) -> Any:
        """Return what a called function gave as an array that loops can read."""
        return np.asarray(y, order="C")

    def product(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return NumPy's function itself."""
        return function

    def product_loop(
        self, dtype: str, sizes: Sequence[int], steps: Sequence[int], offsets: Sequence[int]
    ) -> tuple[Callable[[], protocol.Loops], str, int] | None:
        """Return the loop that takes less time than a call of BLAS, where it does."""
        from . import matrix_vector

        form = matrix_vector.form_of(dtype, sizes, steps)
        if form is not None:
            matrix_vector.begin(dtype, form)
            self._begin_launches(matrix_vector.is_shared(dtype, form))
            text = matrix_vector.source(dtype, form.folds)
            room = matrix_vector.room(form, matrix_vector.blocks_of(dtype, form)[1])
            return lambda: _launched(*matrix_vector.launches(dtype, form, offsets)), text, room
        stack, m, k, n = sizes
        if not products.is_small(stack, m, k, n):
            return None
        text = products.launched(dtype)
        codegen.begin(f"product_{dtype}", text)
        self._begin_launches(False)

        def finish() -> protocol.Loops:
            address = codegen.address(f"product_{dtype}", text)
            return _launched(Launch(address, (*sizes, *steps), 1, offsets, False))

        return finish, text, 0

    def lines_together(self, dtype: str, first: protocol.Multiplied, second: protocol.Multiplied) -> int | None:
        """Return the lines that stay in a cache, where the matrix does not."""
        from . import chain, matrix_vector

        forms = [matrix_vector.form_of(dtype, *each) for each in (first, second)]
        return None if forms[0] is None or forms[1] is None else chain.lines_of(dtype, forms[0], forms[1])

    def chained(
        self,
        dtype: str,
        multiplied: Sequence[tuple[Sequence[int], Sequence[int], Sequence[int]]],
        loop: tuple[str, Nest, Sequence[int], int, Sequence[int], int],
        lines: int,
    ) -> tuple[Callable[[], tuple[protocol.Loops, protocol.Loops, protocol.Loops]], int]:
        """Return one loop over blocks of lines, and what puts the results of blocks together."""
        from . import chain, matrix_vector

        label, nest, sizes, blocks, offsets, elements = loop
        forms = [form for form in (matrix_vector.form_of(dtype, *each[:2]) for each in multiplied) if form is not None]
        first, second = forms
        together, parts = chain.blocks_of(first.lines, lines)
        self.begin(label, nest, 1, elements)
        chain.begin()
        for form in forms:
            matrix_vector.begin(dtype, form)
        cost = sum(matrix_vector.cost(dtype, form) for form in forms) + elements * nest.cost * ADDITION
        shared = parts > 1 and cost > SHARE_ABOVE * ADDITION
        self._begin_launches(shared)

        def finish() -> tuple[protocol.Loops, protocol.Loops, protocol.Loops]:
            between = Launch(self._address(label, nest), sizes, blocks, offsets, False)
            before, behind = (
                chain.stage(dtype, form, lines, each[2]) for form, each in zip(forms, multiplied, strict=True)
            )
            whole = chain.launched([before, between, behind], together, shared)
            of_loop = [between._replace(blocks=0)] if nest.partials and blocks > 1 else []
            of_second = [behind._replace(blocks=0)] if parts > 1 else []
            return _launched(whole), _launched(*of_loop), _launched(*of_second)

        return finish, matrix_vector.room(second, parts)

    def rows(
        self, what: str, dtype: str, sizes: Sequence[int], steps: Sequence[int], offsets: Sequence[int]
    ) -> tuple[protocol.Loops, str] | None:
        """Return the loop that picks rows, or adds them up."""
        found, text = rows.launch(what, dtype, sizes, steps, offsets)
        return _launched(found), text

    def ready(self, what: str) -> None:
        """Raise nothing: loops can be launched."""

    def wait(self) -> None:
        """Wait until all loops have run: they have."""

    def stream(self) -> None:
        """Name the current stream: there are none."""

    def shares_memory(self, x: Any, y: Any) -> bool:
        """Tell whether two arrays may have memory in common."""
        return np.may_share_memory(x, y)

    def blocks(self, nest: Nest, rows: int, elements: int) -> int:
        """Return the number of blocks that a loop is cut into."""
        self.source(nest)
        return max(1, min(self._most_blocks, elements * nest.cost // self._block, rows))

    def kept(self, nest: Nest, sizes: Sequence[int], blocks: int) -> int:
        """Return the elements of memory that a value takes which a loop keeps for its later stages."""
        return blocks * sizes[size_names(nest).index("width")]

    def source(self, nest: Nest) -> str:
        """Write a nest's loop."""
        if not nest.text:
            lists: list[list[Any]] = [nest.loads, nest.steps, nest.stores, nest.kept, nest.partials]
            known = nest.outer, nest.flat, *[tuple(each) for each in lists]
            if known not in self._texts:
                if len(self._texts) > _MOST_TEXTS:
                    self._texts.clear()
                self._texts[known] = fused.source(nest), fused.cost(nest)
            nest.text, nest.cost = self._texts[known]
        return nest.text

    def begin(self, label: str, nest: Nest, blocks: int, elements: int) -> None:
        """Begin to compile a nest, and what it takes to launch it."""
        key = label, self.source(nest)
        if key not in self._loops:
            self._loops[key] = None
            codegen.begin(f"fused_{label}", key[1])
        self._begin_launches(self._is_shared(nest, blocks, elements))

    def _begin_launches(self, shared: bool) -> None:
        """Begin to compile what it takes to launch loops."""
        launch.begin(not shared)
        if shared:
            pool.begin()

    def _is_shared(self, nest: Nest, blocks: int, elements: int) -> bool:
        return blocks > 1 and elements * nest.cost > SHARE_ABOVE

    def _address(self, label: str, nest: Nest) -> int:
        """Give where a nest's loop is."""
        key = label, self.source(nest)
        address = self._loops.get(key)
        if address is None:
            if len(self._loops) > _MOST_TEXTS:
                self._loops.clear()
            address = self._loops[key] = codegen.address(f"fused_{label}", key[1])
        return address

    def loops(
        self, label: str, nest: Nest, sizes: Sequence[int], blocks: int, offsets: Sequence[int], elements: int
    ) -> protocol.Loops:
        """Compile a nest; returns the launches it takes, in order."""
        address = self._address(label, nest)
        shared = self._is_shared(nest, blocks, elements)
        launches = [Launch(address, sizes, blocks, offsets, shared)]
        if nest.partials and blocks > 1:
            launches.append(Launch(address, sizes, 0, offsets, False))
        return _launched(*launches)


def _launched(*launches: Launch) -> protocol.Loops:
    return [(launcher(each), each) for each in launches]


@once
def compiler(target: protocol.Target) -> Compiler:
    """Return the compiler of the CPU."""
    return Compiler(target)


if TYPE_CHECKING:

    def _fulfilled(compiler: Compiler) -> protocol.Compiler:
        return compiler
