"""Mixed precision by PyTorch's names: scaled gradients, and why there are no narrower ones."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from enum import Enum
from typing import Any

from .grad_mode import no_grad
from .registry import load
from .variable import Variable


class autocast:
    """What computes in narrower numbers, which nbgrad does not: only ``enabled=False`` is taken, and changes nothing.

    A context manager and a decorator. `float16` has no gradients here, and there is no `bfloat16`, so that what asks
    for them raises NotImplementedError in the place of computing in float32 unseen.

    >>> import nbgrad
    >>> with nbgrad.amp.autocast("cpu", enabled=False):
    ...     (nbgrad.ones(2) @ nbgrad.ones(2)).dtype
    dtype('float64')
    """

    def __init__(
        self, device_type: str, dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        if enabled:
            raise NotImplementedError(
                "autocast: gradients are those of float32 and float64 here, none of float16 or bfloat16: give "
                "enabled=False, or leave autocast out; GradScaler may stay"
            )

    def __enter__(self) -> autocast:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*arguments: Any, **options: Any) -> Any:
            return function(*arguments, **options)

        return wrapper


class _Stage(Enum):
    """What was done with an optimiser's gradients since the last update."""

    READY = "ready"
    UNSCALED = "unscaled"
    STEPPED = "stepped"


class GradScaler:
    """Multiplies losses by a scale, so that small gradients do not vanish, and leaves out steps that overflowed.

    ``scale(loss).backward()``, ``step(optimizer)`` and ``update()``, as in PyTorch: `step` divides the gradients by the
    scale (as ``unscale_(optimizer)`` does before, to clip them), and takes no step where one of them is not
    finite. Then `update` multiplies the scale by `backoff_factor`, or by `growth_factor` after `growth_interval`
    updates without. It looks at numbers, so that it belongs outside of compiled functions. With ``enabled=False``
    nothing is scaled or looked at.

    Raises ValueError for factors on the wrong side of 1, RuntimeError for calls out of order.

    >>> import nbgrad
    >>> x = nbgrad.ones(2, requires_grad=True)
    >>> optimizer, scaler = nbgrad.optim.SGD([x], lr=0.25), nbgrad.amp.GradScaler()
    >>> scaler.scale((x * x).sum()).backward()
    >>> scaler.step(optimizer)
    >>> scaler.update()
    >>> x, scaler.get_scale()
    (Variable([0.5, 0.5]), 65536.0)
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if growth_factor <= 1 or not 0 < backoff_factor < 1:
            raise ValueError(
                f"GradScaler: growth_factor is above 1 and backoff_factor between 0 and 1, got {growth_factor} and "
                f"{backoff_factor}"
            )
        self._scale, self._growth_factor, self._backoff_factor = float(init_scale), growth_factor, backoff_factor
        self._growth_interval, self._growth_tracker, self._enabled = growth_interval, 0, enabled
        #: What was done with the gradients of optimisers, and whether these are all finite, by the optimisers' ids.
        self._stages: dict[int, tuple[_Stage, bool]] = {}

    def scale(self, outputs: Any) -> Any:
        """Give a Variable, or each of a list or tuple of them, times the scale."""
        if not self._enabled:
            return outputs
        if isinstance(outputs, Variable):
            return outputs * self._scale
        if isinstance(outputs, list | tuple):
            return type(outputs)(map(self.scale, outputs))
        raise TypeError(f"GradScaler.scale: takes a Variable, or a list or tuple of them, got {type(outputs).__name__}")

    def unscale_(self, optimizer: Any) -> None:
        """Divide the gradients of an optimiser's parameters by the scale, and see whether they are finite."""
        if not self._enabled:
            return
        stage = self._stages.get(id(optimizer), (_Stage.READY, True))[0]
        if stage is not _Stage.READY:
            raise RuntimeError(f"GradScaler.unscale_: this optimizer was {stage.value} already since the last update()")
        isfinite, finite = load("isfinite").function, True
        with no_grad():
            for group in optimizer.param_groups:
                for x in group["params"]:
                    if x.grad is not None:
                        x.grad *= 1 / self._scale
                        finite = finite and bool(isfinite(x.grad).all())
        self._stages[id(optimizer)] = _Stage.UNSCALED, finite

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """Take a step of an optimiser, and give what it gives; None in the place of one by gradients not finite."""
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if args or "closure" in kwargs:
            raise RuntimeError("GradScaler.step: a closure computes gradients that nobody would unscale: give none")
        stage, finite = self._stages.get(id(optimizer), (_Stage.READY, True))
        if stage is _Stage.STEPPED:
            raise RuntimeError("GradScaler.step: this optimizer has stepped already since the last update()")
        if stage is _Stage.READY:
            self.unscale_(optimizer)
            finite = self._stages[id(optimizer)][1]
        taken = optimizer.step(**kwargs) if finite else None
        self._stages[id(optimizer)] = _Stage.STEPPED, finite
        return taken

    def update(self, new_scale: Any = None) -> None:
        """Set the scale for what comes next, from what steps found or to a number that is given."""
        if not self._enabled:
            return
        if new_scale is not None:
            self._scale = float(new_scale)
        elif not self._stages:
            raise RuntimeError("GradScaler.update: no optimizer has stepped since the last update()")
        elif not all(finite for _, finite in self._stages.values()):
            self._scale, self._growth_tracker = self._scale * self._backoff_factor, 0
        else:
            self._growth_tracker += 1
            if self._growth_tracker == self._growth_interval:
                larger = self._scale * self._growth_factor
                self._scale, self._growth_tracker = larger if math.isfinite(larger) else self._scale, 0
        self._stages.clear()

    def get_scale(self) -> float:
        """Give the scale, 1 where nothing is scaled."""
        return self._scale if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """Give what the scale grows by."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Set what the scale grows by."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """Give what the scale is multiplied by where gradients are not finite."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Set what the scale is multiplied by where gradients are not finite."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """Give after how many updates the scale grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Set after how many updates the scale grows."""
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """Tell whether anything is scaled."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """Give the state by PyTorch's names, which is empty where nothing is scaled."""
        if not self._enabled:
            return {}
        return {
            "scale": self._scale,
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._growth_tracker,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state; raises RuntimeError for that of a scaler that was not enabled."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError("GradScaler.load_state_dict: the state is empty: was it that of one with enabled=False?")
        self._scale, self._growth_factor = float(state_dict["scale"]), state_dict["growth_factor"]
        self._backoff_factor, self._growth_interval = state_dict["backoff_factor"], state_dict["growth_interval"]
        self._growth_tracker = state_dict["_growth_tracker"]
