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


def backward(
    tensors: Variable | Sequence[Variable],
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Variable | Sequence[Variable] | None = None,
) -> None:
    """Add the sum of the gradients of `tensors` to `grad` of the leaves they were computed from, all or none.

    `grad_tensors` are the cotangents of the tensors (1 for those of one element). Raises RuntimeError where one is
    missing, ValueError for one of another shape or another number of them, and whatever `Variable.backward` raises.
    """
    ys = [tensors] if isinstance(tensors, Variable) else list(tensors)
    given = grad_variables if grad_tensors is None else grad_tensors
    if given is None or isinstance(given, Variable) or is_array(given):
        given = [given] * (1 if given is not None else len(ys))
    starts = list(given)
    if not ys or len(starts) != len(ys):
        raise ValueError(f"backward: {len(ys)} tensors and {len(starts)} grad_tensors: give one for each")
    if len(ys) == 1:
        ys[0].backward(starts[0], retain_graph, create_graph, inputs)
        return
    parts = []
    for position, (y, start) in enumerate(zip(ys, starts, strict=True)):
        if start is None:
            if y.size != 1:
                raise RuntimeError(f"backward: tensor {position} of shape {y.shape} needs one of grad_tensors")
            parts.append(y.reshape(()))
        elif tuple(start.shape) != y.shape:
            raise ValueError(f"backward: grad_tensors[{position}] has shape {tuple(start.shape)}, its tensor {y.shape}")
        else:
            parts.append((y * start).sum())
    sum(parts[1:], parts[0]).backward(None, retain_graph, create_graph, inputs)
