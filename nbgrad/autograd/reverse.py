"""`nbgrad.autograd.grad`: gradients given back instead of added to `.grad`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..arrays import is_array
from ..engine import gradients
from ..kernels import dispatch
from ..variable import Variable

_SINGLE = (Variable, int, float)


def grad(
    outputs: Variable | Sequence[Variable],
    inputs: Variable | Sequence[Variable],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Variable | None, ...]:
    """Give the sum of the gradients of `outputs` by each of `inputs`, with PyTorch's signature.

    `grad_outputs` are the cotangents of the outputs (1 for outputs of one element). An input that no output depends
    on gives None with `allow_unused`, zeros with `materialize_grads`.

    Raises RuntimeError for unused inputs otherwise, and whatever `Variable.backward` raises.

    >>> import nbgrad
    >>> x = nbgrad.tensor(3.0, requires_grad=True)
    >>> nbgrad.autograd.grad(x * x, x)
    (Variable(6.),)
    """
    if not only_inputs:
        raise ValueError("grad: only_inputs=False is not supported: call backward to fill .grad of all leaves")
    if is_grads_batched:
        raise ValueError("grad: is_grads_batched is not supported: call grad for each cotangent with retain_graph=True")
    if materialize_grads and allow_unused is False:
        raise ValueError("grad: materialize_grads gives zeros for unused inputs, which allow_unused=False forbids")
    ys = [outputs] if isinstance(outputs, Variable) else list(outputs)
    xs = [inputs] if isinstance(inputs, Variable) else list(inputs)
    if grad_outputs is None:
        starts: list[Any] = [None] * len(ys)
    else:
        single = type(grad_outputs) is Variable or isinstance(grad_outputs, _SINGLE) or is_array(grad_outputs)
        starts = [grad_outputs] if single else list(grad_outputs)
    if len(starts) != len(ys):
        raise ValueError(f"grad: {len(ys)} outputs and {len(starts)} grad_outputs: give one for each")
    results = gradients(ys, xs, starts, retain_graph, create_graph)
    for position, (x, gx) in enumerate(zip(xs, results, strict=True)):
        if gx is not None:
            continue
        if materialize_grads:
            results[position] = Variable(dispatch.zeros(x.shape, x.dtype, x.data), requires_grad=False)
        elif not allow_unused:
            raise RuntimeError(
                f"grad: input {position} of shape {x.shape} was not used to compute the outputs: "
                "pass allow_unused=True to get None for it"
            )
    return tuple(results)
