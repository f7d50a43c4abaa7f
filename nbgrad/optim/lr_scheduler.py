"""How learning rates change, as PyTorch has it: `step` after each epoch, or after each batch."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from typing import Any

from .optimizer import Optimizer
from .scheduler import LRScheduler as LRScheduler

#: What older programs call it.
_LRScheduler = LRScheduler


class LambdaLR(LRScheduler):
    """The rate at the beginning times a function of the epoch, one for all groups or one each."""

    def __init__(self, optimizer: Optimizer, lr_lambda: Any, last_epoch: int = -1) -> None:
        count = len(optimizer.param_groups)
        self.lr_lambdas = list(lr_lambda) if isinstance(lr_lambda, list | tuple) else [lr_lambda] * count
        if len(self.lr_lambdas) != count:
            raise ValueError(f"LambdaLR: expected {count} lr_lambdas, but got {len(self.lr_lambdas)}")
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, now: float, number: int) -> float:
        return base * float(self.lr_lambdas[number](self.last_epoch))

    def state_dict(self) -> dict[str, Any]:
        """Give all but the optimiser and functions."""
        return {k: v for k, v in super().state_dict().items() if k != "lr_lambdas"}


class MultiplicativeLR(LambdaLR):
    """The rate times a function of the epoch."""

    def rate(self, base: float, now: float, number: int) -> float:
        return now * float(self.lr_lambdas[number](self.last_epoch)) if self.last_epoch > 0 else now


class StepLR(LRScheduler):
    """The rate times gamma every so many epochs."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, now: float, number: int) -> float:
        return now if self.last_epoch == 0 or self.last_epoch % self.step_size else now * self.gamma

    def at(self, base: float, epoch: int) -> float:
        return float(base * self.gamma ** (epoch // self.step_size))


class MultiStepLR(LRScheduler):
    """The rate times gamma at some epochs."""

    def __init__(
        self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        self.milestones, self.gamma = Counter(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, now: float, number: int) -> float:
        return float(now * self.gamma ** self.milestones.get(self.last_epoch, 0))

    def at(self, base: float, epoch: int) -> float:
        return float(base * self.gamma ** bisect_right(sorted(self.milestones.elements()), epoch))


class ConstantLR(LRScheduler):
    """The rate times a factor for some epochs."""

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        if not 0 <= factor <= 1:
            raise ValueError(f"ConstantLR: the factor is from 0 to 1, got {factor}")
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, now: float, number: int) -> float:
        if self.last_epoch == 0:
            return now * self.factor
        return now / self.factor if self.last_epoch == self.total_iters else now

    def at(self, base: float, epoch: int) -> float:
        return base * (self.factor if epoch < self.total_iters else 1)


class LinearLR(LRScheduler):
    """The rate times a factor that goes evenly from one number to another."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        if not 0 < start_factor <= 1 or not 0 <= end_factor <= 1:
            raise ValueError(f"LinearLR: factors are from 0 to 1, got {start_factor} and {end_factor}")
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, now: float, number: int) -> float:
        if self.last_epoch == 0:
            return now * self.start_factor
        if self.last_epoch > self.total_iters:
            return now
        rise = self.end_factor - self.start_factor
        return now * (1 + rise / (self.total_iters * self.start_factor + (self.last_epoch - 1) * rise))

    def at(self, base: float, epoch: int) -> float:
        share = min(epoch, self.total_iters) / self.total_iters
        return base * (self.start_factor + (self.end_factor - self.start_factor) * share)


class ExponentialLR(LRScheduler):
    """The rate times gamma every epoch."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, now: float, number: int) -> float:
        return now if self.last_epoch == 0 else now * self.gamma

    def at(self, base: float, epoch: int) -> float:
        return float(base * self.gamma**epoch)


class PolynomialLR(LRScheduler):
    """The rate times a power of the share of epochs that is left."""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, now: float, number: int) -> float:
        if self.last_epoch == 0 or self.last_epoch > self.total_iters:
            return now
        left, before = self.total_iters - self.last_epoch, self.total_iters - (self.last_epoch - 1)
        return float(now * (left / before) ** self.power)

    def at(self, base: float, epoch: int) -> float:
        return float(base * (1 - min(epoch, self.total_iters) / self.total_iters) ** self.power)


class CosineAnnealingLR(LRScheduler):
    """The rate down half a cosine wave over T_max epochs, to eta_min (Loshchilov and Hutter, 2017)."""

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, now: float, number: int) -> float:
        epoch, most, least = self.last_epoch, self.T_max, self.eta_min
        if epoch == 0:
            return now
        if (epoch - 1 - most) % (2 * most) == 0:
            return now + (base - least) * (1 - math.cos(math.pi / most)) / 2
        share = (1 + math.cos(math.pi * epoch / most)) / (1 + math.cos(math.pi * (epoch - 1) / most))
        return share * (now - least) + least

    def at(self, base: float, epoch: int) -> float:
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * epoch / self.T_max)) / 2


class CosineAnnealingWarmRestarts(LRScheduler):
    """Half cosine waves one after the other, each T_mult times as long as the one before."""

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        if T_0 <= 0 or T_mult < 1:
            raise ValueError(f"CosineAnnealingWarmRestarts: T_0 is positive and T_mult at least 1: {T_0}, {T_mult}")
        self.T_0, self.T_i, self.T_mult, self.eta_min, self.T_cur = T_0, T_0, T_mult, eta_min, float(last_epoch)
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, now: float, number: int) -> float:
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2

    def step(self, epoch: float | None = None) -> None:
        """Go to the next epoch, or to a given one, or a part of one."""
        if epoch is None:
            epoch = self.last_epoch + 1
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        elif epoch < 0:
            raise ValueError(f"CosineAnnealingWarmRestarts: an epoch is not negative, got {epoch}")
        elif epoch >= self.T_0 and self.T_mult == 1:
            self.T_cur = epoch % self.T_0
        elif epoch >= self.T_0:
            n = int(math.log(epoch / self.T_0 * (self.T_mult - 1) + 1, self.T_mult))
            self.T_cur = epoch - self.T_0 * (self.T_mult**n - 1) / (self.T_mult - 1)
            self.T_i = self.T_0 * self.T_mult**n
        else:
            self.T_i, self.T_cur = self.T_0, epoch
        super().step(math.floor(epoch))


def _by_cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


def _by_line(start: float, end: float, share: float) -> float:
    return start + (end - start) * share


class OneCycleLR(LRScheduler):
    """The rate up to a largest one and down to almost none, a step a batch; momentum the other way (Smith, 2018)."""

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: Any,
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("OneCycleLR: takes total_steps, or epochs and steps_per_epoch")
            total_steps = epochs * steps_per_epoch
        if total_steps <= 0 or not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleLR: {total_steps} steps, of which a share of {pct_start} rises")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be one of 'cos' or 'linear', instead got {anneal_strategy}")
        self.total_steps, self.anneal, self.cycle_momentum = total_steps, anneal_strategy, cycle_momentum
        last = total_steps - 1
        rising = float(pct_start * total_steps) - 1
        self.phases = [(rising, "initial_lr", "max_lr", "max_momentum", "base_momentum")]
        if three_phase:
            self.phases += [
                (2 * rising, "max_lr", "initial_lr", "base_momentum", "max_momentum"),
                (last, "initial_lr", "min_lr", "max_momentum", "max_momentum"),
            ]
        else:
            self.phases.append((last, "max_lr", "min_lr", "base_momentum", "max_momentum"))
        groups = optimizer.param_groups
        tops = list(max_lr) if isinstance(max_lr, list | tuple) else [max_lr] * len(groups)
        for group, top in zip(groups, tops, strict=True):
            if last_epoch == -1:
                group["initial_lr"] = top / div_factor
                group["max_lr"] = top
                group["min_lr"] = group["initial_lr"] / final_div_factor
            if cycle_momentum and last_epoch == -1:
                if "momentum" not in group and "betas" not in group:
                    raise ValueError("optimizer must support momentum or beta1 with `cycle_momentum` enabled")
                dict.update(group, max_momentum=max_momentum, base_momentum=base_momentum)
                self._put(group, max_momentum)
        super().__init__(optimizer, last_epoch)

    @staticmethod
    def _put(group: Any, momentum: float) -> None:
        if "betas" in group:
            group["betas"] = (momentum, *group["betas"][1:])
        else:
            group["momentum"] = momentum

    def rate(self, base: float, now: float, number: int) -> float:
        group, step = self.optimizer.param_groups[number], self.last_epoch
        if step > self.total_steps:
            raise ValueError(f"Tried to step {step} times. The specified number of total steps is {self.total_steps}")
        between = _by_cosine if self.anneal == "cos" else _by_line
        start = 0.0
        for place, (end, *names) in enumerate(self.phases):
            if step <= end or place == len(self.phases) - 1:
                share = (step - start) / (end - start)
                first, second, low, high = [group.get(name, 0.0) for name in names]
                if self.cycle_momentum:
                    self._put(group, between(low, high, share))
                return between(first, second, share)
            start = end
        return now


class SequentialLR(LRScheduler):
    """One scheduler after the other, which change at milestones."""

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int], last_epoch: int = -1
    ) -> None:
        if len(milestones) != len(schedulers) - 1:
            raise ValueError(
                f"SequentialLR: {len(schedulers)} schedulers change at {len(schedulers) - 1} milestones, "
                f"got {len(milestones)}"
            )
        if any(scheduler.optimizer is not optimizer for scheduler in schedulers):
            raise ValueError("SequentialLR: all schedulers are of its own optimizer")
        self.optimizer, self._schedulers, self._milestones = optimizer, list(schedulers), list(milestones)
        self.last_epoch = last_epoch + 1
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        for scheduler in self._schedulers:
            scheduler.last_epoch -= 1
        self._schedulers[0].step()

    def step(self, epoch: int | None = None) -> None:
        """Go to the next epoch."""
        self.last_epoch += 1
        number = bisect_right(self._milestones, self.last_epoch)
        if number > 0 and self._milestones[number - 1] == self.last_epoch:
            self._schedulers[number].step(0)
        else:
            self._schedulers[number].step()

    def state_dict(self) -> dict[str, Any]:
        """Give the place, and the states of the schedulers."""
        states = [scheduler.state_dict() for scheduler in self._schedulers]
        return {"last_epoch": self.last_epoch, "_milestones": self._milestones, "_schedulers": states}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state."""
        self.last_epoch, self._milestones = state_dict["last_epoch"], list(state_dict["_milestones"])
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)


class ChainedScheduler:
    """Several schedulers at once."""

    def __init__(self, schedulers: Sequence[LRScheduler], optimizer: Any = None) -> None:
        if not schedulers:
            raise ValueError("ChainedScheduler: takes at least one scheduler")
        self._schedulers, self.optimizer = list(schedulers), schedulers[0].optimizer

    def step(self) -> None:
        """Have all go to the next epoch."""
        for scheduler in self._schedulers:
            scheduler.step()

    def get_last_lr(self) -> list[float]:
        """Give the rates as they are."""
        return self._schedulers[-1].get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        """Give the states of the schedulers."""
        return {"_schedulers": [scheduler.state_dict() for scheduler in self._schedulers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the states."""
        for scheduler, state in zip(self._schedulers, state_dict["_schedulers"], strict=True):
            scheduler.load_state_dict(state)


class ReduceLROnPlateau(LRScheduler):
    """The rate times a factor when a figure has not become better for some epochs; NaN is not better."""

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: Any = 0,
        eps: float = 1e-8,
    ) -> None:
        if factor >= 1.0:
            raise ValueError("Factor should be < 1.0.")
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise ValueError(f"mode {mode} is unknown!" if mode not in ("min", "max") else f"{threshold_mode} unknown")
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"ReduceLROnPlateau: {type(optimizer).__name__} is not an Optimizer")
        self.optimizer, self.mode, self.factor, self.patience = optimizer, mode, factor, patience
        self.threshold, self.threshold_mode, self.cooldown, self.eps = threshold, threshold_mode, cooldown, eps
        count = len(optimizer.param_groups)
        self.min_lrs = list(min_lr) if isinstance(min_lr, list | tuple) else [min_lr] * count
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs, self.cooldown_counter, self.last_epoch = 0, 0, 0

    def is_better(self, value: float) -> bool:
        """Tell whether a figure is better than the best so far."""
        sign = 1 if self.mode == "min" else -1
        if self.threshold_mode == "rel":
            return value < self.best * (1 - self.threshold) if sign > 0 else value > self.best * (1 + self.threshold)
        return value < self.best - self.threshold if sign > 0 else value > self.best + self.threshold

    def step(self, metrics: Any, epoch: int | None = None) -> None:  # type: ignore[override]
        """Look at a figure, and reduce the rates if it is time to."""
        value = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self.is_better(value):
            self.best, self.num_bad_epochs = value, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for group, least in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
                old = float(group["lr"])
                new = max(old * self.factor, least)
                if old - new > self.eps:
                    group["lr"] = new
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0


class CyclicLR(LRScheduler):
    """The rate goes up and down between two, evenly, the height of each round the same or falling; momentum against it.

    `mode` is triangular, triangular2 (half of the height before) or exp_range (``gamma`` to the number of steps), or
    `scale_fn` gives the height from the round, or with ``scale_mode="iterations"`` from the step.
    """

    def __init__(
        self, optimizer: Optimizer, base_lr: Any, max_lr: Any, step_size_up: int = 2000, step_size_down: Any = None,
        mode: str = "triangular", gamma: float = 1.0, scale_fn: Any = None, scale_mode: str = "cycle",
        cycle_momentum: bool = True, base_momentum: float = 0.8, max_momentum: float = 0.9, last_epoch: int = -1,
    ) -> None:  # fmt: skip
        if scale_fn is None and mode not in ("triangular", "triangular2", "exp_range"):
            raise ValueError(f"CyclicLR: mode is triangular, triangular2 or exp_range, not {mode!r}")
        groups = optimizer.param_groups
        every = [list(x) if isinstance(x, list | tuple) else [x] * len(groups) for x in (base_lr, max_lr)]
        if any(len(x) != len(groups) for x in every):
            raise ValueError(f"CyclicLR: base_lr and max_lr are numbers, or {len(groups)} of them")
        if cycle_momentum and any("momentum" not in group and "betas" not in group for group in groups):
            raise ValueError("CyclicLR: the optimiser has no momentum to cycle: cycle_momentum=False")
        if last_epoch == -1:
            for rate, group in zip(every[0], groups, strict=True):
                group["lr"] = group["initial_lr"] = rate
        self.max_lrs, self.up = every[1], float(step_size_up)
        self.total = self.up + float(step_size_up if step_size_down is None else step_size_down)
        self.mode, self.gamma, self.scale_fn, self.scale_mode = mode, gamma, scale_fn, scale_mode
        self.momenta = (base_momentum, max_momentum) if cycle_momentum else None
        super().__init__(optimizer, last_epoch)

    def rate(self, base: float, now: float, number: int) -> float:
        rounds = math.floor(1 + self.last_epoch / self.total)
        place = 1.0 + self.last_epoch / self.total - rounds
        share = self.up / self.total
        height = place / share if place <= share else (place - 1) / (share - 1)
        if self.scale_fn is not None:
            scale = self.scale_fn(rounds if self.scale_mode == "cycle" else self.last_epoch)
        elif self.mode == "exp_range":
            scale = self.gamma**self.last_epoch
        else:
            scale = 1.0 if self.mode == "triangular" else 1 / 2.0 ** (rounds - 1)
        if self.momenta is not None:
            low, high = self.momenta
            group, momentum = self.optimizer.param_groups[number], high - (high - low) * height * scale
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum
        return float(base + (self.max_lrs[number] - base) * height * scale)
