"""What stands in for CuPy where there is no GPU: a module with the part of it that nbgrad uses, on host memory.

It is as strict as CuPy: its arrays are not NumPy's and do not mix with them, integer indices out of bounds are not
noticed, views that repeat elements are not protected, and flags know nothing of writing. `memory` counts and limits
what arrays take; the device and its driver can be taken away through `state`.
"""

from __future__ import annotations

import bisect
import ctypes
import sys
import threading
import types
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np


class OutOfMemoryError(MemoryError):
    """The device has no memory left."""


class CUDARuntimeError(RuntimeError):
    """What the CUDA runtime reports."""


class _State:
    """What tests may change: the number of devices or the driver's refusal, and the memory."""

    def __init__(self) -> None:
        self.count: int = 1
        self.refusal: str | None = None
        self.used = 0
        self.limit = 1 << 40
        self.current = 0


state = _State()


def enqueue(action: Callable[[], Any]) -> None:
    """Do what goes to the current stream: at once, or at each launch of the graph that it is captured into."""
    actions = _streams.current.actions
    if actions is None:
        action()
    else:
        actions.append(action)


def _refuse_while_capturing(what: str) -> None:
    if _streams.current.actions is not None:
        raise RuntimeError(f"the current stream is capturing, so {what} are disallowed")


#: Memory that arrays have given back, by size: the next of the size gets it, as in CuPy's pool.
_free_rooms: defaultdict[int, list[Any]] = defaultdict(list)


#: Where memory begins that there is at present, in order, and how many bytes it has.
_begins: list[int] = []
_sizes: dict[int, int] = {}
_rooms_lock = threading.RLock()  # a room may end while another one begins


def room_of(address: int) -> tuple[int, int] | None:
    """Give the begin and the size of the memory that an address lies in, or just behind."""
    with _rooms_lock:
        position = bisect.bisect_right(_begins, address) - 1
        begin = _begins[position] if position >= 0 else -1
        size = _sizes.get(begin, -1)
    return (begin, size) if address <= begin + size else None


class _Room:
    """Memory that kernels may use, as long as this lives."""

    def __init__(self, begin: int, size: int, owner: Any = None) -> None:
        self.owner = owner
        with _rooms_lock:
            if begin not in _sizes:  # or else it belongs to a room that lives already
                self.begin = begin
                _sizes[begin] = size
                bisect.insort(_begins, begin)

    def __del__(self) -> None:
        if hasattr(self, "begin") and not sys.is_finalizing():
            with _rooms_lock:
                del _sizes[self.begin]
                _begins.remove(self.begin)


class _Block(_Room):
    """Memory of the device; alignment is CUDA's."""

    def __init__(self, size: int) -> None:
        if state.used + size > state.limit:
            raise OutOfMemoryError(f"Out of memory allocating {size:,} bytes (allocated so far: {state.used:,} bytes).")
        self.size = size
        state.used += size
        free = _free_rooms[size]
        self.room = free.pop() if free else np.empty(size + 512, np.uint8)
        self.start = -self.room.ctypes.data % 512
        super().__init__(self.room.ctypes.data + self.start, size)

    def __del__(self) -> None:
        super().__del__()
        if hasattr(self, "room"):
            state.used -= self.size
            if self.size < 1 << 16:
                _free_rooms[self.size].append(self.room)


class Device:
    """A device, and a context in which it is the current one."""

    def __init__(self, number: int | None = None) -> None:
        self.id = state.current if number is None else number
        self._before: list[int] = []

    compute_capability = "90"

    def __enter__(self) -> Device:
        self._before.append(state.current)
        if self.id != state.current:
            runtime.setDevice(self.id)
        return self

    def __exit__(self, *error: Any) -> None:
        runtime.setDevice(self._before.pop())

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Device) and other.id == self.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<CUDA Device {self.id}>"


class _Flags:
    __slots__ = ("c_contiguous", "f_contiguous", "owndata")

    def __init__(self, host: Any, owndata: bool) -> None:
        object.__setattr__(self, "c_contiguous", host.flags.c_contiguous)
        object.__setattr__(self, "f_contiguous", host.flags.f_contiguous)
        object.__setattr__(self, "owndata", owndata)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"'Flags' object attribute {name!r} is read-only")


class ndarray:
    """An array on the device, whose elements are in `_host`."""

    __slots__ = ("__weakref__", "_block", "_host", "_number", "base")
    __hash__ = None  # type: ignore[assignment]
    __module__ = "cupy"

    def __init__(self, *arguments: Any) -> None:
        raise NotImplementedError("make arrays by functions of the module")

    # ---- what it is -------------------------------------------------------------------------------------------------

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    strides = property(lambda self: self._host.strides)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    flags = property(lambda self: _Flags(self._host, self.base is None))
    device = property(lambda self: Device(self._number))
    data = property(lambda self: types.SimpleNamespace(ptr=self._host.ctypes.data))
    T = property(lambda self: self.transpose())

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        strides = None if self._host.flags.c_contiguous else self.strides
        place = self.data.ptr, False
        return {"shape": self.shape, "typestr": self.dtype.str, "data": place, "strides": strides, "version": 3}

    def __dlpack__(self, **options: Any) -> Any:
        return self

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, self._number

    def __len__(self) -> int:
        return len(self._host)

    def __repr__(self) -> str:
        return repr(self._host)

    # ---- what NumPy does with it ------------------------------------------------------------------------------------

    def __array__(self, *arguments: Any, **options: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`.")

    def __array_function__(self, function: Any, kinds: Any, arguments: Any, options: Any) -> Any:
        ours = getattr(sys.modules[__name__], function.__name__, None)
        return NotImplemented if ours is None else ours(*arguments, **options)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        # our own ufuncs have names of NumPy's, and must not end here
        if method != "__call__" or getattr(np, ufunc.__name__, None) is not ufunc:
            return NotImplemented
        for x in inputs:
            if not hasattr(x, "__cuda_array_interface__") and not isinstance(x, np.ndarray | np.generic | int | float):
                return NotImplemented
        out = options.pop("out", (None,))[0]
        with np.errstate(all="ignore"):
            result = ufunc(*map(_operand, inputs), **options)
        if out is not None:
            out._host[...] = result
            return out
        return _new(result)

    # ---- elements ---------------------------------------------------------------------------------------------------

    def get(self) -> Any:
        _refuse_while_capturing("D2H transfers")
        return self._host.copy(order="C" if self._host.flags.c_contiguous else "A")

    def item(self, *place: Any) -> Any:
        _refuse_while_capturing("D2H transfers")
        return self._host.item(*place)

    def tolist(self) -> Any:
        _refuse_while_capturing("D2H transfers")
        return self._host.tolist()

    def fill(self, value: Any) -> None:
        enqueue(lambda: self._host.fill(_operand(value)))

    def copy(self, order: str = "C") -> ndarray:
        if order != "C":
            return _new(self._host.copy(order))
        made = _allocated(self.shape, self.dtype)
        enqueue(lambda: made._host.__setitem__(..., self._host))
        return made

    def astype(self, dtype: Any, order: str = "K", casting: Any = None, subok: Any = None, copy: bool = True) -> Any:
        if not copy and self.dtype == dtype:
            return self
        with np.errstate(all="ignore"):
            return _new(self._host.astype(dtype, order="C" if order == "K" else order))

    def view(self, dtype: Any = None) -> ndarray:
        return self._view(self._host.view() if dtype is None else self._host.view(dtype))

    def reshape(self, *shape: Any, order: str = "C") -> ndarray:
        return self._derived(self._host.reshape(*shape, order=order))

    def ravel(self, order: str = "C") -> ndarray:
        return self._derived(self._host.ravel(order))

    def transpose(self, *axes: Any) -> ndarray:
        return self._view(self._host.transpose(*axes))

    def _view(self, host: Any) -> ndarray:
        made = object.__new__(ndarray)
        made._host, made._block, made._number = np.asarray(host), self._block, self._number
        made.base = self if self.base is None else self.base
        return made

    def _derived(self, host: Any) -> ndarray:
        return self._view(host) if host.size and np.shares_memory(host, self._host) else _new(host)

    def __getitem__(self, key: Any) -> ndarray:
        parts, advanced = _key(key, self.shape)
        if advanced:
            return _new(self._host[parts])
        return self._view(self._host[(*parts, Ellipsis) if Ellipsis not in parts else parts])

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(value, np.ndarray) and value.ndim:
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        enqueue(lambda: self._host.__setitem__(_key(key, self.shape)[0], _operand(value)))

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        _refuse_while_capturing("D2H transfers")
        return bool(self._host)

    def __int__(self) -> int:
        _refuse_while_capturing("D2H transfers")
        return int(self._host)

    def __float__(self) -> float:
        _refuse_while_capturing("D2H transfers")
        return float(self._host)

    def _reduced(self, name: str, *arguments: Any, **options: Any) -> ndarray:
        return _new(getattr(self._host, name)(*arguments, **options))

    def sum(self, *arguments: Any, **options: Any) -> ndarray:
        return self._reduced("sum", *arguments, **options)

    def any(self) -> ndarray:
        return self._reduced("any")

    def all(self) -> ndarray:
        return self._reduced("all")


def _install_operators() -> None:
    binary = {"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "pow": "power"}
    binary |= {"matmul": "matmul", "floordiv": "floor_divide", "mod": "remainder"}
    compared = {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"}
    compared |= {"eq": "equal", "ne": "not_equal"}
    for name, function in (binary | compared).items():
        ufunc = getattr(np, function)
        setattr(ndarray, f"__{name}__", lambda self, other, ufunc=ufunc: ufunc(self, other))
        if name in binary:
            setattr(ndarray, f"__r{name}__", lambda self, other, ufunc=ufunc: ufunc(other, self))
    for name, function in {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}.items():
        ufunc = getattr(np, function)
        setattr(ndarray, f"__{name}__", lambda self, ufunc=ufunc: ufunc(self))


_install_operators()


def _operand(x: Any) -> Any:
    if isinstance(x, ndarray):
        return x._host
    if isinstance(x, np.ndarray):
        raise TypeError(f"Unsupported type {type(x)}")
    return _foreign(x)._host if hasattr(x, "__cuda_array_interface__") else x


def _key(key: Any, shape: tuple[int, ...]) -> tuple[Any, bool]:
    """Give an index of host arrays, and whether there are arrays in it; positions wrap around, as CuPy has it."""
    parts: list[Any] = []
    advanced = False
    for part in key if isinstance(key, tuple) else (key,):
        if isinstance(part, list | np.ndarray):
            part = np.asarray(part)
        elif isinstance(part, ndarray):
            part = part._host
        if isinstance(part, np.ndarray):
            advanced = True
            if part.dtype != np.bool_ and len(shape) and not isinstance(key, tuple) and shape[0]:
                part = part % shape[0]
        parts.append(part)
    return tuple(parts), advanced


def _new(host: Any) -> ndarray:
    """Give a device array of its own with the elements of a host array."""
    _refuse_while_capturing("H2D transfers, and functions that the stand-in cannot put off,")
    host = np.asarray(host)
    made = _allocated(host.shape, host.dtype)
    if host.flags.f_contiguous and not host.flags.c_contiguous:
        made._host = np.ndarray(host.shape, host.dtype, made._block.room, made._block.start, order="F")
    made._host[...] = host
    return made


def _allocated(shape: Any, dtype: Any) -> ndarray:
    dtype = np.dtype(dtype)
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    made = object.__new__(ndarray)
    made._block = block = _Block(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
    if _streams.current.actions is not None:
        enqueue(lambda: block)  # what a graph writes to is its own, even if nobody else has it
    made._host = np.ndarray(shape, dtype, made._block.room, made._block.start)
    made._number, made.base = state.current, None
    return made


# ---- functions ------------------------------------------------------------------------------------------------------


def empty(shape: Any, dtype: Any = float) -> ndarray:
    made = _allocated(shape, dtype)
    if made.dtype.kind == "f":
        made._host.fill(np.nan)  # whoever reads it sees
    return made


def zeros(shape: Any, dtype: Any = float) -> ndarray:
    return full(shape, 0, dtype)


def ones(shape: Any, dtype: Any = float) -> ndarray:
    return full(shape, 1, dtype)


def full(shape: Any, value: Any, dtype: Any = None) -> ndarray:
    made = _allocated(shape, np.result_type(value) if dtype is None else dtype)
    made.fill(value)
    return made


def arange(start: int, stop: int, step: int) -> ndarray:
    return _new(np.arange(start, stop, step))


def asarray(x: Any, dtype: Any = None) -> ndarray:
    if isinstance(x, ndarray):
        return x if x._number == state.current else _new(x._host)
    if hasattr(x, "__cuda_array_interface__"):
        return _foreign(x)
    return _new(np.asarray(x, dtype))


def _foreign(x: Any) -> ndarray:
    """Give an array on the memory that another library's array describes."""
    interface = x.__cuda_array_interface__
    address = interface["data"][0]
    described = types.SimpleNamespace(__array_interface__={**interface, "data": (address, False)})
    made = object.__new__(ndarray)
    host = np.asarray(described)
    begin, end = np.lib.array_utils.byte_bounds(host)
    made._host, made._block, made._number, made.base = host, _Room(begin, end - begin, x), state.current, None
    return made


def asnumpy(x: Any) -> Any:
    return x.get() if isinstance(x, ndarray) else np.asarray(x)


def from_dlpack(x: Any) -> ndarray:
    x = x.__dlpack__()
    if not isinstance(x, ndarray):
        raise BufferError("the stand-in knows its own arrays only")
    return x.view()


def broadcast_to(x: ndarray, shape: Any) -> ndarray:
    return x._view(np.broadcast_to(x._host, shape))


def concatenate(arrays: Any, axis: int = 0) -> ndarray:
    return _new(np.concatenate([_operand(x) for x in arrays], axis))


def matmul(x: Any, w: Any) -> ndarray:
    return _product(np.matmul, x, w)


def dot(x: Any, w: Any, out: ndarray | None = None) -> ndarray:
    product = _product(np.dot, x, w)
    if out is None:
        return product
    out[...] = product
    return out


def _product(function: Any, x: Any, w: Any) -> ndarray:
    for operand in (x, w):
        if not isinstance(operand, ndarray):
            raise TypeError(f"Argument has incorrect type (expected ndarray, got {type(operand).__name__})")
    with np.errstate(all="ignore"):
        return _new(function(x._host, w._host))


def argmax(x: ndarray, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
    return _new(np.argmax(x._host, axis, keepdims=keepdims))


def argmin(x: ndarray, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
    return _new(np.argmin(x._host, axis, keepdims=keepdims))


def argsort(x: ndarray, axis: int = -1, kind: Any = None) -> ndarray:
    return _new(np.argsort(x._host, axis, kind="stable"))


def exp(x: Any) -> ndarray:
    return np.exp(x)


def tanh(x: Any) -> ndarray:
    return np.tanh(x)


def fuse() -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return lambda function: function


def ndim(x: Any) -> int:
    return int(x.ndim)


def shape(x: Any) -> Any:
    return x.shape


# ---- the rest of the module -----------------------------------------------------------------------------------------


class Generator:
    """Random numbers: any will do, if the seed decides them."""

    def __init__(self, seed: Any = None) -> None:
        self._host = np.random.default_rng(None if seed is None else [seed, 1])

    def random(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> ndarray:
        return _new(self._host.random(size, dtype))

    def standard_normal(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> ndarray:
        return _new(self._host.standard_normal(size, dtype))

    def integers(self, low: Any, high: Any = None, size: Any = None, dtype: Any = np.int64) -> ndarray:
        return _new(self._host.integers(low, high, size, dtype))


class Graph:
    """What a stream was given while it was captured."""

    def __init__(self, actions: list[Callable[[], Any]]) -> None:
        self.actions = actions

    def launch(self, stream: Any = None) -> None:
        for action in self.actions:
            enqueue(action)


class Stream:
    """A stream on which everything has always happened already, unless it is captured."""

    null: ClassVar[Stream]

    def __init__(self, null: bool = False, non_blocking: bool = False) -> None:
        self.ptr = 0 if null else id(self)
        self.actions: list[Callable[[], Any]] | None = None

    def begin_capture(self, mode: Any = None) -> None:
        if self.ptr == 0:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        self.actions = []

    def end_capture(self) -> Graph:
        actions, self.actions = self.actions, None
        assert actions is not None
        return Graph(actions)

    def is_capturing(self) -> bool:
        return self.actions is not None

    def __enter__(self) -> Stream:
        _streams.entered.append(self)
        return self

    def __exit__(self, *error: Any) -> None:
        assert _streams.entered.pop() is self

    def synchronize(self) -> None:
        _refuse_while_capturing("synchronous API calls")


class Event:
    """A place in a stream, which the stream has always passed already."""

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        pass

    def record(self, stream: Any = None) -> None:
        enqueue(lambda: None)

    def synchronize(self) -> None:
        _refuse_while_capturing("synchronous API calls")


Stream.null = Stream(null=True)


class _Streams(threading.local):
    """The streams that a thread has entered; as in CuPy, each thread has a current one of its own."""

    def __init__(self) -> None:
        self.entered = [Stream.null]

    @property
    def current(self) -> Stream:
        return self.entered[-1]


_streams = _Streams()


class _Pinned(_Room):
    """Memory of the host that the device can write to."""

    def __init__(self, size: int) -> None:
        self.room = np.empty(size, np.uint8)
        self.ptr = self.room.ctypes.data
        super().__init__(self.ptr, size)


class MemoryPool:
    """Memory for whoever asks for it."""

    freed: ClassVar[list[int]] = []

    def malloc(self, size: int) -> Any:
        raise NotImplementedError("the stand-in's arrays have memory of their own")

    def free_all_blocks(self) -> None:
        self.freed.append(id(self))


@contextmanager
def _using_allocator(allocator: Any = None) -> Iterator[None]:
    assert callable(allocator)
    yield


class _Pool:
    def used_bytes(self) -> int:
        return state.used

    def total_bytes(self) -> int:
        return state.used

    def free_all_blocks(self) -> None:
        pass


def get_default_memory_pool() -> _Pool:
    return _Pool()


def _copy(target: int, source: int, size: int, kind: int, stream: int) -> None:
    assert kind == 3 and stream == _streams.current.ptr
    enqueue(lambda: ctypes.memmove(target, source, size))


def _device_count() -> int:
    if state.refusal is not None:
        raise CUDARuntimeError(state.refusal)
    return state.count


def _set_device(number: int) -> None:
    state.current = number


runtime = types.SimpleNamespace(
    getDevice=lambda: state.current,
    memcpyAsync=_copy,
    memcpyDeviceToDevice=3,
    setDevice=_set_device,
    getDeviceCount=_device_count,
    driverGetVersion=lambda: 13000,
    deviceSynchronize=lambda: None,
    memGetInfo=lambda: (80 << 30, 80 << 30),
    getDeviceProperties=lambda number: {"name": b"stand-in"},
    CUDARuntimeError=CUDARuntimeError,
)
cuda = types.SimpleNamespace(
    runtime=runtime,
    Device=Device,
    Stream=Stream,
    Event=Event,
    Graph=Graph,
    MemoryPool=MemoryPool,
    using_allocator=_using_allocator,
    alloc_pinned_memory=_Pinned,
    get_current_stream=lambda: _streams.current,
    is_available=lambda: state.refusal is None and state.count > 0,
    memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
)
random = types.SimpleNamespace(default_rng=Generator, Generator=Generator)
