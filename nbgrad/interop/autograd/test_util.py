"""Gradients against differences, by HIPS autograd's name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ...autograd.gradcheck import gradcheck
from ...variable import Variable
from .misc.flatten import flatten


def check_grads(f: Callable[..., Any], modes: Sequence[str] = ("fwd", "rev"), order: int = 2) -> Callable[..., None]:
    """Give a function that holds gradients of f at its arguments against differences; raises where they differ.

    Tangents follow from gradients, so that both `modes` are one.
    """

    def check(*arguments: Any, **options: Any) -> None:
        vector, unflatten = flatten(list(arguments))

        def of_vector(x: Any) -> Any:
            return flatten(f(*unflatten(x), **options))[0]

        gradcheck(of_vector, (Variable(vector),), order=order)

    return check
