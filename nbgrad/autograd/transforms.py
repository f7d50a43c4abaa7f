"""Functions into functions: JAX's and HIPS autograd's `grad` and `value_and_grad`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from operator import index
from typing import Any

import numpy as np

from ..arrays import Array, as_array, as_data, is_array
from ..engine import gradients
from ..function import DIFFERENTIABLE, Operation
from ..grad_mode import differentiating, enable_grad
from ..kernels import dispatch
from ..nests import flatten, unflatten
from ..variable import Variable, data_of, get_default_dtype


def value_and_grad(
    function: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    *,
    argnum: int | Sequence[int] | None = None,
) -> Callable[..., Any]:
    """Turn a function with a scalar value into one that gives (value, gradient).

    `argnums` names the positional arguments to differentiate by; a sequence gives a tuple of gradients. HIPS autograd's
    name for it, `argnum`, is taken as well. Arrays and numbers in, arrays out; where an argument is a Variable,
    Variables come out, differentiable in turn by what requires a gradient, among the arguments or outside. The gradient
    by a list, tuple or dict of arrays, nested or not, is such a nest itself; None in it stays None. A value that is a
    number, or an array of one element, does not depend on anything, and its gradient is zero. With `has_aux` the
    function gives (value, anything), and so it is ((value, anything), gradient) that comes out, with arrays for
    Variables if arrays went in.

    Raises TypeError for arguments without gradients and for a value that is not one element. Inside, a Variable that
    depends on the arguments does not become a number, which would lose the gradient unseen: RuntimeError says so.

    >>> import numpy as np, nbgrad
    >>> f = nbgrad.value_and_grad(lambda x: (x * x).sum())
    >>> value, gradient = f(np.array([1.0, 2.0]))
    >>> print(value, gradient)
    5.0 [2. 4.]
    >>> nbgrad.grad(lambda p: (p["w"] ** 2 + p["b"]).sum())({"w": np.array([3.0]), "b": np.array([0.0])})
    {'w': array([6.]), 'b': array([1.])}
    """
    if not callable(function):
        raise TypeError(f"grad: differentiates a function, got {type(function).__name__}")
    wanted, single = _numbers_of_arguments(argnums, argnum)

    @functools.wraps(function)
    def wrapper(*arguments: Any, **options: Any) -> Any:
        positions = _positions("grad", function, arguments, wanted)
        # Inside another transformed function the result may depend on that one's arguments, by whatever way.
        given: list[Any] = []
        nests = [flatten(arguments[position], given) for position in positions]
        inside = differentiating.get()
        replacements = [None if x is None else _leaf(function, wanted, x) for x in given]
        inputs = [x for x in replacements if x is not None]
        replaced, leaves = list(arguments), iter(replacements)
        for position, nest in zip(positions, nests, strict=True):
            replaced[position] = unflatten(nest, leaves)
        token = differentiating.set(True)
        try:
            with enable_grad():
                found = function(*replaced, **options)
                aux: Any = None
                if has_aux:
                    found, aux = with_aux("grad", function, found)
                value = _value(function, found)
        finally:
            differentiating.reset(token)
        variables = inside or any(isinstance(x, Variable) for x in given)
        recorded = inside or (variables and leads_outside((value, *variables_in(aux)), inputs))
        results: list[Variable | None] = [None] * len(inputs)
        if value.requires_grad:
            results = gradients([value], inputs, [None], None, create_graph=recorded)
        gradients_found = [
            gx if gx is not None else Variable(dispatch.zeros(x.shape, x.dtype, x.data), requires_grad=False)
            for gx, x in zip(results, inputs, strict=True)
        ]
        rest = iter(gradients_found if variables else [gx.data for gx in gradients_found])
        gradient_leaves = iter([None if x is None else next(rest) for x in given])
        by_argument = tuple(unflatten(nest, gradient_leaves) for nest in nests)
        made: Any = value if recorded else Variable(value.data, requires_grad=False) if variables else value.data
        if has_aux:
            made = made, (aux if recorded else without_graph(aux) if variables else without_variables(aux))
        return made, (by_argument[0] if single else by_argument)

    whole = getattr(function, "gradient_of", None)  # of what nbgrad.njit compiled
    return wrapper if whole is None else whole(wanted, single, wrapper)


def grad(
    function: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    *,
    argnum: int | Sequence[int] | None = None,
) -> Callable[..., Any]:
    """Turn a function with a scalar value into one that gives its gradient; see `value_and_grad`.

    With `has_aux` the function gives (value, anything), and (gradient, anything) comes out.

    >>> import numpy as np, nbgrad
    >>> print(f"{nbgrad.grad(nbgrad.grad(nbgrad.sin))(0.5):.6f} {-np.sin(0.5):.6f}")
    -0.479426 -0.479426
    """
    both = value_and_grad(function, argnums, has_aux, argnum=argnum)

    @functools.wraps(function)
    def wrapper(*arguments: Any, **options: Any) -> Any:
        value, gradient = both(*arguments, **options)
        return (gradient, value[1]) if has_aux else gradient

    return wrapper


def grad_and_value(
    func: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """Turn a function with a scalar value into one that gives (gradient, value), as torch.func has it.

    With `has_aux` the function gives (value, anything), and (gradient, (value, anything)) comes out. Otherwise as
    `value_and_grad`, whose result is the other way round.

    >>> import numpy as np, nbgrad
    >>> gradient, value = nbgrad.func.grad_and_value(lambda x: (x * x).sum())(np.array([1.0, 2.0]))
    >>> print(gradient, value)
    [2. 4.] 5.0
    """
    both = value_and_grad(func, argnums, has_aux)

    @functools.wraps(func)
    def wrapper(*arguments: Any, **options: Any) -> Any:
        value, gradient = both(*arguments, **options)
        return gradient, value

    return wrapper


def with_aux(what: str, function: Callable[..., Any], given: Any) -> tuple[Any, Any]:
    """Take apart what a function gives together with what is not to be differentiated."""
    if not isinstance(given, tuple) or len(given) != 2:
        got = type(given).__name__
        raise TypeError(f"{what}: {_name(function)} gave {got}: with has_aux it gives (value, anything)")
    return given


def without_variables(nest: Any) -> Any:
    """Give a nest with arrays in the place of Variables."""
    leaves: list[Any] = []
    structure = flatten(nest, leaves)
    return unflatten(structure, iter([data_of(leaf) for leaf in leaves]))


def without_graph(nest: Any) -> Any:
    """Give a nest with constants in the place of Variables."""
    leaves: list[Any] = []
    structure = flatten(nest, leaves)
    return unflatten(structure, iter([leaf.detach() if isinstance(leaf, Variable) else leaf for leaf in leaves]))


def variables_in(nest: Any) -> list[Variable]:
    """List the Variables in a nest."""
    leaves: list[Any] = []
    flatten(nest, leaves)
    return [leaf for leaf in leaves if isinstance(leaf, Variable)]


def leads_outside(outputs: Iterable[Variable], inputs: Sequence[Variable]) -> bool:
    """Tell whether what a function gave depends on a Variable that requires a gradient and is none of its inputs.

    Where none does, nobody can ask for the gradient of a derivative: what it would go back to is the function's own.
    """
    if any([x.creator is not None for x in inputs]):  # what stands for an argument that required one
        return True
    own, seen = {id(x) for x in inputs}, set()
    pending = [y for y in outputs if y._generation >= 0]
    while pending:
        x = pending.pop()
        function = x.creator
        if function is None:
            if id(x) not in own:
                return True
        elif id(function) not in seen:
            seen.add(id(function))
            if function.inputs is None:  # freed by a walk inside
                return True
            pending += [x for x in function.inputs if x._generation >= 0]
    return False


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", repr(function))


def _numbers_of_arguments(argnums: Any, argnum: Any) -> tuple[tuple[int, ...], bool]:
    """Give the arguments to differentiate by, and whether it is one that was not given as a sequence."""
    if argnum is not None:
        if not (isinstance(argnums, int) and argnums == 0):
            raise TypeError("grad: give argnums or argnum, not both")
        argnums = argnum
    single = not isinstance(argnums, Sequence) or isinstance(argnums, str)
    try:
        return ((index(argnums),) if single else tuple(map(index, argnums))), single
    except TypeError:
        raise TypeError(f"grad: argnums is a whole number or a sequence of them, got {argnums!r}") from None


def _value(function: Callable[..., Any], given: Any) -> Variable:
    """Give the value of a function as a Variable of one element; a number is one, with nothing behind it."""
    if isinstance(given, int | float | np.generic) or is_array(given):
        array = as_array(given)
        if isinstance(given, int | float) and not isinstance(given, np.generic | bool):
            array = array.astype(get_default_dtype())
        value = Variable(array, requires_grad=False)
    else:
        value = given
    if not isinstance(value, Variable) or value._array.size != 1 or value.dtype.kind not in "fiub":
        got = f"dtype {value.dtype}, shape {value.shape}" if isinstance(value, Variable) else type(value).__name__
        raise TypeError(f"grad: {_name(function)} gave {got}: its value must be a number, of one element")
    return value


class _Argument(Operation):
    """Stands for an argument inside a transformed function, so that a use of it elsewhere is told apart.

    It holds on to its input: several walks, of the value and of the gradients, may come by, and there is nothing to
    free.
    """

    __slots__ = ("link",)
    reads_all = False

    @property
    def inputs(self) -> tuple[Variable, ...]:
        return self.link

    @inputs.setter
    def inputs(self, inputs: tuple[Variable, ...] | None) -> None:
        if inputs is not None:
            self.link = inputs

    def forward(self, *xs: Array) -> Array:
        return xs[0]

    def jvp(self, tangents: Sequence[Any], y: Any, *xs: Any) -> Any:
        return tangents[0]

    def vjp(self, gy: Any, y: Any, *xs: Any) -> Any:
        return gy


def _positions(what: str, function: Callable[..., Any], arguments: Any, wanted: Sequence[int]) -> list[int]:
    """Give the places of arguments, each of which is there once."""
    for number in wanted:
        if not -len(arguments) <= number < len(arguments):
            raise TypeError(f"{what}: {_name(function)} was called without a positional argument {number}")
    positions = [number % len(arguments) for number in wanted]
    if len(set(positions)) != len(positions):
        raise ValueError(f"{what}: argnums {tuple(wanted)} names an argument of {_name(function)} twice")
    return positions


def _leaf(function: Callable[..., Any], wanted: Sequence[int], x: Any) -> Variable:
    """Give a Variable to differentiate by, distinct from all others but linked to the past of x if it has one."""
    if isinstance(x, Variable):
        if x.requires_grad:
            with enable_grad():
                linked: Variable = _Argument()(x)
                return linked
        x = x.data
    array: Array = as_data(as_array(x))
    if (isinstance(x, int | float) and not isinstance(x, bool)) or getattr(x, "weak", None):  # or stands for one
        array = array.astype(get_default_dtype())
    if array.dtype not in DIFFERENTIABLE:
        raise TypeError(
            f"grad: argument {', '.join(map(str, wanted))} of {_name(function)} holds {type(x).__name__} of dtype "
            f"{array.dtype}, which has no gradients: convert it to float32 or float64"
        )
    return Variable(array)
