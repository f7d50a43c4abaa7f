"""L-BFGS: quasi-Newton steps from the last few gradients."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from .. import history
from ..grad_mode import enable_grad
from ..nn.utils import vector_to_parameters
from ..variable import Variable
from .optimizer import Group, Optimizer


class LBFGS(Optimizer):
    """L-BFGS with PyTorch's options (Nocedal and Wright, "Numerical Optimization", algorithms 7.4 and 3.5).

    `step` takes a closure that clears the gradients, computes the loss, runs backward and gives the loss. With
    ``line_search_fn="strong_wolfe"`` steps fulfil Wolfe's conditions. One group of parameters only.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        if line_search_fn not in (None, "strong_wolfe"):
            raise RuntimeError("only 'strong_wolfe' is supported")
        options = {"lr": lr, "max_iter": max_iter, "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval}
        options |= {"tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change}
        super().__init__(params, options | {"history_size": history_size, "line_search_fn": line_search_fn})
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self._memory: dict[str, Any] = {}

    def lifted(self) -> list[Variable]:
        return []  # how far to go is decided by elements: it is the closure that can be compiled

    def state_dict(self) -> dict[str, Any]:
        """Give the options and the memory, by PyTorch's names."""
        found, memory = super().state_dict(), self._memory
        if memory:
            dtype = self.param_groups[0]["params"][0].dtype

            def variable(x: Any) -> Variable:
                return Variable(np.array(x, dtype), requires_grad=False)

            pairs = memory["pairs"]
            found["state"][0] = {
                "n_iter": memory["count"],
                "func_evals": memory["evaluations"],
                "prev_loss": memory["loss"],
                "t": float(memory["t"]),
                "H_diag": float(memory["scale"]),
                "d": variable(memory["d"]),
                "prev_flat_grad": variable(memory["g"]),
                "old_dirs": [variable(y) for y, _, _ in pairs],
                "old_stps": [variable(s) for _, s, _ in pairs],
                "ro": [float(rho) for _, _, rho in pairs],
            }
        return found

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over options and memory, by copies; raises ValueError for those of other parameters."""
        if not isinstance(state_dict, dict) or not {"state", "param_groups"} <= state_dict.keys():
            raise ValueError(f"LBFGS: a state is a dict with 'state' and 'param_groups', got {state_dict!r:.80}")
        given = state_dict["state"].get(0, {})

        def array(x: Any) -> Any:
            return np.asarray(x.detach().cpu() if hasattr(x, "detach") else x).copy()

        count = sum(int(x.size) for x in self.param_groups[0]["params"])
        memory: dict[str, Any] = {}
        if given:
            pairs = [array(y) for y in given["old_dirs"]], [array(s) for s in given["old_stps"]], given["ro"]
            memory = {"pairs": [(y, s, float(rho)) for y, s, rho in zip(*pairs, strict=True)]}
            memory |= {"d": array(given["d"]), "g": array(given["prev_flat_grad"]), "t": float(given["t"])}
            memory |= {"scale": float(given["H_diag"]), "count": int(given["n_iter"])}
            memory |= {"evaluations": int(given["func_evals"]), "loss": float(given["prev_loss"])}
            vectors = [memory["d"], memory["g"], *(x for y, s, _ in memory["pairs"] for x in (y, s))]
            if any(x.shape != (count,) for x in vectors):
                raise ValueError(f"LBFGS: the state is of {memory['d'].size} numbers, the parameters have {count}")
        super().load_state_dict({**state_dict, "state": {}})
        self._memory = memory

    def _gradient(self, params: list[Variable]) -> Any:
        parts = [np.zeros(x.size) if x.grad is None else np.asarray(x.grad.detach().cpu()).reshape(-1) for x in params]
        return np.concatenate(parts)

    def _place(self, params: list[Variable]) -> Any:
        return np.concatenate([np.asarray(x.detach().cpu()).reshape(-1) for x in params])

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take up to `max_iter` steps; gives the first loss."""
        if closure is None:
            raise TypeError("LBFGS.step: takes a closure that gives the loss anew")
        group: Group = self.param_groups[0]
        params, memory = group["params"], self._memory
        dtype = params[0].dtype

        def look(x: Any) -> tuple[float, Any]:
            history.overwritten(params, "LBFGS")
            vector_to_parameters(Variable(x.astype(dtype), requires_grad=False), params)
            with enable_grad():
                loss = float(closure())
            return loss, self._gradient(params)

        with enable_grad():
            first = closure()
        loss, g = float(first), self._gradient(params)
        evaluations = 1
        if np.abs(g).max() <= group["tolerance_grad"]:
            return first
        x = self._place(params)
        old: list[tuple[Any, Any, float]] = memory.get("pairs", [])
        d: Any = memory.get("d")
        t: Any = memory.get("t")
        scale, before, before_loss = memory.get("scale", 1.0), memory.get("g"), loss
        for turn in range(group["max_iter"]):
            memory["count"] = memory.get("count", 0) + 1
            if memory["count"] == 1:
                d, scale, old = -g, 1.0, []
            else:
                y, s = g - before, d * t
                ys = float(y @ s)
                if ys > 1e-10:
                    old = [*old, (y, s, 1.0 / ys)][-group["history_size"] :]
                    scale = ys / float(y @ y)
                d = _direction(g, old, scale)
            before, before_loss = g, loss
            t = min(1.0, 1.0 / np.abs(g).sum()) * group["lr"] if memory["count"] == 1 else group["lr"]
            slope = float(g @ d)
            if slope > -group["tolerance_change"]:
                break
            if group["line_search_fn"] == "strong_wolfe":
                ray = partial(_on_a_ray, look, x, d)
                loss, g, t, used = strong_wolfe(ray, t, d, loss, g, slope)
                x = x + t * d
                vector_to_parameters(Variable(x.astype(dtype), requires_grad=False), params)
            elif turn + 1 < group["max_iter"]:
                x = x + t * d
                loss, g = look(x)
                used = 1
            else:  # the next step looks there first
                vector_to_parameters(Variable((x + t * d).astype(dtype), requires_grad=False), params)
                break
            evaluations += used
            if evaluations >= group["max_eval"] or np.abs(g).max() <= group["tolerance_grad"]:
                break
            if np.abs(d * t).max() <= group["tolerance_change"]:
                break
            if abs(loss - before_loss) < group["tolerance_change"]:
                break
        memory |= {"pairs": old, "d": d, "t": t, "scale": scale, "g": before, "loss": before_loss}
        memory["evaluations"] = memory.get("evaluations", 0) + evaluations
        return first


def _on_a_ray(look: Any, x: Any, d: Any, t: float) -> Any:
    return look(x + t * d)


def _direction(g: Any, pairs: list[tuple[Any, Any, float]], scale: float) -> Any:
    """Give minus the inverse Hessian's estimate times g, by two loops over the pairs."""
    q, shares = -g, []
    for y, s, rho in reversed(pairs):
        share = float(s @ q) * rho
        shares.append(share)
        q = q - share * y
    q = q * scale
    for (y, s, rho), share in zip(pairs, reversed(shares), strict=True):
        q = q + s * (share - float(y @ q) * rho)
    return q


def _between(x1: float, f1: float, g1: float, x2: float, f2: float, g2: float, limits: Any = None) -> float:
    """Give the minimum of the cubic through two points and slopes, within limits."""
    low, high = limits if limits is not None else (min(x1, x2), max(x1, x2))
    d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2)
    square = d1 * d1 - g1 * g2
    if square < 0:
        return (low + high) / 2
    d2 = square**0.5
    if x1 <= x2:
        least = x2 - (x2 - x1) * ((g2 + d2 - d1) / (g2 - g1 + 2 * d2))
    else:
        least = x1 - (x1 - x2) * ((g1 + d2 - d1) / (g1 - g2 + 2 * d2))
    return min(max(least, low), high)


def strong_wolfe(
    look: Callable[[float], tuple[float, Any]],
    t: float,
    d: Any,
    f: float,
    g: Any,
    slope: float,
    c1: float = 1e-4,
    c2: float = 0.9,
    tolerance: float = 1e-9,
    most: int = 25,
) -> tuple[float, Any, float, int]:
    """Find a step that fulfils Wolfe's conditions: the loss, the gradient, the step, and how often it looked."""
    size = float(np.abs(d).max())
    f_new, g_new = look(t)
    count, slope_new = 1, float(g_new @ d)
    t_before, f_before, g_before, slope_before = 0.0, f, g, slope
    done, turns = False, 0
    bracket: list[list[Any]] = []
    while turns < most:
        if f_new > f + c1 * t * slope or (turns > 1 and f_new >= f_before):
            bracket = [[t_before, f_before, g_before, slope_before], [t, f_new, g_new, slope_new]]
            break
        if abs(slope_new) <= -c2 * slope:
            bracket, done = [[t, f_new, g_new, slope_new]], True
            break
        if slope_new >= 0:
            bracket = [[t_before, f_before, g_before, slope_before], [t, f_new, g_new, slope_new]]
            break
        limits = (t + 0.01 * (t - t_before), t * 10)
        following = _between(t_before, f_before, slope_before, t, f_new, slope_new, limits)
        t_before, f_before, g_before, slope_before = t, f_new, g_new, slope_new
        t = following
        f_new, g_new = look(t)
        count, slope_new, turns = count + 1, float(g_new @ d), turns + 1
    if turns == most:
        bracket = [[0.0, f, g, slope], [t, f_new, g_new, slope_new]]
    stuck = False
    low, high = (0, 1) if bracket[0][1] <= bracket[-1][1] else (1, 0)
    while not done and turns < most:
        if abs(bracket[1][0] - bracket[0][0]) * size < tolerance:
            break
        t = _between(*[bracket[k][i] for k in (0, 1) for i in (0, 1, 3)])
        left, right = sorted([bracket[0][0], bracket[1][0]])
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:
            if stuck or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        f_new, g_new = look(t)
        count, slope_new, turns = count + 1, float(g_new @ d), turns + 1
        point = [t, f_new, g_new, slope_new]
        if f_new > f + c1 * t * slope or f_new >= bracket[low][1]:
            bracket[high] = point
            low, high = (0, 1) if bracket[0][1] <= bracket[1][1] else (1, 0)
        else:
            if abs(slope_new) <= -c2 * slope:
                done = True
            elif slope_new * (bracket[high][0] - bracket[low][0]) >= 0:
                bracket[high] = bracket[low]
            bracket[low] = point
    low = low if len(bracket) > 1 else 0
    t, f_new, g_new, _ = bracket[low]
    return f_new, g_new, t, count
