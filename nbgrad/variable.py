"""Variable: an array, and the link to the Function that created it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from sys import modules
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from .grad_mode import is_grad_enabled
from .hooks import Handle, hook_keys, watch
from .kernels import devices
from .kernels.formula import Operators

if TYPE_CHECKING:
    from .function import Function

Array = npt.NDArray[Any]


def is_array(value: Any) -> bool:
    """Tell whether a value is an array, of NumPy or CuPy, or what stands in for one (`tracing.symbol`)."""
    if isinstance(value, np.ndarray) or hasattr(type(value), "__nbgrad_array__"):
        return True
    return "cupy" in modules and devices.is_cuda(value)


def as_array(value: Any) -> Array:
    """Give an array as it is, and make one of anything else."""
    return value if is_array(value) else np.asarray(value)


_default_dtype: np.dtype[Any] = np.dtype(np.float64)
#: Called when the default dtype has changed.
default_dtype_changed: list[Callable[[], None]] = []


def set_default_dtype(dtype: npt.DTypeLike) -> None:
    """Set the dtype that Python floats and lists of them become: float64 at first.

    Raises TypeError for anything but float32 and float64.
    """
    global _default_dtype
    chosen = np.dtype(dtype)
    if chosen not in (np.float32, np.float64):
        raise TypeError(f"set_default_dtype: needs float32 or float64, got {chosen}")
    _default_dtype = chosen
    for forget in default_dtype_changed:
        forget()


def get_default_dtype() -> np.dtype[Any]:
    """Give the dtype that Python floats and lists of them become."""
    return _default_dtype


class Variable(Operators):
    """An array that remembers how it came about.

    ``Variable(array)`` is a leaf that records gradients if its dtype is float32 or float64; use `tensor` for lists
    and numbers. `data` is the array, `grad` the gradient (a Variable, or None), `creator` the Function it came from,
    `generation` the length of the longest way from a leaf.

    The array is NumPy's, or CuPy's on a GPU. Raises TypeError for anything else.

    >>> import numpy as np
    >>> x = Variable(np.array([1.0, 2.0]))
    >>> y = (x * x).sum()
    >>> y.backward()
    >>> x.grad
    Variable([2., 4.])
    """

    # `_generation` is -1 where nothing is recorded, so that one read answers both questions of the hot path: whether
    # to record, and what generation the result has. `grad`, `name`, `_hooks`, `_index` and `_retains`
    # are unset until somebody writes them; reading one then ends in __getattr__, which gives None, and creating a
    # Variable has less to write.
    __slots__ = ("__weakref__", "_generation", "_hooks", "_index", "_retains", "creator", "data", "grad", "name")

    data: Array
    grad: Variable | None
    creator: Function | None
    name: str | None
    _generation: int
    _index: int
    _hooks: dict[int, Callable[[Variable], Variable | None]] | None
    _retains: bool | None

    def __init__(self, data: Array | None, name: str | None = None, requires_grad: bool | None = None) -> None:
        if data is None or not is_array(data):
            raise TypeError(
                f"Variable: {type(data)} is not supported: it holds a numpy.ndarray or cupy.ndarray; "
                "nbgrad.tensor takes numbers and lists"
            )
        self.data = data if data.dtype.isnative else data.astype(data.dtype.newbyteorder("="))
        self.creator = None
        self._generation = -1
        if name is not None:
            self.name = name
        if requires_grad is None:
            if data.dtype.char in "fd":
                self._generation = 0
        elif requires_grad:
            self.requires_grad = True

    def __getattr__(self, name: str) -> Any:
        if name in ("grad", "name", "_hooks", "_retains", "_index"):
            return None
        if name == "__cuda_array_interface__":
            reason = "requires a gradient: use x.detach()" if self._generation >= 0 else "is on the CPU: use x.cuda()"
            raise AttributeError(f"no __cuda_array_interface__: this Variable {reason}")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    # ---- the array --------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        return self.data.shape

    @property
    def ndim(self) -> int:
        """The array's number of dimensions."""
        return self.data.ndim

    @property
    def size(self) -> int:
        """The array's number of elements."""
        return self.data.size

    @property
    def nbytes(self) -> int:
        """The bytes of the array's elements."""
        return self.data.nbytes

    @property
    def dtype(self) -> np.dtype[Any]:
        """The array's dtype."""
        return self.data.dtype

    @property
    def device(self) -> str:
        """Where the array is: "cpu", or "cuda:0"."""
        return devices.name_of(self.data)

    @property
    def is_cuda(self) -> bool:
        """Whether the array is on a GPU."""
        return devices.is_cuda(self.data)

    def dim(self) -> int:
        """Give the number of dimensions."""
        return self.data.ndim

    def numel(self) -> int:
        """Give the number of elements."""
        return self.data.size

    def item(self) -> Any:
        """Give the only element as a Python number.

        Raises ValueError for any other number of elements.
        """
        if self.data.size != 1:
            raise ValueError(f"item: a Variable of shape {self.shape} has {self.size} elements, not one")
        return self.data.item()

    def tolist(self) -> Any:
        """Give the elements as nested lists of Python numbers."""
        return devices.on_host(self.data).tolist()

    def numpy(self) -> Array:
        """Give the array, which shares memory with the Variable.

        Raises RuntimeError where a gradient would be lost unseen: for a Variable that requires one. Raises TypeError
        for one on a GPU.
        """
        return self.__array__()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if not isinstance(self.data, np.ndarray) and devices.is_cuda(self.data):
            raise TypeError(f"a Variable on {self.device} is no NumPy array: copy it to the CPU with x.cpu() first")
        if self._generation >= 0:
            raise RuntimeError(
                "a Variable that requires a gradient was about to become a plain array, losing the gradient unseen: "
                "use x.detach().numpy() or x.data, or no_grad() around the computation; nbgrad.stack joins several"
            )
        if copy is False and dtype is not None and dtype != self.data.dtype:
            raise ValueError(f"a copy is needed to give dtype {dtype} for {self.data.dtype}")
        return np.array(self.data, dtype=dtype, copy=copy)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        # CuPy's operators take whatever has this for an array; without it they leave it to ours, which record
        if self._generation >= 0 or not devices.is_cuda(self.data):
            raise AttributeError  # and on to __getattr__
        array: Any = self.data
        return array.__cuda_array_interface__

    def __dlpack__(self, **options: Any) -> Any:
        if self._generation >= 0:
            raise RuntimeError("__dlpack__ of a Variable that requires a gradient: use x.detach()")
        return self.data.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        kind, number = self.data.__dlpack_device__()
        return int(kind), int(number)

    def __len__(self) -> int:
        if not self.data.ndim:
            raise TypeError("len() of a 0-d Variable")
        return len(self.data)

    def __iter__(self) -> Iterator[Variable]:
        if not self.data.ndim:
            raise TypeError("iteration over a 0-d Variable")
        return (self[i] for i in range(len(self.data)))

    def _one(self, what: str) -> Any:
        if self.data.size != 1:
            raise ValueError(f"{what} needs one element; a Variable of shape {self.shape} has {self.size}")
        return self.data.item()

    def __float__(self) -> float:
        return float(self._one("float()"))

    def __int__(self) -> int:
        return int(self._one("int()"))

    def __index__(self) -> int:
        if self.data.dtype.kind not in "iu" or self.data.size != 1:
            raise TypeError(f"only a Variable of one whole number is an index, not {self.dtype} of shape {self.shape}")
        return int(self.data.item())

    def __bool__(self) -> bool:
        if self.data.size != 1:
            raise ValueError(
                f"the truth value of a Variable of shape {self.shape} is ambiguous: use .data.any() or .data.all()"
            )
        return bool(self.data.item())

    def __format__(self, specification: str) -> str:
        return format(self.data.item() if self.data.size == 1 and specification else str(self), specification)

    def __repr__(self) -> str:
        text = np.array2string(devices.on_host(self.data), separator=", ", prefix="Variable(")
        if self.data.dtype.char not in "dl?":
            text += f", dtype={self.data.dtype}"
        if devices.is_cuda(self.data):
            text += f", device={self.device!r}"
        if self.name:
            text += f", name={self.name!r}"
        return f"Variable({text})"

    def __str__(self) -> str:
        return str(devices.on_host(self.data))

    __hash__ = object.__hash__  # == compares elements

    # ---- the graph --------------------------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        """Whether gradients are recorded; may be set on leaves.

        Setting raises TypeError for dtypes without gradients, RuntimeError for a Variable that was computed.
        """
        return self._generation >= 0

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        if self.creator is not None:
            if wanted:
                return
            raise RuntimeError("requires_grad can be taken from leaves only: use x.detach() for a computed Variable")
        if wanted and self.data.dtype.char not in "fd":
            raise TypeError(
                f"requires_grad: dtype {self.data.dtype} has no gradients; convert to float32 or float64 first"
            )
        self._generation = 0 if wanted else -1

    def requires_grad_(self, requires_grad: bool = True) -> Variable:
        """Set `requires_grad` and give the Variable itself."""
        self.requires_grad = requires_grad
        return self

    @property
    def generation(self) -> int:
        """The length of the longest way from a leaf; 0 for leaves."""
        return max(self._generation, 0)

    @property
    def is_leaf(self) -> bool:
        """Whether the Variable was made by the user and not computed."""
        return self.creator is None

    @property
    def grad_fn(self) -> Function | None:
        """PyTorch's name for `creator`."""
        return self.creator

    def set_creator(self, function: Function) -> None:
        """Link the Variable to the Function it came from; its generation becomes the Function's plus one."""
        self.creator = function
        self._generation = function.generation + 1

    if TYPE_CHECKING:  # written in engine and ops, which know what these need

        def backward(
            self,
            gradient: Any = None,
            retain_graph: bool | None = None,
            create_graph: bool = False,
            inputs: Variable | Sequence[Variable] | None = None,
        ) -> None: ...
        def __getitem__(self, key: Any) -> Variable: ...
        def cuda(self, device: Any = None) -> Variable: ...
        def cpu(self) -> Variable: ...
        def to(self, *target: Any, device: Any = None, dtype: Any = None) -> Variable: ...
        def __matmul__(self, other: Any) -> Variable: ...
        def __rmatmul__(self, other: Any) -> Variable: ...
        @property
        def T(self) -> Variable: ...

    def cleargrad(self) -> None:
        """Forget the gradient."""
        self.grad = None

    def retain_grad(self) -> None:
        """Have `grad` filled by backward though this Variable is not a leaf."""
        if self._generation < 0:
            raise RuntimeError("retain_grad: this Variable does not require a gradient")
        self._retains = True
        watch(self)

    def register_hook(self, hook: Callable[[Variable], Variable | None]) -> Handle:
        """Call `hook` with this Variable's gradient whenever it is computed; what it returns, if anything, replaces it.

        Gives a handle whose ``remove()`` removes the hook. Raises RuntimeError if no gradient is recorded.
        """
        if self._generation < 0:
            raise RuntimeError("register_hook: this Variable does not require a gradient")
        if self._hooks is None:
            self._hooks = {}
        key = next(hook_keys)
        self._hooks[key] = hook
        watch(self)
        return Handle(self._hooks, key)

    def detach(self) -> Variable:
        """Give a Variable on the same memory that records nothing."""
        return Variable(self.data, requires_grad=False)

    def zero_(self) -> Variable:
        """Set all elements to zero, in place.

        Raises RuntimeError for a Variable whose gradient is being recorded, since its past values may be needed.
        """
        if self._generation >= 0 and is_grad_enabled():
            raise RuntimeError(
                "zero_: a Variable that requires a gradient cannot be changed in place while recording; "
                "use no_grad() around it, or x.grad.zero_() for its gradient"
            )
        self.data[...] = 0
        return self


Tensor = Variable


def as_variable(value: Any) -> Variable:
    """Give a Variable as it is, and anything that NumPy takes as a constant."""
    if isinstance(value, Variable):
        return value
    array = as_array(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{type(value).__name__} of dtype {array.dtype} cannot take part in a computation: {value!r}")
    return Variable(array, requires_grad=False)
