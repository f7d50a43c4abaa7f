"""What is scanned, and how: what is carried along an axis, how stretches of it are joined, what each place gives.

A scan carries a few numbers from element to element. `take` gives them after one more element, `join` after two
stretches that follow each other, and `finish` the results at a place from what has been carried up to there. Joining is
associative, so that long lines can be cut into pieces that are scanned at once. The declaration is all there is: loops
for every layout and target are generated from it.

Where a sum is carried, so is the rounding error that it has so far (two_sum: Knuth, The Art of Computer Programming 2,
4.2.2), unless elements are narrower than what is carried. With u half the spacing of numbers at 1, a running sum of n
terms is off by u of itself and n^2 u^2 of the sum of magnitudes at most (Ogita, Rump, Oishi, SIAM J. Sci. Comput. 26,
2005, proposition 4.5).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from .formula import NUMBER, Expression, constant, variable
from .scalars import abs, exp, log, where

Numbers = tuple[Any, ...]


class Carried:
    """The numbers that a scan carries, what they are before the first element, and what becomes of them.

    Positions of the expressions' inputs: for `taken` the elements, one of each array, then their place along the axis,
    then the numbers; for `joined` the first stretch's numbers, then the second one's; for `results` the numbers.
    """

    def __init__(
        self,
        identity: Sequence[float],
        take: Callable[..., Numbers],
        finish: Callable[..., Numbers],
        join: Callable[[Numbers, Numbers], Numbers] | None = None,
        arity: int = 1,
    ) -> None:
        self.identity = tuple(identity)
        count = len(identity)
        inputs = [variable(position, NUMBER) for position in range(arity + 1 + 2 * count)]
        self.taken = _expressions(take(tuple(inputs[arity + 1 : arity + 1 + count]), *inputs[: arity + 1]))
        self.joined = _expressions(join(tuple(inputs[:count]), tuple(inputs[count : 2 * count]))) if join else []
        self.results = _expressions(finish(*inputs[:count]))


class Scan:
    """A named scan: what it carries, and what it carries where that is wider than the elements, or lines stay whole.

    `accumulates`: whole numbers are carried, and given, in 64 bits, as NumPy's sums are. `places`: the last of the
    numbers carried is a place along the axis, and so is the second result. `splits`: a line may be cut into pieces
    wherever that pays; otherwise only where nothing else will do, for what pieces give together may be out of range.
    """

    def __init__(
        self,
        name: str,
        carried: Carried,
        narrow: Carried | None = None,
        arity: int = 1,
        accumulates: bool = True,
        floating: bool = False,
        places: bool = False,
        splits: bool = True,
    ) -> None:
        self.name, self.carried, self.narrow, self.arity = name, carried, narrow or carried, arity
        self.accumulates, self.floating, self.places, self.splits = accumulates, floating, places, splits
        TABLE[name] = self


#: The scans by name.
TABLE: dict[str, Scan] = {}


def _expressions(numbers: Numbers) -> list[Expression]:
    return [constant(number) for number in numbers]


def _added(total: Any, more: Any) -> Numbers:
    """Give a sum of two, and its rounding error."""
    new = total + more
    taken = new - total
    return new, (total - (new - taken)) + (more - taken)


def _with_rest(total: Any, rest: Any) -> Any:
    """Give a sum with the error that was carried; that of an infinity is NaN."""
    exact = total + rest
    return where(exact == exact, exact, total)


# ---- running sums and products --------------------------------------------------------------------------------------


def _take_term(carried: Numbers, x: Any, place: Any) -> Numbers:
    total, error = _added(carried[0], x)
    return total, carried[1] + error


def _join_sums(first: Numbers, second: Numbers) -> Numbers:
    total, error = _added(first[0], second[0])
    return total, first[1] + (second[1] + error)


def _join_products(first: Numbers, second: Numbers) -> Numbers:
    """Multiply; 0 stays 0 though the product of finite numbers behind it may be infinite."""
    return where((first[0] == 0) & (second[1] == 0), 0, first[0] * second[0]), first[1] + second[1]


def _join_recurrences(first: Numbers, second: Numbers) -> Numbers:
    """Go on from the first one's end; 0 stays 0, as for products."""
    return where(first[0] == 0, second[0], second[0] + second[1] * first[0]), first[1] * second[1]


cumsum = Scan(
    "cumsum",
    Carried((0, 0), _take_term, lambda *sum: (_with_rest(*sum),), _join_sums),
    Carried((0,), lambda carried, x, place: (carried[0] + x,), lambda total: (total,), lambda a, b: (a[0] + b[0],)),
)
# beside the product what tells whether all elements are finite: 0 or NaN
cumprod = Scan(
    "cumprod",
    Carried(
        (1, 0),
        lambda carried, x, place: (carried[0] * x, carried[1] + (x - x)),
        lambda product, finite: (product,),
        _join_products,
    ),
    Carried((1,), lambda carried, x, place: (carried[0] * x,), lambda product: (product,)),
    splits=False,
)
#: y[i] = b[i] + a[i] * y[i - 1], what the gradients of scans consist of; beside it the product of all a.
recurrence = Scan(
    "recurrence",
    Carried(
        (0, 1),
        lambda carried, a, b, place: (b + a * carried[0], a * carried[1]),
        lambda value, product: (value,),
        _join_recurrences,
        arity=2,
    ),
    Carried((0,), lambda carried, a, b, place: (b + a * carried[0],), lambda value: (value,), arity=2),
    arity=2,
    floating=True,
    splits=False,
)

# ---- running extrema ------------------------------------------------------------------------------------------------


def _extremum(name: str, identity: float, keeps: Callable[[Any, Any], Any]) -> Scan:
    """Declare a running extremum with its place: of equal ones the later, and of NaN."""

    def join(first: Numbers, second: Numbers) -> Numbers:
        later = keeps(second[0], first[0]) | (second[0] != second[0])
        return where(later, second[0], first[0]), where(later, second[1], first[1])

    carried = Carried(
        (identity, 0), lambda carried, x, place: join(carried, (x, place)), lambda value, place: (value, place), join
    )
    return Scan(name, carried, accumulates=False, places=True)


cummax = _extremum("cummax", -math.inf, lambda later, earlier: later >= earlier)
cummin = _extremum("cummin", math.inf, lambda later, earlier: later <= earlier)

# ---- logarithms of sums ---------------------------------------------------------------------------------------------


def _scaled(first: Numbers, second: Numbers) -> tuple[Any, list[Any], list[Any]]:
    """Give the larger of two maxima, and the other numbers of both for it: sums of ``exp(x - maximum)``."""
    distance = where(first[0] == second[0], 0, second[0] - first[0])
    factor = exp(-abs(distance))
    rises = distance > 0
    return (
        where(rises, second[0], first[0]),
        [where(rises, number * factor, number) for number in first[1:]],
        [where(rises, number, number * factor) for number in second[1:]],
    )


def _join_logs(first: Numbers, second: Numbers) -> Numbers:
    top, (total, rest), (more, more_rest) = _scaled(first, second)
    total, error = _added(total, more)
    return top, total, rest + (more_rest + error)


def _take_log(carried: Numbers, x: Any, place: Any) -> Numbers:
    top, (total, rest), (more,) = _scaled(carried, (x, constant(1)))
    total, error = _added(total, more)
    return top, total, rest + error


def _join_narrow_logs(first: Numbers, second: Numbers) -> Numbers:
    top, (total,), (more,) = _scaled(first, second)
    return top, total + more


logcumsumexp = Scan(
    "logcumsumexp",
    Carried((-math.inf, 0, 0), _take_log, lambda top, *sum: (top + log(_with_rest(*sum)),), _join_logs),
    Carried(
        (-math.inf, 0),
        lambda carried, x, place: _join_narrow_logs(carried, (x, constant(1))),
        lambda top, total: (top + log(total),),
        _join_narrow_logs,
    ),
    floating=True,
)
