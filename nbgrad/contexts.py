"""Functions as PyTorch has them: static `forward` and `backward` on Variables, with a context that both see.

Of each such class a Function is made whose rule is its `backward`, so that everything that goes through a rule in
nbgrad's functions goes through it: gradients of gradients, tangents, vmap and jit.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from .arrays import Array
from .function import Function, _barrier
from .grad_mode import no_grad
from .kernels import dispatch
from .variable import Variable, as_variable


class Context:
    """What `forward` leaves for `backward`: tensors that are kept for it, and whatever else is assigned."""

    def __init__(self, needs_input_grad: tuple[bool, ...]) -> None:
        #: Whether each argument requires a gradient.
        self.needs_input_grad = needs_input_grad
        self._saved: list[tuple[str, Any]] | None = []
        self._given: tuple[Any, ...] = ()
        self._constant: tuple[Any, ...] = ()
        self._found: Callable[[str, Any], Any] | None = None

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep inputs, outputs, and what else was computed, for `saved_tensors`; None may be among them."""
        self._given = tensors

    save_for_forward = save_for_backward

    def mark_non_differentiable(self, *outputs: Any) -> None:
        """Have no gradients go through some outputs."""
        self._constant = outputs

    def set_materialize_grads(self, value: bool) -> None:
        """Do nothing: where an output has no gradient, `backward` gets zeros."""

    def mark_dirty(self, *inputs: Any) -> None:
        """Refuse what changes its inputs. Raises NotImplementedError."""
        raise NotImplementedError(
            "mark_dirty: a Function gives what is new, and changes no input: compute on x.clone(), and write "
            "x.copy_(y) where it was called"
        )

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What `save_for_backward` kept, recorded where a gradient of the gradient is asked for."""
        if self._found is None:
            raise RuntimeError("saved_tensors: is read in backward, where there are any")
        return tuple(self._found(*entry) for entry in self._saved or ())

    def _sort(self, inputs: Sequence[Variable], outputs: Sequence[Any]) -> None:
        """Note of what is kept which input or output it is: the node has these, as they were then."""
        places = {id(y): ("output", k) for k, y in enumerate(outputs)} | {
            id(x): ("input", k) for k, x in enumerate(inputs)
        }
        self._saved = [places.get(id(x), ("other", x)) for x in self._given]
        self._given = ()


class _Contextual(Function):
    """A call of a class with static methods; the classes that are made of this one have its name."""

    batches = True
    kind: Any

    def __init__(self, arguments: tuple[Any, ...], context: Context) -> None:
        self.arguments, self.context = arguments, context
        self.positions = [k for k, x in enumerate(arguments) if isinstance(x, Variable)]

    def forward(self, *xs: Array) -> Any:
        arguments = list(self.arguments)
        shown = [Variable(dispatch.guarded(x), requires_grad=False) for x in xs]
        for position, x in zip(self.positions, shown, strict=True):
            arguments[position] = x
        self.arguments = (None,) * len(arguments)  # the node has the inputs, and nothing else is needed
        with no_grad():
            if (prepare := getattr(self.kind, "setup_context", None)) is None:
                result = self.kind.forward(self.context, *arguments)
            else:
                result = self.kind.forward(*arguments)
                prepare(self.context, tuple(arguments), result)
        self.single = not isinstance(result, tuple | list)
        results = [result] if self.single else list(result)
        for y in results:
            if not isinstance(y, Variable):
                raise TypeError(f"{type(self).__name__}.forward gave a {type(y).__name__}: it gives Variables")
        self.context._sort(shown, results)
        self.constant = [k for k, y in enumerate(results) if any(y is x for x in self.context._constant)]
        self.context._constant = ()
        # an input that is given back as it is may not be written to through the guard
        back = {id(x): given for x, given in zip(shown, xs, strict=True)}
        return tuple(back.get(id(y), y.data) for y in results)

    def vjp(self, gy: Any, y: Any, *xs: Any) -> Any:
        recorded = all(isinstance(x, Variable) for x in xs)
        gys = list(gy) if self.multiple else [gy]
        ys = list(y) if self.multiple else [y]
        once = getattr(self.kind.backward, "once_differentiable", False)
        plain = once or not recorded

        def found(what: str, x: Any) -> Any:
            if what == "other":
                return x
            held = xs[x] if what == "input" else ys[x]
            return _cut(held) if plain else as_variable(held)

        self.context._found = found
        try:
            if plain:
                with no_grad():
                    gxs = self.kind.backward(self.context, *map(_cut, gys))
            else:
                gxs = self.kind.backward(self.context, *gys)
        finally:
            self.context._found = None
        chosen = self._of_inputs(gxs)
        if not recorded:
            return tuple(None if gx is None else gx.data for gx in chosen)
        if once:
            sources = (*xs, *(g for g in gys if isinstance(g, Variable)))
            return tuple(None if gx is None else _barrier(self, gx.data, sources) for gx in chosen)
        return tuple(chosen)

    def _of_inputs(self, gxs: Any) -> list[Any]:
        """Choose of what backward gave, one for each argument, what belongs to the Variables among them."""
        given = list(gxs) if isinstance(gxs, tuple | list) else [gxs]
        count = len(self.arguments)
        if len(given) < count or any(g is not None for g in given[count:]):
            raise RuntimeError(
                f"{type(self).__name__}.backward gave {len(given)} gradients for {count} arguments: give one for each "
                "argument of forward, None where there is none"
            )
        for k, g in enumerate(given):
            if g is not None and k not in self.positions:
                raise RuntimeError(f"{type(self).__name__}.backward gave a gradient for argument {k}, no Variable")
        return [None if given[k] is None else as_variable(given[k]) for k in self.positions]

    def _checked(self, rule: str, gxs: Any) -> tuple[Array | None, ...]:
        return super()._checked("backward", gxs)


def _cut(x: Any) -> Variable:
    return Variable(x.data if isinstance(x, Variable) else x, requires_grad=False)


def _class_of(kind: Any) -> Any:
    """Give the class of a kind's nodes, which lives as long as that does."""
    if "_nodes" not in vars(kind):
        kind._nodes = type(kind.__name__, (_Contextual,), {"kind": kind})
    return kind._nodes


def applied(kind: Any, arguments: tuple[Any, ...]) -> Any:
    """Call a class with static `forward` and `backward`."""
    if not isinstance(inspect.getattr_static(kind, "forward"), staticmethod):
        raise TypeError(
            f"{kind.__name__}.apply is for static forward(ctx, ...): call an instance, {kind.__name__}()(x)"
        )
    inputs = [x for x in arguments if isinstance(x, Variable)]
    context = Context(tuple(isinstance(x, Variable) and x.requires_grad for x in arguments))
    node = _class_of(kind)(arguments, context)
    outputs = node(*inputs)
    results = list(outputs) if isinstance(outputs, list | tuple) else [outputs]
    for k in node.constant:
        results[k].creator, results[k]._generation = None, -1
    return results[0] if node.single else tuple(results)


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a static `backward` whose results nobody may differentiate: asked to, the walk raises RuntimeError."""

    @functools.wraps(backward)
    def marked(*arguments: Any) -> Any:
        return backward(*arguments)

    marked.once_differentiable = True  # type: ignore[attr-defined]
    return marked
