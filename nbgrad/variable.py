"""Variable: an array, and the link to the Function that created it."""

from __future__ import annotations

import copy
import itertools
import sys
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from . import sharing
from .arrays import Array, Count, as_array, as_data, instead_of_an_array, is_array, numpys_method, of_numpys_own
from .grad_mode import differentiating, is_grad_enabled
from .hooks import Handle, hook_keys, look_at_leaves, tell_of_leaf, watch
from .kernels import dispatch, placement
from .kernels.operators import Operators
from .registry import late_method

if TYPE_CHECKING:
    from .function import Function
    from .history import Story
    from .methods import Methods
else:
    Methods = Operators  # what it declares is installed by `ops` and `accumulate`

_default_dtype: np.dtype[Any] = np.dtype(np.float64)
#: Called with the array that a Variable had before another one was put in its place.
data_replaced: list[Callable[[Array], None]] = []
#: Gives what makes an empty Variable marked as another one is, with its arguments; None where that is not marked.
marked_again: list[Callable[[Variable], tuple[Callable[..., Variable], tuple[Any, ...]] | None]] = []
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


#: The generations of Variables that are cut off the graph on purpose, each its own: views share it, and follow what is
#: written to one another, but nothing that is written before or behind the cut.
cuts = itertools.count(-2, -1)


def _stores_an_element() -> bool:
    """Tell whether the statement that led here is ``array[k] = x``, where NumPy asks for a number and nothing else.

    Only the caller's instruction tells that from ``float(x)``.
    """
    from opcode import opmap

    caller = sys._getframe(2).f_back  # behind what asks for the number; none where C began a thread with that
    return caller is not None and caller.f_code.co_code[caller.f_lasti] == opmap.get("STORE_SUBSCR")


class Variable(Methods):
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
    # Variable has less to write. `_array` is what `data` checks when it is assigned; by the name of `_data` NumPy's
    # masked arrays would read it, and lose the gradient.
    __slots__ = (
        "__weakref__",
        "_array",
        "_generation",
        "_hooks",
        "_index",
        "_retains",
        "_story",
        "creator",
        "grad",
        "name",
    )

    _array: Array
    grad: Variable | None
    creator: Function | None
    name: str | None
    _generation: int
    _index: int
    _hooks: dict[int, Callable[[Variable], Variable | None]] | None
    _retains: bool | None
    _story: Story | None

    def __init__(self, data: Array | None, name: str | None = None, requires_grad: bool | None = None) -> None:
        if data is None or not is_array(data):
            raise TypeError(
                f"Variable: {type(data)} is not supported: it holds a numpy.ndarray or cupy.ndarray; "
                "nbgrad.tensor takes numbers and lists"
            )
        self._array = as_data(data)
        self.creator = None
        self._generation = -1
        if name is not None:
            self.name = name
        if requires_grad is None and data.dtype.char in "fd":
            self._generation = 0
        elif requires_grad:
            self._require(True)
        if sharing.active:
            sharing.note(self)

    if not TYPE_CHECKING:  # to them any attribute would be there

        def __getattr__(self, name: str) -> Any:
            if name in ("grad", "name", "_hooks", "_retains", "_index", "_story"):
                return None
            if name == "__cuda_array_interface__":
                why = "requires a gradient: use x.detach()" if self._generation >= 0 else "is on the CPU: use x.cuda()"
                raise AttributeError(f"no __cuda_array_interface__: this Variable {why}")
            return late_method(self, name) or numpys_method(self, name)

    # ---- the array --------------------------------------------------------------------------------------------------

    def _set_data(self, given: Any) -> None:
        if isinstance(given, Variable):
            if given._generation >= 0 and is_grad_enabled():
                raise RuntimeError(
                    "data = a Variable that requires a gradient, which would be lost unseen: assign x.data or "
                    "x.detach(), or do so under no_grad()"
                )
            given = given._array
        elif isinstance(given, np.generic):  # what NumPy makes of arrays without dimensions
            given = np.asarray(given)
        if not is_array(given):
            raise TypeError(f"data = {type(given)}: a Variable holds a numpy.ndarray or cupy.ndarray")
        array, held = as_data(given), self._array
        if array.shape != held.shape or array.dtype != held.dtype:
            became = f"{array.dtype} of shape {array.shape} in place of {held.dtype} of shape {held.shape}"
            if self.creator is not None:
                raise ValueError(
                    f"data = {became}: this Variable was computed, and the gradient comes back to what it was; "
                    "nbgrad.Variable(array) makes another one"
                )
            if self._generation >= 0 and array.dtype.char not in "fd":
                raise TypeError(f"data = {became}: it requires a gradient, for which there is float32 and float64")
            look_at_leaves()  # a graph that was recorded with the other array may be walked
        self._array = array
        if array is not held:
            if sharing.active:
                sharing.note(self)
            for look in data_replaced:
                look(held)

    data = property(
        attrgetter("_array"),
        _set_data,
        doc="""The array; another one may be put in its place.

        Scalars of NumPy become arrays without dimensions, and Variables that record nothing give theirs. Raises
        TypeError for anything else and for a dtype without gradients where one is required, ValueError for another
        shape or dtype of a Variable that was computed.
        """,
    )

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape."""
        return self._array.shape

    @property
    def ndim(self) -> int:
        """The array's number of dimensions."""
        return self._array.ndim

    @property
    def size(self) -> Count:
        """The array's number of elements; PyTorch's ``x.size()`` and ``x.size(dim)`` give the shape."""
        count = Count(self._array.size)
        count.shape = self._array.shape
        return count

    @property
    def nbytes(self) -> int:
        """The bytes of the array's elements."""
        return self._array.nbytes

    @property
    def dtype(self) -> np.dtype[Any]:
        """The array's dtype."""
        return self._array.dtype

    @property
    def device(self) -> placement.device:
        """Where the array is: "cpu", or "cuda:0", with its parts."""
        return placement.name_of(self._array)

    @property
    def is_cuda(self) -> bool:
        """Whether the array is on a GPU."""
        return self.device.startswith("cuda")

    def dim(self) -> int:
        """Give the number of dimensions."""
        return self._array.ndim

    def numel(self) -> int:
        """Give the number of elements."""
        return self._array.size

    def item(self) -> Any:
        """Give the only element as a Python number.

        Raises ValueError for any other number of elements, RuntimeError inside a function that is being differentiated
        where a gradient would be lost unseen.
        """
        if self._array.size != 1:
            raise ValueError(f"item: a Variable of shape {self.shape} has {self.size} elements, not one")
        self._refuse_to_lose("item()")
        return self._array.item()

    def tolist(self) -> Any:
        """Give the elements as nested lists of Python numbers. Raises RuntimeError where `item` does."""
        self._refuse_to_lose("tolist()")
        return dispatch.in_numpy(self._array).tolist()

    def numpy(self) -> Array:
        """Give the array. Raises RuntimeError for a Variable that requires a gradient, TypeError for one on a GPU."""
        return self.__array__()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        array = dispatch.of_numpys(self._array)
        if self._generation >= 0:
            raise RuntimeError(
                "a Variable that requires a gradient was about to become a plain array, losing the gradient unseen: "
                "use x.detach().numpy() or x.data, or no_grad() around the computation; " + instead_of_an_array()
            )
        if copy is False and dtype is not None and dtype != self._array.dtype:
            raise ValueError(f"a copy is needed to give dtype {dtype} for {self._array.dtype}")
        return np.array(array, dtype=dtype, copy=copy)

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        # CuPy's operators take whatever has this for an array; without it they leave it to ours, which record
        if self._generation >= 0:
            raise AttributeError  # and on to __getattr__
        array: Any = self._array
        return array.__cuda_array_interface__  # which other arrays have not

    def __dlpack__(self, **options: Any) -> Any:
        if self._generation >= 0:
            raise RuntimeError("__dlpack__ of a Variable that requires a gradient: use x.detach()")
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        kind, number = self._array.__dlpack_device__()
        return int(kind), int(number)

    def __len__(self) -> int:
        if not self._array.ndim:
            raise TypeError("len() of a 0-d Variable")
        return len(self._array)

    def __iter__(self) -> Iterator[Variable]:
        if not self._array.ndim:
            raise TypeError("iteration over a 0-d Variable")
        return (self[i] for i in range(len(self._array)))

    def _one(self, what: str) -> Any:
        if self._array.size != 1:
            raise ValueError(f"{what} needs one element; a Variable of shape {self.shape} has {self.size}")
        self._refuse_to_lose(what)
        if self._generation >= 0 and is_grad_enabled() and _stores_an_element():
            raise RuntimeError(
                "a Variable that requires a gradient was about to become an element of a plain array, losing the "
                "gradient unseen: build the array with nbgrad.stack or nbgrad.tensor, or store x.item()"
            )
        return self._array.item()

    def _refuse_to_lose(self, what: str) -> None:
        """Refuse to become numbers where the value is being differentiated: elsewhere that is for the user to read."""
        if self._generation >= 0 and differentiating.get() and is_grad_enabled():
            raise RuntimeError(
                f"{what} of a Variable that requires a gradient, inside a function that is being differentiated, loses "
                "the gradient unseen: compute with nbgrad's functions (nbgrad.sin and not math.sin), or take "
                "x.detach() first where the gradient is not wanted"
            )

    def __float__(self) -> float:
        return float(self._one("float()"))

    def __int__(self) -> int:
        return int(self._one("int()"))

    def __index__(self) -> int:
        if self._array.dtype.kind not in "iu" or self._array.size != 1:
            raise TypeError(f"only a Variable of one whole number is an index, not {self.dtype} of shape {self.shape}")
        return int(self._array.item())

    def __bool__(self) -> bool:
        if self._array.size != 1:
            raise ValueError(
                f"the truth value of a Variable of shape {self.shape} is ambiguous: use .data.any() or .data.all()"
            )
        return bool(self._array.item())

    def __format__(self, specification: str) -> str:
        return format(self._array.item() if self._array.size == 1 and specification else str(self), specification)

    def __repr__(self) -> str:
        text = np.array2string(dispatch.in_numpy(self._array), separator=", ", prefix="Variable(")
        if self._array.dtype.char not in "dl?":
            text += f", dtype={self._array.dtype}"
        if self.device != "cpu":
            text += f", device={self.device!r}"
        if self.name:
            text += f", name={self.name!r}"
        return f"Variable({text})"

    def __str__(self) -> str:
        return str(dispatch.in_numpy(self._array))

    __hash__ = object.__hash__  # == compares elements

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Tell what a copy and a pickle are made of: a leaf, without gradient and hooks, as PyTorch has it."""
        reduced: Any = super().__reduce_ex__(2)
        make, arguments, (attributes, slots), *_ = reduced
        slots = {k: value for k, value in slots.items() if k not in ("_hooks", "_index", "_retains", "_story", "grad")}
        slots |= {"creator": None, "_generation": min(self._generation, 0)}
        make, arguments = next(filter(None, [again(self) for again in marked_again]), (make, arguments))
        return make, arguments, (attributes, slots)

    def __copy__(self) -> Variable:
        return self.__deepcopy__(None)

    def __deepcopy__(self, memory: dict[int, Any] | None) -> Variable:
        """Copy a leaf with its array and, but for parameters, its gradient; a function being differentiated goes on.

        Raises RuntimeError for a deep copy of a Variable that was computed elsewhere, as PyTorch does.
        """
        if self._generation >= 0 and type(self) is Variable and differentiating.get() and is_grad_enabled():
            return self[...] if memory is None else self.clone()
        if memory is not None and self.creator is not None:
            raise RuntimeError("a deep copy of a computed Variable would be cut off its past: use x.detach().clone()")
        make, arguments, (attributes, slots) = self.__reduce_ex__(2)
        duplicate: Variable = make(*arguments)
        if memory is not None:
            memory[id(self)] = duplicate
            slots |= {"grad": self.grad} if type(self) in arguments else {}
        for name, value in ((attributes or {}) | slots).items():
            setattr(duplicate, name, value if memory is None else copy.deepcopy(value, memory))
        return duplicate

    def _for_nodes(self) -> Variable:
        """Give what nodes hold for this Variable: itself, unless it was written to (see `history`)."""
        return self

    def _current(self) -> Variable:
        """Give this Variable, as what it is since another one on its memory was written to."""
        return self

    # ---- the graph --------------------------------------------------------------------------------------------------

    @property
    def requires_grad(self) -> bool:
        """Whether gradients are recorded; may be set on leaves.

        Setting raises TypeError for dtypes without gradients, RuntimeError for a computed Variable.
        """
        return self._generation >= 0

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        before = self._generation >= 0
        self._require(wanted)
        if (self._generation >= 0) is not before:
            tell_of_leaf()

    def _require(self, wanted: bool) -> None:
        if self.creator is not None:
            if wanted:
                return
            raise RuntimeError("requires_grad can be taken from leaves only: use x.detach() for a computed Variable")
        if wanted and self._array.dtype.char not in "fd":
            raise TypeError(f"requires_grad: dtype {self._array.dtype} has no gradients; convert to float32 or float64")
        if self._story is not None:
            self._story.change_requires_grad(self, wanted)
            return
        self._generation = 0 if wanted else -1

    def requires_grad_(self, requires_grad: bool = True) -> Variable:
        """Set `requires_grad` and give the Variable itself."""
        self.requires_grad = requires_grad
        return self

    @property
    def generation(self) -> int:
        """The length of the longest way from a leaf; 0 for leaves."""
        return max(self._generation, 0) & 0xFFFFFFFF  # above that it tells time: see `history`

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
        self.creator, self._generation = function, function.generation + 1

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
        if not callable(hook):
            raise TypeError(f"register_hook: takes a function of a gradient, got {type(hook).__name__}")
        if self._hooks is None:
            self._hooks = {}
        key = next(hook_keys)
        self._hooks[key] = hook
        watch(self)
        return Handle(self._hooks, key)

    def detach(self) -> Variable:
        """Give a Variable on the same memory that records nothing."""
        y: Variable = object.__new__(Variable)
        y._array, y.creator, y._generation = self._current()._array, None, next(cuts)
        if sharing.active or sharing.stand_ins:
            sharing.note_view(y, self)
        return y


sharing.kinds.append(Variable)

Tensor = Variable

#: What operations take.
Operand: TypeAlias = Variable | Array | np.generic | float
#: What operations give is of the kind that they were given.
Given = TypeVar("Given", Variable, Array)


def data_of(value: Any) -> Any:
    """Return a Variable's array, of a subclass of NumPy's arrays one of NumPy's own, and anything else as it is."""
    return value.data if isinstance(value, Variable) else of_numpys_own(value)


def as_variable(value: Any) -> Variable:
    """Give a Variable as it is, and anything that NumPy takes as a constant."""
    if isinstance(value, Variable):
        return value if type(value) is Variable else value._for_nodes()
    array = as_array(value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{type(value).__name__} of dtype {array.dtype} cannot take part in a computation: {value!r}")
    return Variable(array, requires_grad=False)
