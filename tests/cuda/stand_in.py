"""What stands in for CuPy where there is no GPU: a module with the part of it that nbgrad uses, on host memory.

It is as strict as CuPy 14.2: its arrays are not NumPy's and do not mix with them, integer indices out of bounds are not
noticed, views that repeat elements are not protected, flags know nothing of writing, and methods take the arguments of
CuPy's, refuse what these refuse, and lay results out as they do (what they take test_stand_in.py compares with CuPy's
own). `memory` counts and limits what arrays take; the device and its driver can be taken away through `state`.

Streams are captured by CUDA's rules: to wait for what is captured, or for all of its device, is refused and spoils the
capture; an event that was recorded meanwhile is of no use outside until it is recorded anew.

CuPy and CUDA refuse more: copies between devices that cannot reach each other; memory of one device in kernels on
another; kernels of CuPy's own that cannot be compiled; graphs whose memory was given back to the device.
"""

from __future__ import annotations

import bisect
import ctypes
import sys
import threading
import types
from collections import defaultdict, deque
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
    stream = _streams.current
    if stream.spoilt:
        raise CUDARuntimeError("cudaErrorStreamCaptureInvalidated: operation failed due to a previous error")
    if stream.actions is None:
        action()
    else:
        stream.actions.append(action)


def _refuse_while_capturing(what: str) -> None:
    """Refuse as CuPy does, before CUDA is asked: what was captured so far is good."""
    if _streams.current.actions is not None:
        raise RuntimeError(f"the current stream is capturing, so {what} are disallowed")


def _refuse(stream: Stream) -> None:
    """Refuse as CUDA does: what was captured so far is lost."""
    stream.spoilt = True
    raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing")


#: Memory that arrays have given back, by size: the next of the size gets it, as in CuPy's pool.
_free_rooms: defaultdict[int, list[Any]] = defaultdict(list)


#: Where memory begins that there is at present, in order, and how many bytes it has.
_begins: list[int] = []
_sizes: dict[int, int] = {}
#: Where memory began that is no more. It is looked at before the others are: garbage may be collected at any moment.
_gone: deque[int] = deque()
_rooms_lock = threading.RLock()  # a room may end while another one begins


def _forget_what_is_gone() -> None:
    while _gone:
        begin = _gone.popleft()
        del _sizes[begin]
        del _begins[bisect.bisect_left(_begins, begin)]


def room_of(address: int) -> tuple[int, int] | None:
    """Give the begin and the size of the memory that an address lies in, or just behind."""
    with _rooms_lock:
        _forget_what_is_gone()
        position = bisect.bisect_right(_begins, address) - 1
        begin = _begins[position] if position >= 0 else -1
        size = _sizes.get(begin, -1)
    return (begin, size) if address <= begin + size else None


class _Room:
    """Memory that kernels may use, as long as this lives."""

    def __init__(self, begin: int, size: int, owner: Any = None) -> None:
        self.owner = owner
        with _rooms_lock:
            _forget_what_is_gone()
            if begin not in _sizes:  # or else it belongs to a room that lives already
                self.begin = begin
                _sizes[begin] = size
                bisect.insort(_begins, begin)

    def __del__(self) -> None:
        if hasattr(self, "begin") and _gone is not None:  # which it is at the end of a process
            _gone.append(self.begin)


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
        place = self.data.ptr if self.size else 0, False
        descr, stream = [("", self.dtype.str)], _streams.current.ptr or 1
        return {
            **{"shape": self.shape, "typestr": self.dtype.str, "descr": descr},
            **{"stream": stream, "version": 3, "strides": strides, "data": place},
        }

    def __dlpack__(
        self, *, stream: Any = None, max_version: tuple[int, int] | None = None, dl_device: Any = None, copy: Any = None
    ) -> Any:
        if dl_device not in (None, self.__dlpack_device__()) or copy:
            raise BufferError("unsupported device requested.")
        if isinstance(stream, int) and stream < -1:
            raise ValueError(f"On CUDA, the valid stream for the DLPack protocol is -1, 1, 2, or larger, not {stream}")
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
        if ours is None or function.__module__ != "numpy":
            return NotImplemented
        if not all(issubclass(kind, ndarray | np.ndarray) for kind in kinds):
            return NotImplemented
        return ours(*arguments, **options)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        # our own ufuncs have names of NumPy's, and must not end here
        if method != "__call__" or getattr(np, ufunc.__name__, None) is not ufunc:
            return NotImplemented
        for x in inputs:  # of Python's numbers the very classes
            if not hasattr(x, "__cuda_array_interface__") and not (
                type(x) in (bool, int, float, complex) or isinstance(x, np.ndarray | np.generic)
            ):
                return NotImplemented
        if ufunc.__name__ in _COMPARISONS:
            inputs = tuple(x.item() if isinstance(x, np.ndarray) and not x.ndim else x for x in inputs)
        out = options.pop("out", (None,))
        if len(out) != 1:
            raise ValueError("The 'out' parameter must have exactly one array value")
        (out,) = out
        with np.errstate(all="ignore"):
            result = _power_or(ufunc)(*map(_operand, inputs), **options)
        if out is not None:
            out._host[...] = result
            return out
        return _new(result)

    # ---- elements ---------------------------------------------------------------------------------------------------

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True) -> Any:
        assert stream is None and out is None, "nobody here needs it"
        if self.size:
            _refuse_while_capturing("D2H transfers")
        return self._host.copy(order=order)

    def item(self) -> Any:
        if self.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        return self.get().item()

    def tolist(self) -> Any:
        return self.get().tolist()

    def fill(self, value: Any) -> None:
        if hasattr(value, "__cuda_array_interface__"):
            value = _operand(value)
        else:
            value = np.asarray(value, dtype=self.dtype)  # raises for what is out of its range
        if value.shape != ():
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        enqueue(lambda: self._host.fill(value))

    def copy(self, order: str = "C") -> ndarray:
        return self.astype(self.dtype, order)

    def astype(self, dtype: Any, order: str = "K", casting: Any = None, subok: Any = None, copy: bool = True) -> Any:
        if casting is not None or subok is not None:
            raise TypeError("casting is not supported yet")
        dtype, flags = np.dtype(dtype), self._host.flags
        if not copy and self.dtype == dtype and (order == "K" or (order == "C" and flags.c_contiguous)):
            return self
        if order == "K" and (flags.c_contiguous or flags.f_contiguous):
            order = "C" if flags.c_contiguous else "F"
        assert order in ("C", "F", "K")
        axes = [*range(self.ndim)][:: 1 if order == "C" else -1]
        if order == "K":  # the smallest step first; what repeats elements has steps of 0
            axes = [-i for _, i in sorted((abs(step), -i) for i, step in enumerate(self.strides))][::-1]
        made = _allocated(self.shape, dtype, axes)

        def convert() -> None:
            with np.errstate(all="ignore"):
                made._host[...] = self._host

        enqueue(convert)
        return made

    def view(self, dtype: Any = None) -> ndarray:
        return self._view(self._host.view() if dtype is None else self._host.view(dtype))

    def reshape(self, *shape: Any, order: str = "C", copy: Any = None) -> ndarray:
        assert copy is None, "nobody here needs it"
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
        advanced = _key(key, self.shape)[1]
        if (isinstance(value, np.ndarray) and value.ndim) or (isinstance(value, list) and not advanced):
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        enqueue(lambda: self._host.__setitem__(_key(key, self.shape)[0], _operand(value)))

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError("The truth value of an array with more than one element is ambiguous.")
        return bool(self.get())

    def __int__(self) -> int:
        return int(self.get())

    def __float__(self) -> float:
        return float(self.get())

    def sum(self, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
        assert out is None, "nobody here needs it"
        return _new(self._host.sum(axis, dtype, keepdims=keepdims))

    def any(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
        assert out is None, "nobody here needs it"
        return _new(self._host.any(axis, keepdims=keepdims))

    def all(self, axis: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
        assert out is None, "nobody here needs it"
        return _new(self._host.all(axis, keepdims=keepdims))


_COMPARISONS = ("greater", "greater_equal", "less", "less_equal", "equal", "not_equal")


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


def _power_or(ufunc: Any) -> Any:
    """Give the ufunc; of whole numbers CuPy takes negative powers, which are 0 but for those of 1 and -1."""

    def power(x: Any, y: Any) -> Any:
        dtype = np.result_type(x, y)
        if dtype.kind not in "iub":
            return ufunc(x, y)
        result = ufunc(x, np.where(np.less(y, 0), np.mod(y, 2), y))
        return np.where(np.less(y, 0) & (np.abs(x) != 1), 0, result).astype(np.int8 if dtype.kind == "b" else dtype)

    return power if ufunc is np.power else ufunc


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
            if part.dtype.kind not in "iub":
                raise IndexError(f"arrays used as indices must be of integer or boolean type. (actual: {part.dtype})")
            if part.dtype != np.bool_ and len(shape) and not isinstance(key, tuple) and shape[0]:
                part = part % shape[0]
        parts.append(part)
    return tuple(parts), advanced


def _new(host: Any) -> ndarray:
    """Give a device array of its own with the elements of a host array."""
    _refuse_while_capturing("H2D transfers, and functions that the stand-in cannot put off,")
    host = np.asarray(host)
    made = _allocated(host.shape, host.dtype)
    made._host[...] = host
    return made


def _supported(dtype: Any) -> Any:
    dtype = np.dtype(dtype).newbyteorder("=")
    if dtype.char not in "?bhilqBHILQefdFD":
        raise ValueError(f"Unsupported dtype {dtype}")
    return dtype


def _allocated(shape: Any, dtype: Any, axes: Any = ()) -> ndarray:
    """Give an array whose axes lie in memory in the order of `axes`, or in their own."""
    dtype = _supported(dtype)
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    made = object.__new__(ndarray)
    made._block = block = _Block(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
    if _streams.current.actions is not None:
        enqueue(lambda: block)  # what a graph writes to is its own, even if nobody else has it
    strides, step = [0] * len(shape), dtype.itemsize
    for axis in reversed(axes or range(len(shape))):
        strides[axis] = step
        step *= shape[axis]
    made._host = np.ndarray(shape, dtype, made._block.room, made._block.start, strides if axes else None)
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


def full(shape: Any, fill_value: Any, dtype: Any = None) -> ndarray:
    made = _allocated(shape, np.result_type(fill_value) if dtype is None else dtype)
    made.fill(fill_value)
    return made


def arange(start: Any, stop: Any = None, step: Any = 1) -> ndarray:
    return _new(np.arange(start, stop, step))


def asarray(a: Any, dtype: Any = None) -> ndarray:
    if isinstance(a, ndarray):
        there = a if a._number == state.current else _new(a._host)
        return there if dtype is None else there.astype(dtype, copy=False)
    if hasattr(a, "__cuda_array_interface__"):
        return _foreign(a)
    host = np.asarray(a, dtype)
    if not host.ndim:  # by value, which may be captured
        return full((), host, host.dtype)
    made = _new(host.astype(_supported(host.dtype), copy=False))
    if host.flags.f_contiguous and not host.flags.c_contiguous:
        made = made.astype(made.dtype, "F")
    return made


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


def asnumpy(a: Any) -> Any:
    return a.get() if isinstance(a, ndarray) else np.asarray(a)


def from_dlpack(array: Any) -> ndarray:
    if array.__dlpack_device__()[0] != 2:
        raise TypeError("CPU arrays cannot be directly imported to CuPy.")
    made = array.__dlpack__(stream=_streams.current.ptr or 1, max_version=(1, 2), copy=None)
    if not isinstance(made, ndarray):
        raise BufferError("the stand-in knows its own arrays only")
    return made.view()


def broadcast_to(array: ndarray, shape: Any) -> ndarray:
    _check_arrays(array)
    return array._view(np.broadcast_to(array._host, shape))


def concatenate(tup: Any, axis: Any = 0) -> ndarray:
    _check_arrays(*tup)
    return _new(np.concatenate([_operand(x) for x in tup], axis))


def matmul(x1: Any, x2: Any, /) -> ndarray:
    return _product(np.matmul, x1, x2)


def dot(a: Any, b: Any, out: ndarray | None = None) -> ndarray:
    product = _product(np.dot, a, b)
    if out is None:
        return product
    out[...] = product
    return out


def _check_arrays(*arrays: Any) -> None:
    for x in arrays:
        if not isinstance(x, ndarray):
            raise TypeError(f"Argument has incorrect type (expected ndarray, got {type(x).__name__})")


def _product(function: Any, x: Any, w: Any) -> ndarray:
    _check_arrays(x, w)
    with np.errstate(all="ignore"):
        return _new(function(x._host, w._host))


def argmax(a: ndarray, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
    assert dtype is None and out is None, "nobody here needs it"
    return _new(np.argmax(a._host, axis, keepdims=keepdims))


def argmin(a: ndarray, axis: Any = None, dtype: Any = None, out: Any = None, keepdims: bool = False) -> ndarray:
    assert dtype is None and out is None, "nobody here needs it"
    return _new(np.argmin(a._host, axis, keepdims=keepdims))


def flatnonzero(a: ndarray) -> ndarray:
    _check_arrays(a)
    return _new(np.flatnonzero(a._host))


def argsort(a: ndarray, axis: int = -1, kind: Any = None) -> ndarray:
    assert kind in (None, "stable")
    return _new(np.argsort(a._host, axis, kind="stable"))


def exp(x: Any, /) -> ndarray:
    return np.exp(x)


def tanh(x: Any, /) -> ndarray:
    return np.tanh(x)


def fuse() -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return lambda function: function


def ndim(a: Any) -> int:
    return int(a.ndim)


def shape(a: Any) -> Any:
    return a.shape


# ---- the rest of the module -----------------------------------------------------------------------------------------


class Generator:
    """Random numbers: any will do, if the seed decides them. The device that it was made on draws them."""

    def __init__(self, seed: Any = None) -> None:
        self._host = np.random.default_rng(None if seed is None else [seed, 1])
        self._number = state.current

    def _drawn(self, host: Any) -> ndarray:
        if self._number != state.current:
            raise RuntimeError("This Generator state is allocated in a different device")
        return _new(host)

    def random(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> ndarray:
        return self._drawn(self._host.random(size, dtype))

    def standard_normal(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> ndarray:
        if np.dtype(dtype).char not in "fd":
            raise TypeError(f"Unsupported dtype {np.dtype(dtype)} for standard_normal")
        return self._drawn(self._host.standard_normal(size, dtype))

    def integers(
        self, low: Any, high: Any = None, size: Any = None, dtype: Any = np.int64, endpoint: bool = False
    ) -> ndarray:
        np.iinfo(dtype)  # of truth values there is none
        low, high = (0, int(low)) if high is None else (int(low), int(high))
        return self._drawn(self._host.integers(low, high, size, dtype, endpoint))


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

    def __init__(
        self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority: Any = None
    ) -> None:
        assert not ptds and priority is None, "nobody here needs it"
        self.ptr = 0 if null else id(self)
        self.device_id = -1 if null else state.current
        #: What is captured, if anything is, and whether it is lost.
        self.actions: list[Callable[[], Any]] | None = None
        self.spoilt = False

    def begin_capture(self, mode: Any = None) -> None:
        if self.ptr == 0:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        if self.actions is not None:
            raise CUDARuntimeError("cudaErrorIllegalState: the stream is captured already")
        self.actions, self.spoilt = [], False
        _capturing.append(self)

    def end_capture(self) -> Graph:
        if self.actions is None:
            raise CUDARuntimeError("cudaErrorIllegalState: the stream is not captured")
        _capturing.remove(self)
        actions, self.actions, spoilt, self.spoilt = self.actions, None, self.spoilt, False
        if spoilt:
            raise CUDARuntimeError("cudaErrorStreamCaptureInvalidated: operation failed due to a previous error")
        return Graph(actions)

    def is_capturing(self) -> bool:
        if self.spoilt:
            raise RuntimeError("the stream was capturing, but an error has invalidated the capture sequence")
        return self.actions is not None

    def __enter__(self) -> Stream:
        if self.device_id not in (-1, state.current):
            raise RuntimeError(
                f"The device that the stream is created on ({self.device_id}) does not match with the current device "
                f"({state.current})"
            )
        _streams.enter(self)
        return self

    def __exit__(self, *error: Any) -> None:
        assert _streams.leave() is self

    def synchronize(self) -> None:
        if self.actions is not None:
            _refuse(self)


class Event:
    """A place in a stream, which the stream has always passed already."""

    def __init__(self, block: bool = False, disable_timing: bool = False, interprocess: bool = False) -> None:
        assert not interprocess, "nobody here needs it"
        self._captured: Stream | None = None

    def record(self, stream: Any = None) -> None:
        current = stream or _streams.current
        self._captured = None if current.actions is None else current
        enqueue(lambda: None)

    def synchronize(self) -> None:
        if self._captured is not None:  # for as long as it is not recorded anew
            self._captured.spoilt |= self._captured.actions is not None
            raise CUDARuntimeError(
                "cudaErrorCapturedEvent: operation not permitted on an event last recorded in a capture"
            )


Stream.null = Stream(null=True)
#: Streams that are captured, by whichever thread.
_capturing: list[Stream] = []


class _Streams(threading.local):
    """The streams that a thread has entered; as in CuPy, each thread has a current one of its own on each device."""

    def __init__(self) -> None:
        self._entered: defaultdict[int, list[Stream]] = defaultdict(lambda: [Stream.null])
        self._devices: list[int] = []

    @property
    def current(self) -> Stream:
        return self._entered[state.current][-1]

    def enter(self, stream: Stream) -> None:
        self._devices.append(state.current)
        self._entered[state.current].append(stream)

    def leave(self) -> Stream:
        return self._entered[self._devices.pop()].pop()


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
    if not 0 <= number < max(state.count, 2):
        raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
    state.current = number


def _wait_for_the_device() -> None:
    """Wait, which is a wait for all streams that are captured."""
    for stream in _capturing:
        stream.spoilt = True
    if _capturing:
        _refuse(_capturing[0])


runtime = types.SimpleNamespace(
    getDevice=lambda: state.current,
    memcpyAsync=_copy,
    memcpyDeviceToDevice=3,
    setDevice=_set_device,
    getDeviceCount=_device_count,
    driverGetVersion=lambda: 13000,
    deviceSynchronize=_wait_for_the_device,
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
