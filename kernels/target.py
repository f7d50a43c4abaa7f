"""What a target is: the CPU, a GPU, or whatever else has memory for arrays and computes on them.

To add one, write a class of arrays (`TargetArray`) and a class that fulfils `Target`, and have `placement.register`
know the two; `tests/recording_target.py` is one, and `kernels.cpu.target` and `kernels.cuda.target` are those that
there are. Operations, their rules and the walk back then run on such arrays as they do on NumPy's. `Compiler` is what
`nbgrad.jit` asks besides: a target may do without.

Formulas, reductions and scans come by the names and objects that all targets share: a ufunc's formula is in
`kernels.cpu.elementwise.formulas`, reductions in `kernels.reductions.TABLE`, scans in `kernels.scans.TABLE`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from .formula import ScalarFunction
    from .loop_nest import Nest
    from .windows import Frame

Shape = tuple[int, ...]
Dtype = np.dtype[Any]


class TargetArray(Protocol):
    """What nbgrad asks of a target's arrays, all with NumPy's meaning; views share memory."""

    shape: Shape
    ndim: int
    size: int
    dtype: Dtype
    itemsize: int
    nbytes: int
    #: What this is a view of; None for an array with memory of its own.
    base: Any

    def reshape(self, *shape: Any) -> Any:
        """Return the elements in C order in another shape, sizes or one tuple, with -1 for one; a view if it can."""

    def transpose(self, axes: tuple[int, ...], /) -> Any:
        """Return a view with the axes in another order."""

    def view(self) -> Any:
        """Return a view of all elements."""

    def copy(self) -> Any:
        """Return a new array with the elements."""

    def astype(self, dtype: Dtype, copy: bool = True) -> Any:
        """Return the elements converted to a dtype; the array itself if it has that dtype, and `copy` is false."""

    def item(self) -> Any:
        """Return the only element as a Python number."""

    def __len__(self) -> int:
        """Return the size of the first dimension."""

    def __getitem__(self, key: Any) -> Any:
        """Return a view by slices, whole numbers, None and an ellipsis, of which ``x[..., 0]`` still is an array."""

    def __setitem__(self, key: Any, value: Any) -> None:
        """Write a number, or an array that broadcasts, to what such a key picks."""


class Target(Protocol):
    """Memory for arrays, and kernels that compute on them.

    The arrays that methods take and return are the target's own, unless said otherwise. Results are new arrays, and
    have the dtypes that the CPU's have. Where there is no kernel for a dtype, methods raise TypeError.
    """

    #: What users call it, as a device: "cpu", "cuda:0".
    name: str

    # ---- memory -----------------------------------------------------------------------------------------------------

    def empty(self, shape: Shape, dtype: Dtype) -> Any:
        """Return an array whose elements are whatever the memory held."""

    def zeros(self, shape: Shape, dtype: Dtype) -> Any:
        """Return an array of zeros."""

    def full(self, shape: Shape, value: Any, dtype: Dtype) -> Any:
        """Return an array all of whose elements are a number, or an array without dimensions."""

    def arange(self, count: int, step: int) -> Any:
        """Return the int64 numbers 0, step, 2 * step, ..., as many as `count`."""

    def bring(self, array: Any) -> Any:
        """Return an array with the elements of one of NumPy's, or of another target of the same class."""

    def to_numpy(self, x: Any) -> np.ndarray[Any, Any]:
        """Return an array of NumPy's with the same elements."""

    def concatenate(self, arrays: Sequence[Any], axis: int) -> Any:
        """Return arrays, of dtypes that are promoted, one after the other along an axis."""

    def broadcast_to(self, x: Any, shape: Shape) -> Any:
        """Return a view that repeats the elements; ValueError where the shapes do not fit."""

    def is_writeable(self, x: Any) -> bool:
        """Tell whether an array may be written to: views that repeat elements may not."""

    def drawn(self, kind: str, dtype: str, shape: Shape, state: np.ndarray[Any, Any]) -> Any:
        """Return an array of what a stream gives (`philox.KINDS`); its state is one of NumPy's, key and counter."""

    def wait(self) -> None:
        """Wait until all that was asked for is done, if methods return before it is."""

    def current(self) -> AbstractContextManager[Any]:
        """Return a context in which it is this target that computes, where there are several of a kind."""

    # ---- kernels ----------------------------------------------------------------------------------------------------

    def elementwise(self, ufunc: np.ufunc, arguments: Sequence[Any], out: Any = None) -> Any:
        """Evaluate a ufunc of ours on arrays, numbers and NumPy's arrays without dimensions; into `out`, if given.

        A ufunc of several results gives a tuple. Operands broadcast; ValueError where they do not.
        """

    def reduce(self, name: str, x: Any, axes: tuple[int, ...], numbers: tuple[float, ...] = ()) -> Any:
        """Apply a reduction over axes, ascending, which are dropped, given the numbers that it takes."""

    def spread(self, name: str, axis: int, *arrays: Any) -> Any:
        """Apply a reduction that gives a value for each element, along an axis of arrays of one shape."""

    def scan(self, name: str, x: Any, axis: int, reverse: bool) -> Any:
        """Apply a scan along an axis, from its end if `reverse`: (values, places) for extrema."""

    def recur(self, a: Any, b: Any, axis: int, reverse: bool) -> Any:
        """Return y with ``y[i] = b[i] + a[i - 1] * y[i - 1]`` along an axis, or from the other end if `reverse`."""

    def extreme_places(self, which: str, x: Any, axis: int | None) -> Any:
        """Return where along an axis, which is kept with size 1, the "max" or "min" is first met, as int64."""

    def power(self, x: Any, y: Any) -> Any:
        """Return whole numbers to whole powers, as ``np.power`` has them; ValueError for negative powers."""

    def matmul(self, x: Any, w: Any) -> Any:
        """Return the matrix product as ``np.matmul`` has it; ValueError for shapes that do not match."""

    def gather(self, table: Any, rows: Any) -> Any:
        """Return the rows ``table[rows]`` of two dimensions, for int64 positions from 0 that were looked at before."""

    def scatter(self, rows: Any, g: Any, shape: Shape, unique: bool) -> Any:
        """Return zeros of a shape, as rows as wide as those of g, with ``g[i]`` added to row ``rows[i]``.

        Repeated positions accumulate; `unique` says that there are none.
        """

    def columns(self, x: Any, frame: Frame) -> Any:
        """Return what windows see of x, as `windows.columns` has it, which does it by slices."""

    def overlapped(self, g: Any, frame: Frame) -> Any:
        """Return what windows see, added up where it was seen, as `windows.overlapped` has it."""

    def highest(self, x: Any, frame: Frame) -> tuple[Any, Any]:
        """Return the first of the largest elements in each window, or a NaN, and its place in the image as int64."""

    def nonzero(self, mask: Any) -> Any:
        """Return the positions of true elements, counted through all dimensions, as int64."""

    def look(self, index: Any, lowest: int, highest: int) -> Callable[[], tuple[bool, bool]]:
        """Begin to look at whole numbers; returns a function that waits: is any out of limits, is any negative?"""

    # ---- programs ---------------------------------------------------------------------------------------------------

    @property
    def compiler(self) -> Compiler | None:
        """What compiles for `nbgrad.jit`; None if nothing does."""


#: A loop as a function of its operands' arrays, and what `Compiler.replayer` needs to know of it, if it can replay it.
Loops = list[tuple[Callable[..., None], Any]]
#: A product of matrices: its sizes and steps, as `Compiler.product_loop` has them.
Multiplied = tuple[Sequence[int], Sequence[int]]
#: Whose an operand's memory is, in a replay.
ARGUMENT, RESULT, FIXED = 0, 1, 2


class Compiler(Protocol):
    """What compiles the programs of `nbgrad.jit` for a target, on whose arrays they run."""

    #: Whether calls return before their loops have run, in streams.
    streams: bool
    #: Arrays that one loop reads, at most, and operations that it consists of.
    most_sources: int
    most_steps: int
    #: Where there are streams, the class of what keeps memory between the steps and may capture these; else None.
    workspace: Any

    @property
    def target(self) -> Target:
        """The target."""

    def empty(self, shape: Any, dtype: Dtype) -> Any:
        """Return an array whose elements are whatever the memory held."""

    def broadcast_to(self, x: Any, shape: Shape) -> Any:
        """Return a view that repeats the elements."""

    def copy(self, x: Any) -> Any:
        """Return an array with the same elements and memory of its own."""

    def contiguous_array(self, x: Any) -> Any:
        """Return an array whose elements follow one another: itself, if they do."""

    def constant(self, x: Any) -> Any:
        """Return an array from outside, NumPy's or the target's, as loops read it in every run."""

    def settled(self, y: Any) -> Any:
        """Return what a called function gave as an array that loops can read."""

    def product(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return what multiplies matrices into a third argument, as NumPy's `function` does."""

    def product_loop(
        self, dtype: str, sizes: Sequence[int], steps: Sequence[int], offsets: Sequence[int]
    ) -> tuple[Callable[[], Loops], str, int] | None:
        """Begin to compile what multiplies matrices as a loop of three operands; None where a call does.

        Returns what waits for the loop, its text, and the elements of memory of the dtype that it needs besides: a
        fourth operand, where there are any. `sizes` are those of stacks of (m, k) by (k, n); `steps` in bytes, over the
        stack of each operand, and then over the rows and columns of each.
        """

    def lines_together(self, dtype: str, first: Multiplied, second: Multiplied) -> int | None:
        """Return how many lines of a matrix a block has that `chained` goes through; None where each goes through all.

        The first product gives an element for each line, the second one adds the lines up, with factors.
        """

    def chained(
        self,
        dtype: str,
        multiplied: Sequence[tuple[Sequence[int], Sequence[int], Sequence[int]]],
        loop: tuple[str, Nest, Sequence[int], int, Sequence[int], int],
        lines: int,
    ) -> tuple[Callable[[], tuple[Loops, Loops, Loops]], int]:
        """Begin to compile what goes through blocks of lines once for two products and a loop between them.

        `multiplied` are the sizes, steps and offsets of each product, `loop` is what `loops` takes for a flat nest, in
        blocks of so many elements. Returns what waits for the loops, over the operands of all three, and over those
        of the loop and of the second product, for what blocks gave; and the elements of memory of the dtype that the
        second product needs besides, as a fourth operand.
        """

    def rows(
        self, what: str, dtype: str, sizes: Sequence[int], steps: Sequence[int], offsets: Sequence[int]
    ) -> tuple[Loops, str] | None:
        """Return what picks rows of a table ("rows"), or adds them up in one ("rows added"), as a loop, and its text.

        Its operands are the table or the rows that are added up, the positions, the result, and a whole number, which
        is not 0 afterwards where a position was outside; before it is 0 if the loop is run in several blocks. `sizes`
        are the table's rows, the positions, how many of these are a stretch, and the elements of a row; `steps`, in
        elements, those of the first operand over stretches, rows and columns, and of positions. None where a call does
        it.
        """

    def fits(self, arrays: Sequence[Any]) -> Callable[..., bool] | None:
        """Return a quick test whether arrays are like these, None if they cannot be looked at quickly."""

    def ready(self, what: str) -> None:
        """Raise RuntimeError where loops cannot be launched now."""

    def wait(self) -> None:
        """Wait until all loops have run."""

    def stream(self) -> Any:
        """Name the stream that loops are launched on."""

    def shares_memory(self, x: Any, y: Any) -> bool:
        """Tell whether two arrays may have memory in common."""

    def fold_of(self, combine: ScalarFunction, dtype: str) -> tuple[float, str]:
        """Return the identity of a fold, and the dtype it is accumulated in."""

    def blocks(self, nest: Nest, rows: int, elements: int) -> int:
        """Return the number of blocks that a loop is cut into."""

    def kept(self, nest: Nest, sizes: Sequence[int], blocks: int) -> int:
        """Return the elements of memory that a value takes which a loop keeps for its later stages."""

    def source(self, nest: Nest) -> str:
        """Write a nest's loop."""

    def begin(self, label: str, nest: Nest, blocks: int, elements: int) -> None:
        """Begin to compile a nest for `loops`, if that is done aside."""

    def loops(
        self, label: str, nest: Nest, sizes: Sequence[int], blocks: int, offsets: Sequence[int], elements: int
    ) -> Loops:
        """Compile a nest; returns the launches it takes, in order, and what is to be replayed of each."""

    def replayer(
        self,
        arguments: Sequence[tuple[Dtype, Sequence[int]]],
        results: Sequence[tuple[Dtype, Sequence[int]]],
        launches: Sequence[tuple[Any, Sequence[tuple[int, Any]]]],
    ) -> Callable[..., Any] | None:
        """Return a function that runs all loops on arrays without Python in between, None if there can be none.

        It gives the results as a tuple of new arrays, and None for arrays that are not like the arguments. A launch's
        operands are pairs of `ARGUMENT` or `RESULT` and a number, or of `FIXED` and an array.
        """
