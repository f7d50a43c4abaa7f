"""What all schedulers of learning rates share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .optimizer import Optimizer


class LRScheduler:
    """The base of schedulers: `rate` says what each group's rate becomes."""

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(self).__name__}: {type(optimizer).__name__} is not an Optimizer")
        self.optimizer = optimizer
        for number, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", float(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(f"param 'initial_lr' is not specified in param_groups[{number}] when resuming")
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self.step()

    def rate(self, base: float, now: float, number: int) -> float:
        """Give the rate of a group, from the one it began with and the one it has; else `get_lr` gives those of all."""
        return float(self.get_lr()[number])

    def get_lr(self) -> Sequence[float]:
        """Give the rates of all groups at `last_epoch`: what schedulers that were written for PyTorch define."""
        raise NotImplementedError(f"{type(self).__name__}: define get_lr(self), or rate(self, base, now, number)")

    def at(self, base: float, epoch: int) -> float | None:
        """Give the rate of an epoch by itself, None where it is known from the one before only."""
        return None

    def step(self, epoch: int | None = None) -> None:
        """Go to the next epoch, or to a given one."""
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        for number, group in enumerate(self.optimizer.param_groups):
            base = self.base_lrs[number]
            at = None if epoch is None else self.at(base, epoch)
            group["lr"] = self.rate(base, float(group["lr"]), number) if at is None else at

    def get_last_lr(self) -> list[float]:
        """Give the rates as they are."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Give all but the optimiser and functions."""
        return {k: v for k, v in self.__dict__.items() if k != "optimizer" and not callable(v)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state."""
        self.__dict__.update(state_dict)
