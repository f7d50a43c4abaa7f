"""Where arrays are: which target one is on, which ones several are on, and which target a name means."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from numpy import ndarray

from .cpu.target import CPU as CPU
from .stand_ins import innermost, stands_in

if TYPE_CHECKING:
    from .target import Target

#: The classes of arrays of targets besides the CPU, with what tells an array's target. Empty until there is such an
#: array: where speed counts, nothing else is looked at before.
away: dict[type, Callable[[Any], Target]] = {}


class device(str):
    """The name of a device, "cpu", "cuda" or "cuda:0", with its parts: `type` and `index`, None where it has none.

    It is a text, as everything that takes a device does; `Variable.device` is one. Whether there is such a device is
    seen when it is used. Raises ValueError for a name that is not known.

    >>> import nbgrad
    >>> place = nbgrad.device("cuda", 1)
    >>> print(place, place.type, place.index)
    cuda:1 cuda 1
    >>> nbgrad.ones(2, device=nbgrad.device("cpu")).device.type
    'cpu'
    """

    __slots__ = ()

    def __new__(cls, type: Any = "cpu", index: int | None = None) -> device:
        """Put a name together, or take that of a device over."""
        name = f"cuda:{type}" if isinstance(type, int) and not isinstance(type, bool) else str(type)
        family, colon, number = name.partition(":")
        if index is not None and colon:
            raise ValueError(f"device: {name!r} has an index, and {index} is another: give one of them")
        if index is not None:
            number, name = str(index), f"{name}:{index}"
        if family not in ("cpu", *_named) or (":" in name and not number.isdecimal()):
            raise ValueError(f"device {name!r} is not known: give {_known()}")
        return super().__new__(cls, name)

    @property
    def type(self) -> str:
        """What kind of device it is: "cpu" or "cuda"."""
        return self.partition(":")[0]

    @property
    def index(self) -> int | None:  # type: ignore[override]
        """Which one it is of its kind, None where the name does not say."""
        number = self.partition(":")[2]
        return int(number) if number else None

    def __reduce__(self) -> Any:
        return device, (str(self),)


def cuda(where: Any) -> Target:
    """Return the GPU of a name or of an array of CuPy's, which is a target's from now on."""
    from .cuda.target import target

    found = target(where)
    register("cuda", sys.modules["cupy"].ndarray, target)
    return found


#: What finds targets by their names, by what these begin with.
_named: dict[str, Callable[[Any], Target]] = {"cuda": cuda}


def register(name: str, arrays: type, target: Callable[[Any], Target]) -> None:
    """Make targets known: `target` gives the one that an array of a class is on, or that "name" or "name:1" means."""
    _named[name] = target
    away.setdefault(arrays, target)


def elsewhere(x: Any) -> Target | None:
    """Return the target of an array that is not in the CPU's memory, None for any other value."""
    if stands_in(x):
        return None
    for kind, target in tuple(away.items()):  # another thread may make one known
        if isinstance(x, kind):
            return target(x)
    # an array of CuPy's can only be where somebody has imported it, which no import of ours does
    cupy = sys.modules.get("cupy")
    return None if cupy is None or not isinstance(x, getattr(cupy, "ndarray", ())) else cuda(x)


def target_of(x: Any) -> Target:
    """Return the target of an array; the CPU for what is in no other memory: numbers, and what stands in for arrays."""
    return CPU if isinstance(x, ndarray) else elsewhere(innermost(x)) or CPU


def named(device: Any = None, like: Any = None) -> Target:
    """Return the target that "cpu", "cuda", "cuda:1" or 1 names, or any object that prints so; unnamed, that of `like`.

    Raises ValueError for a name that is not known.
    """
    if device is None:
        return CPU if like is None else target_of(like)
    text = f"cuda:{device}" if isinstance(device, int) and not isinstance(device, bool) else str(device)
    if text in ("cpu", "cpu:0"):
        return CPU
    family, colon, number = text.partition(":")
    find = _named.get(family)
    if find is None or (colon and not number.isdecimal()):
        raise ValueError(f"device {device!r} is not known: give {_known()}")
    return find(text)


def _known() -> str:
    others = "".join(f"{name!r}, " for name in _named if name != "cuda")
    return f"{others}'cpu', 'cuda' or 'cuda:0'"


def is_name(value: Any) -> bool:
    """Tell whether a value names a device, rather than a dtype."""
    return str(value).partition(":")[0] in ("cpu", *_named) or (isinstance(value, int) and not isinstance(value, bool))


def name_of(x: Any) -> device:
    """Return the name of the target that an array is on."""
    return device(target_of(x).name)


def has_target(x: Any) -> bool:
    """Tell whether a value is an array of any target."""
    return isinstance(x, ndarray) or elsewhere(x) is not None


def parted(x: Any, y: Any) -> tuple[str, str] | None:
    """Return the names of the targets that two arrays are on, None if it is one."""
    if not away or target_of(x) is target_of(y):
        return None
    return name_of(x), name_of(y)


def together(what: str, arrays: Sequence[Any]) -> Target:
    """Return the target of a computation: all arrays are on it, but for NumPy's scalars, which any target takes.

    Raises TypeError that names the targets otherwise. Where something stands in for an array, that answers itself.
    """
    if not away or any(map(stands_in, arrays)):
        return CPU
    found = [target for target in map(elsewhere, arrays) if target is not None]
    if not found:
        return CPU
    if any([target is not found[0] for target in found]) or any([isinstance(x, ndarray) and x.ndim for x in arrays]):
        raise _mixed(what, arrays)
    return found[0]


def only_on_cpu(what: str, library: str, arrays: Sequence[Any]) -> None:
    """Raise TypeError for arrays of another target: a library computes this, and there is no kernel."""
    if away and any(elsewhere(x) for x in arrays):
        raise TypeError(f"{what}: {library} computes it, on the CPU: move the operands there with x.cpu()")


def _mixed(what: str, arrays: Sequence[Any]) -> TypeError:
    return TypeError(
        f"{what}: operands on {' and '.join(map(name_of, arrays))}: bring them together with x.cuda() or x.cpu(), or "
        "x.to(device); only numbers and scalars without dimensions may stay behind"
    )
