"""Segments whose intermediate results are computed again on the way back, in the place of being kept."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from typing import Any

from ..arrays import is_stand_in
from ..engine import gradients
from ..function import Function, constant
from ..generator import default_generator, traced_draw
from ..grad_mode import enable_grad, is_grad_enabled
from ..history import as_recorded
from ..kernels import dispatch
from ..nests import flatten, unflatten
from ..variable import Variable

Contexts = Callable[[], tuple[AbstractContextManager[Any], AbstractContextManager[Any]]]


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Contexts | None = None,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """Call a function so that its intermediate results are not kept for the way back, but computed again there.

    Arguments and results are Variables of any shape, nests of them, and whatever else. Gradients, of any order, and
    parameters that `function` uses of a module are as without; what is kept are the arguments and results, and memory
    for what lies between is needed by one segment at a time. Random numbers are drawn again as they were unless
    `preserve_rng_state` is False. `context_fn` gives two context managers, for the way forth and for the way back.
    Compiled functions, whose compiler decides what is kept, and `no_grad` just have the call. PyTorch's
    `use_reentrant`, `debug` and `early_stop` are taken and change nothing.

    Raises TypeError for what cannot be called; RuntimeError if the function uses a Variable that was computed outside
    of it and is not among its arguments, or keeps one that it computed; and on the way back if its results have other
    shapes or dtypes than they had (not with ``determinism_check="none"``), or arguments or parameters were overwritten.

    >>> import nbgrad
    >>> from nbgrad.utils.checkpoint import checkpoint
    >>> x = nbgrad.tensor([1.0, 2.0], requires_grad=True)
    >>> checkpoint(lambda x: (x.exp() * x).sin(), x).sum().backward()
    >>> y = (x.detach().exp() * x.detach()).cos() * x.detach().exp() * (1 + x.detach())
    >>> bool(nbgrad.allclose(x.grad, y))
    True
    """
    if not callable(function):
        raise TypeError(f"checkpoint: takes a function and its arguments, got {type(function).__name__}")
    if determinism_check not in ("default", "none"):
        raise ValueError(f"checkpoint: determinism_check is 'default' or 'none', got {determinism_check!r}")
    given: list[Any] = []
    structure = flatten([list(args), kwargs], given)
    traced = traced_draw.get() is not None or any(isinstance(x, Variable) and is_stand_in(x._array) for x in given)
    if traced or not is_grad_enabled():
        return function(*args, **kwargs)
    state = default_generator.get_state() if preserve_rng_state else None
    contexts = (nullcontext(), nullcontext()) if context_fn is None else context_fn()
    segment = _Segment(function, structure, given, state, contexts[1], determinism_check == "default")
    with contexts[0]:
        return segment.recorded()


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """Apply modules one after the other, in so many segments, of which all but the last are a `checkpoint` each.

    `functions` is a `Sequential` or a list of functions of one argument, and `kwargs` are those of `checkpoint`.
    Raises ValueError unless there is one function or more for each segment.

    >>> import nbgrad
    >>> from nbgrad.utils.checkpoint import checkpoint_sequential
    >>> checkpoint_sequential([nbgrad.exp, nbgrad.sin, nbgrad.cos], 2, nbgrad.zeros(2)).shape
    (2,)
    """
    layers = list(functions.children()) if hasattr(functions, "children") else list(functions)
    if not 1 <= segments <= len(layers):
        raise ValueError(f"checkpoint_sequential: {segments} segments of {len(layers)} functions: give 1 to as many")

    def through(part: list[Any]) -> Callable[[Any], Any]:
        def run(x: Any) -> Any:
            for layer in part:
                x = layer(x)
            return x

        return run

    size = len(layers) // segments
    for begin in range(0, size * (segments - 1), size):
        input = checkpoint(through(layers[begin : begin + size]), input, use_reentrant=use_reentrant, **kwargs)
    return through(layers[size * (segments - 1) :])(input)


class _Segment:
    """A call that can be made again, of other arrays in the place of the arguments that have gradients."""

    def __init__(
        self,
        function: Callable[..., Any],
        structure: Any,
        given: list[Any],
        state: Variable | None,
        context: AbstractContextManager[Any],
        checked: bool,
    ) -> None:
        self.function, self.structure, self.state, self.context = function, structure, state, context
        self.places = [k for k, x in enumerate(given) if isinstance(x, Variable) and x._generation >= 0]
        self.inputs: list[Variable] = [given[k] for k in self.places]
        self.given = [None if k in self.places else x for k, x in enumerate(given)]
        #: Of the results, as leaves of a nest: which have gradients, and their shapes and dtypes, if these are checked.
        self.outputs: list[int] = []
        self.checked = checked
        self.shapes: list[Any] = []

    def call(self, inputs: Sequence[Variable]) -> tuple[Any, list[Any]]:
        """Call the function; gives the structure of its results, and these."""
        leaves = list(self.given)
        for place, x in zip(self.places, inputs, strict=True):
            leaves[place] = x
        args, kwargs = unflatten(self.structure, iter(leaves))
        found: list[Any] = []
        return flatten(self.function(*args, **kwargs), found), found

    def recorded(self) -> Any:
        """Call the function, and record one node in the place of all that it did."""
        inner = _leaves([x._array for x in self.inputs])
        structure, results = self.call(inner)
        ys = [y for y in results if isinstance(y, Variable) and y._generation >= 0]
        self.outputs = [k for k, y in enumerate(results) if isinstance(y, Variable) and y._generation >= 0]
        self.shapes = [(y.shape, y.dtype) for y in ys]
        parameters, nodes = _reached(ys, inner)
        arrays = [y._array for y in ys]
        results = [None if k in self.outputs else y for k, y in enumerate(results)]
        del ys  # the last that holds what was recorded, and so all of it that nobody else has
        if any([node() is not None for node in nodes]):
            raise RuntimeError(
                "checkpoint: the function uses a Variable that was computed outside of it, or keeps one that it "
                "computed: give the former as an argument, or its array (detach), and have the latter as a result"
            )
        inputs, self.inputs = self.inputs, []
        if arrays:
            made = _Recomputed(self, arrays, len(inputs))(*inputs, *parameters)
            for place, y in zip(self.outputs, made if len(arrays) > 1 else [made], strict=True):
                results[place] = y
        return unflatten(structure, iter(results))

    def gradients(
        self, inputs: list[Variable], parameters: Sequence[Variable], cotangents: Sequence[Any], create_graph: bool
    ) -> list[Variable | None]:
        """Compute anew, and give the gradients by the inputs and the parameters."""
        with ExitStack() as stack:
            stack.enter_context(enable_grad())
            stack.enter_context(self.context)
            if self.state is not None:
                stack.callback(default_generator.set_state, default_generator.get_state())
                default_generator.set_state(self.state)
            _, results = self.call(inputs)
        ys = [results[k] for k in self.outputs if k < len(results) and isinstance(results[k], Variable)]
        shapes = [(y.shape, y.dtype) for y in ys]
        if len(ys) != len(self.shapes) or (self.checked and shapes != self.shapes):
            raise RuntimeError(
                f"checkpoint: computed again, the function gave results of shapes and dtypes {shapes}, the first time "
                f"{self.shapes}: it has to do the same each time"
            )
        recorded = [k for k, y in enumerate(ys) if y._generation >= 0]
        outputs, starts = [ys[k] for k in recorded], [cotangents[k] for k in recorded]
        return gradients(outputs, [*inputs, *parameters], starts, None, create_graph)


def _leaves(arrays: Sequence[Any]) -> list[Variable]:
    return [Variable(array, requires_grad=True) for array in arrays]


def _reached(outputs: list[Variable], inner: list[Variable]) -> tuple[list[Variable], list[weakref.ref[Function]]]:
    """Walk back from outputs; gives the leaves that are none of our own, in order, and the nodes, not to be held."""
    own = set(map(id, inner))
    leaves: dict[int, Variable] = {}
    nodes: dict[int, weakref.ref[Function]] = {}
    stack = list(outputs)
    while stack:
        x = stack.pop()
        if x._generation < 0:
            continue
        node = x.creator
        if node is None:
            if id(x) not in own:
                leaves.setdefault(id(x), x)
        elif id(node) not in nodes:
            nodes[id(node)] = weakref.ref(node)
            stack.extend(as_recorded(node))
    return list(leaves.values()), list(nodes.values())


class _Recomputed(Function):
    """A segment, of its arguments that have gradients and the parameters that were found in it."""

    def __init__(self, segment: _Segment, arrays: list[Any], count: int) -> None:
        self.segment, self.count = segment, count
        self.arrays: Any = arrays

    def forward(self, *xs: Any) -> Any:
        arrays, self.arrays = self.arrays, None
        return tuple(arrays)

    def vjp(self, gy: Any, y: Any, *xs: Any) -> Any:
        assert self.inputs is not None
        segment, count = self.segment, self.count
        gys = list(gy) if self.multiple else [gy]
        parameters = self.inputs[count:]
        if not isinstance(gys[0], Variable):
            own = _leaves(xs[:count])
            found = segment.gradients(own, parameters, [constant(g) for g in gys], False)
            return tuple([None if gx is None else gx._array for gx in found])

        # The gradients are a function of the same kind, of the arguments and the cotangents: where it is differentiated
        # in turn, it is computed again, and no way leads from its arguments back to what they were computed from.
        def back(*arguments: Variable) -> list[Any]:
            found = segment.gradients(list(arguments[:count]), parameters, arguments[count:], True)
            wanted = [*arguments[:count], *parameters]
            return [
                constant(dispatch.zeros(x.shape, x.dtype, x._array)) if gx is None else gx
                for gx, x in zip(found, wanted, strict=True)
            ]

        return tuple(checkpoint(back, *xs[:count], *gys, preserve_rng_state=False))
