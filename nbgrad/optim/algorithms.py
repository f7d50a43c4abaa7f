"""Optimisers: each a formula of a parameter p, its gradient g, what is kept for it, and numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kernels.scalars import abs as absolute
from ..kernels.scalars import maximum, sqrt
from .optimizer import Group, Optimizer
from .pure import Pure, pure


class Declared(Optimizer):
    """What the optimisers here share: options by name, and signs and decays of gradients."""

    @classmethod
    def pure(cls, **options: Any) -> Pure:
        """Give the optimiser as two functions of nests, for `nbgrad.jit`: ``init(params)`` and
        ``update(grads, state, params)``, which gives new parameters and a new state.
        """
        return pure(cls, options)


def refuse(differentiable: bool) -> None:
    """Raise NotImplementedError for steps that gradients should go through."""
    if differentiable:
        raise NotImplementedError(
            "differentiable: a step writes over its parameters; gradients go through the functions that `pure` gives"
        )


def steep(flags: Any, p: Any, g: Any, decay: Any) -> Any:
    """Give the gradient to follow: upwards if asked to, with the decay of weights."""
    decays, maximise = flags[:2]
    g = -g if maximise else g
    return g + decay * p if decays else g


class SGD(Declared):
    """Steps down the gradient, with momentum (Nesterov's if asked for) and decay of weights."""

    count_of_numbers = 4

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: Any = None,
        differentiable: bool = False,
        fused: Any = None,
    ) -> None:
        refuse(differentiable)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        options = {"lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay}
        super().__init__(params, options | {"nesterov": nesterov, "maximize": maximize})

    def flags(self, group: Group) -> tuple[Any, ...]:
        return group["weight_decay"] != 0, group["maximize"], group["momentum"] != 0, group["nesterov"]

    @classmethod
    def states(cls, flags: tuple[Any, ...]) -> list[str]:
        return ["momentum_buffer"] if flags[2] else []

    def numbers(self, get: Any, t: Any) -> list[Any]:
        damped = np.where(t > 1, 1 - get("dampening"), 1.0)
        return [get("lr"), get("weight_decay"), get("momentum"), damped]

    @classmethod
    def formula(cls, flags: tuple[Any, ...], p: Any, g: Any, *rest: Any) -> Any:
        *states, lr, decay, momentum, damped = rest
        g = steep(flags, p, g, decay)
        if not states:
            return [p - lr * g]
        m = momentum * states[0] + damped * g
        return p - lr * (g + momentum * m if flags[3] else m), m


class Adam(Declared):
    """Steps by running means of gradients over the roots of those of their squares (Kingma and Ba, 2015)."""

    count_of_numbers = 8
    decoupled = False

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: Any = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: Any = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        refuse(differentiable)
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad}
        decoupled = self.decoupled or decoupled_weight_decay
        super().__init__(params, options | {"maximize": maximize, "decoupled_weight_decay": decoupled})

    def flags(self, group: Group) -> tuple[Any, ...]:
        decays, decoupled = group["weight_decay"] != 0, group["decoupled_weight_decay"]
        return decays and not decoupled, group["maximize"], decays and decoupled, group["amsgrad"]

    @classmethod
    def states(cls, flags: tuple[Any, ...]) -> list[str]:
        return ["exp_avg", "exp_avg_sq", *(["max_exp_avg_sq"] if flags[3] else [])]

    def numbers(self, get: Any, t: Any) -> list[Any]:
        first, second = get("betas0"), get("betas1")
        size = get("lr") / (1 - first**t)
        shrunk = 1 - get("lr") * get("weight_decay")
        shares = 1 - first, second, 1 - second  # no number that float32 would lose digits of is left to it
        return [size, np.sqrt(1 - second**t), *shares, get("eps"), get("weight_decay"), shrunk]

    @classmethod
    def formula(cls, flags: tuple[Any, ...], p: Any, g: Any, m: Any, v: Any, *rest: Any) -> Any:
        *largest, size, root, share, second, new, eps, decay, shrunk = rest
        g = steep(flags, p, g, decay)
        p = p * shrunk if flags[2] else p
        m = m + share * (g - m)
        v = second * v + new * (g * g)
        top = maximum(largest[0], v) if largest else v
        p = p - size * (m / (sqrt(top) / root + eps))
        return (p, m, v, top) if largest else (p, m, v)


class AdamW(Adam):
    """Adam with the weights' decay beside the gradient (Loshchilov and Hutter, 2019)."""

    decoupled = True

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, **options)


class Adamax(Declared):
    """Adam by the largest gradients instead of squares (Kingma and Ba, 2015)."""

    count_of_numbers = 5

    def __init__(
        self,
        params: Any,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: Any = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        refuse(differentiable)
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, options | {"maximize": maximize})

    def flags(self, group: Group) -> tuple[Any, ...]:
        return group["weight_decay"] != 0, group["maximize"]

    @classmethod
    def states(cls, flags: tuple[Any, ...]) -> list[str]:
        return ["exp_avg", "exp_inf"]

    def numbers(self, get: Any, t: Any) -> list[Any]:
        return [
            get("lr") / (1 - get("betas0") ** t),
            1 - get("betas0"),
            get("betas1"),
            get("eps"),
            get("weight_decay"),
        ]

    @classmethod
    def formula(cls, flags: tuple[Any, ...], p: Any, g: Any, m: Any, top: Any, *numbers: Any) -> Any:
        size, share, second, eps, decay = numbers
        g = steep(flags, p, g, decay)
        m = m + share * (g - m)
        top = maximum(second * top, absolute(g) + eps)
        return p - size * (m / top), m, top


class Adagrad(Declared):
    """Steps over the roots of the sums of squares (Duchi, Hazan and Singer, 2011)."""

    count_of_numbers = 3

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: Any = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: Any = None,
    ) -> None:
        refuse(differentiable)
        options = {"lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, options | {"initial_accumulator_value": initial_accumulator_value})

    def flags(self, group: Group) -> tuple[Any, ...]:
        return group["weight_decay"] != 0, group["maximize"]

    def begin(self, group: Group, name: str) -> float:
        return float(group["initial_accumulator_value"])

    @classmethod
    def states(cls, flags: tuple[Any, ...]) -> list[str]:
        return ["sum"]

    def numbers(self, get: Any, t: Any) -> list[Any]:
        return [get("lr") / (1 + (t - 1) * get("lr_decay")), get("eps"), get("weight_decay")]

    @classmethod
    def formula(cls, flags: tuple[Any, ...], p: Any, g: Any, total: Any, *numbers: Any) -> Any:
        size, eps, decay = numbers
        g = steep(flags, p, g, decay)
        total = total + g * g
        return p - size * (g / (sqrt(total) + eps)), total


class RMSprop(Declared):
    """Steps over the roots of running means of squares (Hinton, 2012)."""

    count_of_numbers = 6

    def __init__(
        self,
        params: Any,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: Any = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        refuse(differentiable)
        options = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(params, options | {"centered": centered, "maximize": maximize})

    def flags(self, group: Group) -> tuple[Any, ...]:
        return group["weight_decay"] != 0, group["maximize"], group["momentum"] != 0, group["centered"]

    @classmethod
    def states(cls, flags: tuple[Any, ...]) -> list[str]:
        return [
            "square_avg",
            *(["momentum_buffer"] if flags[2] else []),
            *(["grad_avg"] if flags[3] else []),
        ]

    def numbers(self, get: Any, t: Any) -> list[Any]:
        return [get("lr"), get("alpha"), 1 - get("alpha"), get("eps"), get("weight_decay"), get("momentum")]

    @classmethod
    def formula(cls, flags: tuple[Any, ...], p: Any, g: Any, v: Any, *rest: Any) -> Any:
        *states, lr, alpha, new, eps, decay, momentum = rest
        g = steep(flags, p, g, decay)
        v = alpha * v + new * (g * g)
        results = [v]
        spread = v
        if flags[3]:
            mean = states[-1] + new * (g - states[-1])
            spread = v - mean * mean
        step = g / (sqrt(spread) + eps)
        if flags[2]:
            step = momentum * states[0] + step
            results.append(step)
        if flags[3]:
            results.append(mean)
        return [p - lr * step, *results]


class Adadelta(Declared):
    """Steps in the units of the parameters (Zeiler, 2012)."""

    count_of_numbers = 5

    def __init__(
        self,
        params: Any,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: Any = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        refuse(differentiable)
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize})

    def flags(self, group: Group) -> tuple[Any, ...]:
        return group["weight_decay"] != 0, group["maximize"]

    @classmethod
    def states(cls, flags: tuple[Any, ...]) -> list[str]:
        return ["square_avg", "acc_delta"]

    def numbers(self, get: Any, t: Any) -> list[Any]:
        return [get("lr"), get("rho"), 1 - get("rho"), get("eps"), get("weight_decay")]

    @classmethod
    def formula(cls, flags: tuple[Any, ...], p: Any, g: Any, v: Any, moved: Any, *numbers: Any) -> Any:
        lr, rho, new, eps, decay = numbers
        g = steep(flags, p, g, decay)
        v = rho * v + new * (g * g)
        step = sqrt(moved + eps) / sqrt(v + eps) * g
        return p - lr * step, v, rho * moved + new * (step * step)


class NAdam(Declared):
    """Adam with Nesterov's momentum (Dozat, 2016)."""

    count_of_numbers = 11
    uniform = ("mu_product",)

    def __init__(
        self,
        params: Any,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        foreach: Any = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        refuse(differentiable)
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(
            params, options | {"momentum_decay": momentum_decay, "decoupled_weight_decay": decoupled_weight_decay}
        )

    def flags(self, group: Group) -> tuple[Any, ...]:
        decays, decoupled = group["weight_decay"] != 0, group["decoupled_weight_decay"]
        return decays and not decoupled, group["maximize"], decays and decoupled

    @classmethod
    def states(cls, flags: tuple[Any, ...]) -> list[str]:
        return ["exp_avg", "exp_avg_sq", "mu_product"]

    def begin(self, group: Group, name: str) -> float:
        return 1.0 if name == "mu_product" else 0.0

    def numbers(self, get: Any, t: Any) -> list[Any]:
        first, second = get("betas0"), get("betas1")
        mu, following = [first * (1 - 0.5 * 0.96 ** ((t + k) * get("momentum_decay"))) for k in (0, 1)]
        lr, decay = get("lr"), get("weight_decay")
        spread = np.sqrt(1 - second**t), 1 - first, second, 1 - second, get("eps")
        return [lr, mu, 1 - mu, following, *spread, decay, 1 - lr * decay]

    @classmethod
    def formula(cls, flags: tuple[Any, ...], p: Any, g: Any, m: Any, v: Any, product: Any, *numbers: Any) -> Any:
        lr, mu, rest, following, root, share, second, new, eps, decay, shrunk = numbers
        g = steep(flags, p, g, decay)
        p = p * shrunk if flags[2] else p
        m = m + share * (g - m)
        v = second * v + new * (g * g)
        product = product * mu
        spread = sqrt(v) / root + eps
        ahead = rest / (1 - product) * g + following / (1 - product * following) * m
        return p - lr * (ahead / spread), m, v, product


class RAdam(Declared):
    """Adam that takes variances into account when there are enough of them (Liu et al., 2020)."""

    count_of_numbers = 8

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: Any = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        refuse(differentiable)
        options = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize}
        super().__init__(params, options | {"decoupled_weight_decay": decoupled_weight_decay})

    def flags(self, group: Group) -> tuple[Any, ...]:
        decays, decoupled = group["weight_decay"] != 0, group["decoupled_weight_decay"]
        return decays and not decoupled, group["maximize"], decays and decoupled

    @classmethod
    def states(cls, flags: tuple[Any, ...]) -> list[str]:
        return ["exp_avg", "exp_avg_sq"]

    def numbers(self, get: Any, t: Any) -> list[Any]:
        first, second = get("betas0"), get("betas1")
        most = 2 / (1 - second) - 1
        left = 1 - second**t
        length = most - 2 * t * second**t / left
        enough = length > 5
        safe = np.where(enough, length, 6.0)
        rectified = np.sqrt((safe - 4) * (safe - 2) * most / ((most - 4) * (most - 2) * safe))
        size = get("lr") / (1 - first**t)
        by_spread = np.where(enough, size * rectified * np.sqrt(left), 0.0)
        shrunk = 1 - get("lr") * get("weight_decay")
        plain, decay = np.where(enough, 0.0, size), get("weight_decay")
        return [by_spread, plain, 1 - first, second, 1 - second, get("eps"), decay, shrunk]

    @classmethod
    def formula(cls, flags: tuple[Any, ...], p: Any, g: Any, m: Any, v: Any, *numbers: Any) -> Any:
        by_spread, plain, share, second, new, eps, decay, shrunk = numbers
        g = steep(flags, p, g, decay)
        p = p * shrunk if flags[2] else p
        m = m + share * (g - m)
        v = second * v + new * (g * g)
        return p - m * (by_spread / (sqrt(v) + eps) + plain), m, v
