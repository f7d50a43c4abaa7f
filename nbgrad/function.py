"""Functions: what creates Variables, remembers its inputs, and knows how to go back.

`Function` is the class that users write subclasses of, with `forward` and `backward` on arrays. The library's own
operations are Functions whose rule, `vjp`, is written in nbgrad's functions: these take arrays or Variables alike,
so one rule gives the fast first-order walk on arrays and the recorded one on Variables, to any order.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Collection, Sequence
from importlib import import_module
from typing import Any, ClassVar

import numpy as np

from . import sharing
from .arrays import Array, as_array, as_data, levels, of_examples, one_by_one
from .grad_mode import is_grad_enabled
from .hooks import Watcher
from .kernels import dispatch
from .kernels.dispatch import sum_to_shape
from .kernels.shapes import broadcast_shapes
from .recording import Applied
from .variable import Variable, as_variable, data_of

_new = object.__new__

#: Dtypes that gradients exist for.
DIFFERENTIABLE = (np.dtype(np.float32), np.dtype(np.float64))

#: Arrays of more bytes are kept by the graph only where a rule reads them: to find out costs more than small ones do.
LARGE = 1 << 15


def without_elements(inputs: tuple[Variable, ...], read: Sequence[bool]) -> tuple[Variable, ...]:
    """Give a node's inputs as the graph keeps them: large ones whose elements no rule reads without their elements.

    What takes the place of such an input has its shape, dtype and device, and the same place in the graph. Leaves that
    require a gradient stay, for theirs is written to them. Those that require none have it taken as well: should they
    require one later, it would be computed from what is not there any more.
    """
    return tuple(
        [
            x if x._generation >= 0 and (kept or x.creator is None) else _in_place_of(x, kept)
            for x, reads in zip(inputs, read, strict=True)
            for kept in (reads or x._array.nbytes <= LARGE,)
        ]
    )


def _in_place_of(x: Variable, kept: bool) -> Variable:
    edge = Variable.__new__(Variable)
    edge._array, edge.creator, edge._generation = (
        x._array if kept else dispatch.hollow(x._array),
        x.creator,
        x._generation,
    )
    if edge.creator is not None and edge.creator.multiple:
        edge._index = x._index
    if kept and sharing.active:
        sharing.note(edge)
    return edge


def constant(data: Array) -> Variable:
    """Give a Variable that records nothing, of memory that is nobody else's, without the checks of its constructor."""
    x: Variable = _new(Variable)
    x._array = data
    x.creator = None
    x._generation = -1
    return x


class Function:
    """An operation that was applied: the creator of its outputs.

    Write a subclass with ``forward(self, *arrays)`` and ``backward(self, *gys)``, each giving one array or a tuple,
    and call an instance on Variables. After the call `inputs` holds them, `outputs` its results (weakly: the graph
    owns inputs, never outputs) and `generation` the largest generation among the inputs. The library's own keep, of
    large inputs that their rule does not read, the place in the graph without the elements.

    `backward` works on arrays, so a second derivative cannot be seen through it: where one is asked for, an error
    says so, unless `backward` hands a cotangent through unchanged. Define ``vjp(self, gy, y, *xs)`` in nbgrad's
    functions instead to have gradients of any order.

    >>> import numpy as np, nbgrad
    >>> class Square(nbgrad.Function):
    ...     def forward(self, x):
    ...         return x**2
    ...     def backward(self, gy):
    ...         return 2 * self.inputs[0].data * gy
    >>> x = nbgrad.Variable(np.array(3.0))
    >>> Square()(x).backward()
    >>> x.grad
    Variable(6.)
    """

    __slots__ = ("__weakref__", "_watchers", "generation", "inputs")

    inputs: tuple[Variable, ...] | None
    generation: int
    _watchers: list[Watcher]

    #: Whether there are several outputs; the walk then collects a list of cotangents.
    multiple: ClassVar[bool] = False
    #: Whether the output is a linear function of all inputs together, so that its tangent is what it makes of theirs.
    linear: ClassVar[bool] = False
    #: Whether each cotangent that `pull` gives has its input's shape and dtype already.
    even: ClassVar[bool] = False
    #: Whether the output may share its input's memory.
    aliases: ClassVar[bool] = True
    #: Whether `forward` and the rule are written in operators and NumPy's functions, so that `nbgrad.vmap` may run them
    #: for all examples at once, on what stands in for the array of one; else they run for one after the other.
    batches: ClassVar[bool] = False
    #: The output's array, where the rule uses it.
    output: Any = None

    @classmethod
    def apply(cls, *arguments: Any) -> Any:
        """Call a subclass as PyTorch has it: static ``forward(ctx, ...)`` and ``backward(ctx, *gys)`` on Variables."""
        return import_module(".contexts", __package__).applied(cls, arguments)

    def forward(self, *xs: Array) -> Any:
        """Compute the outputs' arrays from the inputs' arrays."""
        raise NotImplementedError(f"{type(self).__name__}.forward is not defined")

    def backward(self, *gys: Array) -> Any:
        """Compute the inputs' cotangents (an array, or a tuple with None where there is none) from the outputs'."""
        raise NotImplementedError(
            f"{type(self).__name__}.backward is not defined, so no gradient can go through it: define "
            "backward(self, *gys) on arrays, or vjp(self, gy, y, *xs) in nbgrad's functions"
        )

    @property
    def outputs(self) -> tuple[Variable | None, ...]:
        """The results, as far as somebody still holds them; None stands for the others."""
        return tuple(reference() for reference in getattr(self, "_outputs", ()))

    def __call__(self, *inputs: Any) -> Any:
        # The graph gets a copy: an instance that is called again must not change what was recorded.
        node = copy.copy(self) if hasattr(self, "_shapes") else self
        if node is not self and hasattr(node, "_watchers"):
            del node._watchers
        variables = tuple(as_variable(x) for x in inputs)
        if levels and not node.batches and of_examples([x._array for x in variables]):
            return one_by_one.call(node, variables)
        results = node.forward(*(x.data for x in variables))
        several = isinstance(results, tuple | list)
        arrays = [_as_result(node, y) for y in (results if several else (results,))]
        recorded = is_grad_enabled() and any(x.requires_grad for x in variables)
        if recorded or node is self:
            node.inputs = variables
            node.generation = max([0, *[x._generation for x in variables]])
        outputs = []
        for index, array in enumerate(arrays):
            y = Variable(array, requires_grad=False)
            if recorded and array.dtype in DIFFERENTIABLE:
                y.creator, y._generation, y._index = node, node.generation + 1, index
            elif recorded and array.dtype.kind in "fc":
                raise TypeError(
                    f"{type(node).__name__}.forward gave {array.dtype}, which has no gradients, and the inputs' "
                    "would be lost unseen: give float32 or float64, or call it under no_grad()"
                )
            outputs.append(y)
        node.multiple = len(outputs) > 1  # type: ignore[misc]
        if type(node).vjp is not Function.vjp:
            node.output = arrays if len(arrays) > 1 else arrays[0]
        node._shapes = [(array.shape, array.dtype) for array in arrays]  # type: ignore[attr-defined]
        node._outputs = tuple(weakref.ref(y) for y in outputs)  # type: ignore[attr-defined]
        return outputs if len(outputs) > 1 else outputs[0]

    # ---- what the engine calls --------------------------------------------------------------------------------------

    def pull(self, gy: Any) -> tuple[Array | None, ...]:
        """Give the inputs' cotangents as arrays, from the output's array (or list of them)."""
        assert self.inputs is not None
        if type(self).vjp is not Function.vjp:
            gxs = self.vjp(self._complete(gy), self.output, *(x.data for x in self.inputs))
            return self._checked("vjp", [gx.data if isinstance(gx, Variable) else gx for gx in _as_tuple(gxs)])
        return self._checked("backward", self._backward(self._complete(gy)))

    def pull_elsewhere(self, gy: Any) -> tuple[Array | None, ...]:
        """Give what `pull` gives, where arrays may be on another target than the CPU."""
        return self.pull(gy)

    def pull_graph(self, gy: Any) -> tuple[Variable | None, ...]:
        """Give the inputs' cotangents as Variables, recorded, from the output's Variable (or list of them)."""
        assert self.inputs is not None
        name = type(self).__name__
        if type(self).vjp is not Function.vjp:
            complete = self._complete(gy)
            cotangents: Any = [as_variable(g) for g in complete] if self.multiple else complete
            gxs = _as_tuple(self.vjp(cotangents, self.recorded_output(), *self.inputs))
            arrays = [gx.data if isinstance(gx, Variable) else gx for gx in gxs]
            fitting = self._checked("vjp", arrays)
            for position, (gx, fit) in enumerate(zip(gxs, fitting, strict=True)):
                if fit is not None and not isinstance(gx, Variable):
                    raise TypeError(f"{name}.vjp gave an array for input {position} where Variables went in")
            # the dtype is seen to here; the walk then tells any difference of shape by the bytes
            return tuple(
                None if fit is None else gx.astype(x.dtype, copy=False)
                for gx, fit, x in zip(gxs, fitting, self.inputs, strict=True)
            )
        given: list[Variable | None] = list(gy) if self.multiple else [gy]
        data = [None if g is None else g.data for g in given]
        shown = self._complete(data if self.multiple else data[0])
        views = shown if self.multiple else [shown]
        gxs = self._checked("backward", self._backward(shown))
        # a cotangent that was handed through is still the Variable it was
        through = {id(array): g for array, g in zip(views, given, strict=True) if g is not None}
        if len({id(array) for array in views}) < len(views):
            through = {}
        sources = (*self.inputs, *(g for g in given if g is not None))
        return tuple(
            None if gx is None else through[id(gx)] if id(gx) in through else _barrier(self, gx, sources) for gx in gxs
        )

    def _backward(self, gy: Any) -> Any:
        """Run the user's backward on cotangents that it cannot write to, for they are others' as well."""
        gys = gy if self.multiple else [gy]
        if levels and not self.batches and of_examples(gys):
            return one_by_one.rule(self, lambda *row: self._backward(list(row) if self.multiple else row[0]), gys)
        views = []
        for g in gys:
            views.append(dispatch.guarded(g))
        gxs = _as_tuple(self.backward(*views))
        back = {id(view): g for view, g in zip(views, gys, strict=True)}
        return [back.get(id(gx), gx) for gx in gxs]

    def vjp(self, gy: Any, y: Any, *xs: Any) -> Any:
        """Give the inputs' cotangents, written in nbgrad's functions, for arrays and Variables alike."""
        raise NotImplementedError

    def jvp(self, tangents: Sequence[Any], y: Any, *xs: Any) -> Any:
        """Give the output's tangent from the inputs' (None for those without), written in nbgrad's functions.

        What is linear says so by `linear`, and otherwise it follows from `vjp`: to define it only saves time.
        """
        raise NotImplementedError

    def recorded_output(self) -> Any:
        """Give the output, or the outputs, that the rule reads, as what this Function created; None where it is not."""
        if self.output is None:
            return None
        if self.multiple:
            return [self._as_variable_again(*pair) for pair in enumerate(self.output)]
        return self._as_variable_again(0, self.output)

    def _as_variable_again(self, index: int, data: Array) -> Variable:
        """Give a Variable like an output that this Function once created."""
        y = Variable(data, requires_grad=False)
        y.creator, y._generation, y._index = self, self.generation + 1, index
        if sharing.active:
            sharing.note(y)
        return y

    def needs(self, index: int) -> bool:
        """Tell whether the input at `index` has a use for its cotangent."""
        assert self.inputs is not None
        return self.inputs[index]._generation >= 0

    def _complete(self, gy: Any) -> Any:
        """Put zeros where an output of several got no cotangent."""
        if not self.multiple:
            return gy
        shapes = self._shapes  # type: ignore[attr-defined]
        known = next(data_of(g) for g in gy if g is not None)
        return [
            dispatch.zeros(shape, dtype, known) if g is None else g
            for g, (shape, dtype) in zip(gy, shapes, strict=True)
        ]

    def _checked(self, rule: str, gxs: Any) -> tuple[Array | None, ...]:
        """Hold the arrays that a user's rule gave against the inputs, and make them fit where that is clear."""
        assert self.inputs is not None
        name = f"{type(self).__name__}.{rule}"
        if len(gxs) != len(self.inputs):
            raise RuntimeError(
                f"{name} gave {len(gxs)} gradients for {len(self.inputs)} inputs: give one for each input, "
                "None where there is none"
            )
        checked: list[Array | None] = []
        for position, (gx, x) in enumerate(zip(gxs, self.inputs, strict=True)):
            if gx is None or not x.requires_grad:
                checked.append(None)
                continue
            if isinstance(gx, Variable):
                raise TypeError(
                    f"{name} gave a Variable for input {position}: backward works on arrays; for a rule in "
                    "nbgrad's functions define vjp(self, gy, y, *xs) instead"
                )
            gx = as_array(gx)
            if gx.dtype.kind != "f":
                raise TypeError(
                    f"{name} gave a gradient of dtype {gx.dtype} for input {position} of dtype {x.dtype}: "
                    "gradients have a floating dtype"
                )
            if gx.shape != x.shape and not _sums_to(gx.shape, x.shape):
                raise ValueError(
                    f"{name} gave a gradient of shape {gx.shape} for input {position} of shape {x.shape}: "
                    "give the input's shape, or one that the input broadcasts to"
                )
            checked.append(sum_to_shape(gx, x.shape).astype(x.dtype, copy=False))
        return tuple(checked)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


def _as_tuple(values: Any) -> tuple[Any, ...]:
    return tuple(values) if isinstance(values, tuple | list) else (values,)


def _as_result(node: Function, value: Any) -> Array:
    array = as_data(as_array(data_of(value)))
    if array.dtype.kind not in "fiubc":
        raise TypeError(f"{type(node).__name__}.forward gave {type(value).__name__}, not a numeric array")
    return array


def _sums_to(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    try:
        return broadcast_shapes(shape, target) == shape
    except ValueError:
        return False


class Operation(Function):
    """A Function of the library: one output, a rule written in nbgrad's functions, no checks of its own results."""

    __slots__ = ()
    aliases = False
    batches = True

    #: Whether the rule reads the elements of all inputs; where not, `reads` tells of which.
    reads_all: ClassVar[bool] = True
    #: The names of the arguments that `__init__` takes, which are the slots that keep them.
    kept: ClassVar[tuple[str, ...]] = ()
    #: How many inputs there are; 0 means any number.
    arity: ClassVar[int] = 1
    #: Whether the slot `output` has the result, for the rule.
    keeps_output: ClassVar[bool] = False

    #: ``Kind.apply(*inputs, *arguments)`` is ``Kind(*arguments)(*inputs)``, for small arrays by one compiled call.
    apply: ClassVar[Any] = Applied()

    def __init_subclass__(cls) -> None:
        cls.apply = Applied()

    @staticmethod
    def work() -> Any:
        """Give the compiled call for small arrays, with the arguments of `apply`, if there is one."""
        return None

    def reads(self, inputs: tuple[Variable, ...]) -> Collection[int]:
        """Tell the elements of which inputs the rule reads, by their positions."""
        return ()

    def __call__(self, *inputs: Any) -> Any:
        """Apply to arrays, giving an array, or to Variables (at least one), giving a Variable."""
        for x in inputs:
            if type(x) is not Variable:
                if not any(isinstance(x, Variable) for x in inputs):
                    return self.forward(*[x if type(x) is np.ndarray else as_data(as_array(x)) for x in inputs])
                inputs = tuple(as_variable(x) for x in inputs)
                break
        y = Variable.__new__(Variable)
        y._array = self.forward(*[x._array for x in inputs])
        generation = inputs[0]._generation
        for x in inputs:
            if x._generation > generation:
                generation = x._generation
        if generation >= 0 and is_grad_enabled():
            kept = inputs
            if not self.reads_all:
                for x in inputs:
                    if x._array.nbytes > LARGE:
                        read = self.reads(inputs)
                        kept = without_elements(inputs, [i in read for i in range(len(inputs))])
                        break
            self.inputs, self.generation = kept, generation
            y.creator, y._generation = self, generation + 1
        else:
            y.creator, y._generation = None, -1
        if self.aliases:
            if -1 > generation:  # a view of what is cut off is so as well
                y._generation = generation
            if sharing.active or sharing.stand_ins:
                sharing.note_view(y, inputs[0])
        return y

    def pull(self, gy: Any) -> tuple[Array | None, ...]:
        inputs = self.inputs
        assert inputs is not None
        if len(inputs) == 1:
            gxs = self.vjp(gy, self.output, inputs[0]._array)
        else:
            gxs = self.vjp(gy, self.output, *[x._array for x in inputs])
        return gxs if type(gxs) is tuple else (gxs,)

    def pull_graph(self, gy: Any) -> tuple[Variable | None, ...]:
        assert self.inputs is not None
        gxs = self.vjp(gy, self.recorded_output(), *self.inputs)
        return gxs if type(gxs) is tuple else (gxs,)


class _Barrier(Function):
    """Stands behind a gradient that was computed on arrays, and refuses to be differentiated."""

    __slots__ = ("source",)

    source: str

    def pull(self, gy: Any) -> tuple[Array | None, ...]:
        raise RuntimeError(
            f"a second derivative goes through {self.source}.backward, which works on arrays and leaves no record: "
            f"define {self.source}.vjp(self, gy, y, *xs) in nbgrad's functions to have gradients of any order"
        )

    pull_graph = pull  # type: ignore[assignment]


def _barrier(function: Function, gx: Array, sources: tuple[Variable, ...]) -> Variable:
    result = Variable(gx, requires_grad=False)
    node = _Barrier()
    node.source = type(function).__name__
    node.inputs = tuple(x for x in sources if x.requires_grad)
    if node.inputs and is_grad_enabled():
        node.generation = max([x._generation for x in node.inputs])
        result.creator, result._generation = node, node.generation + 1
    return result


def as_plain(variable: Variable) -> Variable:
    """Record a subclass's instance under the class the hot path expects, keeping leaf and creator."""
    held = variable._for_nodes()
    if type(held) is Variable:  # what was written to
        return held
    if variable.requires_grad:
        plain: Variable = _Rename()(variable)
        return plain
    return Variable(variable.data, requires_grad=False)


class _Rename(Function):
    """Hands a subclass's Variable on as a plain one."""

    batches = True

    def forward(self, *xs: Array) -> Array:
        return xs[0]

    def jvp(self, tangents: Sequence[Any], y: Any, *xs: Any) -> Any:
        return tangents[0]

    def vjp(self, gy: Any, y: Any, *xs: Any) -> Any:
        return gy
