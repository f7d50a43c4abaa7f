"""Optimisers that came before Adam and its like: steps by signs alone, and averages of what steps lead to."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels.scalars import maximum, minimum, where
from .algorithms import Declared, refuse, steep
from .optimizer import Group


class Rprop(Declared):
    """Steps by the sign of the gradient, longer while it stays the same (Riedmiller and Braun, 1993).

    `etas` are the factors of a step's length where the sign changed and where it did not, `step_sizes` the shortest and
    the longest; `lr` is the first. Where the sign changed no step is taken.
    """

    count_of_numbers = 4

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: Any = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        refuse(differentiable)
        super().__init__(params, {"lr": lr, "etas": etas, "step_sizes": step_sizes, "maximize": maximize})

    def check(self, group: Group) -> None:
        super().check(group)
        shorter, longer = map(float, group["etas"])
        if not 0 < shorter < 1 < longer:
            raise ValueError(f"Invalid etas of Rprop: {shorter} and {longer}: one is between 0 and 1, one above 1")

    def flags(self, group: Group) -> tuple[Any, ...]:
        return False, group["maximize"]

    def begin(self, group: Group, name: str) -> float:
        return float(group["lr"]) if name == "step_size" else 0.0

    @classmethod
    def states(cls, flags: tuple[Any, ...]) -> list[str]:
        return ["prev", "step_size"]

    def numbers(self, get: Any, t: Any) -> list[Any]:
        return [get("etas0"), get("etas1"), get("step_sizes0"), get("step_sizes1")]

    @classmethod
    def formula(cls, flags: tuple[Any, ...], p: Any, g: Any, before: Any, size: Any, *numbers: Any) -> Any:
        shorter, longer, shortest, longest = numbers
        g = steep(flags, p, g, 0)
        turned = g * before
        size = size * where(turned > 0, longer, where(turned < 0, shorter, 1))
        size = minimum(maximum(size, shortest), longest)
        g = where(turned < 0, 0, g)
        return p - size * where(g > 0, 1, where(g < 0, -1, g)), g, size


class ASGD(Declared):
    """Steps down the gradient, ever shorter, with an average of where they led (Polyak and Juditsky, 1992).

    The step has the length ``lr / (1 + lambd * lr * t)**alpha``; the average, which begins after `t0` steps, is `ax` in
    the state.
    """

    count_of_numbers = 4
    uniform = ("eta", "mu")

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: Any = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        refuse(differentiable)
        options = {"lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay}
        super().__init__(params, options | {"maximize": maximize})

    def flags(self, group: Group) -> tuple[Any, ...]:
        return group["weight_decay"] != 0, group["maximize"]

    @classmethod
    def states(cls, flags: tuple[Any, ...]) -> list[str]:
        return ["eta", "mu", "ax"]

    def begin(self, group: Group, name: str) -> float:
        return {"eta": float(group["lr"]), "mu": 1.0}.get(name, 0.0)

    def numbers(self, get: Any, t: Any) -> list[Any]:
        lr = get("lr")
        following = lr / (1 + get("lambd") * lr * t) ** get("alpha")
        return [get("weight_decay"), get("lambd"), following, 1 / np.maximum(t - get("t0"), 1)]

    @classmethod
    def formula(cls, flags: tuple[Any, ...], p: Any, g: Any, eta: Any, mu: Any, mean: Any, *numbers: Any) -> Any:
        decay, shrinking, following, share = numbers
        g = steep(flags, p, g, decay)
        p = p * (1 - shrinking * eta) - eta * g
        # what a step takes is what the last one found, by the options that it had
        return p, following + 0 * eta, share + 0 * mu, where(mu == 1, p, mean + mu * (p - mean))
