"""Averages of a model's parameters over its training, as PyTorch has them."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..grad_mode import no_grad
from ..nn.modules import Module
from ..ops.elementwise import where
from ..variable import Variable
from .lr_scheduler import LRScheduler
from .optimizer import Optimizer

#: Gives an average anew from the average, what is now, and how many there were.
Average = Callable[[Any, Any, Any], Any]


def get_swa_avg_fn() -> Average:
    """Give the mean of all that there were, as a function of (average, now, count)."""
    return lambda average, now, count: average + (now - average) / (count + 1)


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """Give ``decay * average + (1 - decay) * now`` as a function. Raises ValueError for a decay outside of 0 to 1."""
    if not 0 <= decay <= 1:
        raise ValueError(f"get_ema_avg_fn: the decay is from 0 to 1, got {decay}")
    return lambda average, now, count: decay * average + (1 - decay) * now


def _of_many(each: Average) -> Callable[[list[Any], list[Any], Any], None]:
    def multi(averages: list[Any], values: list[Any], count: Any) -> None:
        with no_grad():
            for average, now in zip(averages, values, strict=True):
                average.copy_(each(average, now, count))

    return multi


def get_swa_multi_avg_fn() -> Callable[[list[Any], list[Any], Any], None]:
    """Give `get_swa_avg_fn` for lists of Variables, of which the first is written to."""
    return _of_many(get_swa_avg_fn())


def get_ema_multi_avg_fn(decay: float = 0.999) -> Callable[[list[Any], list[Any], Any], None]:
    """Give `get_ema_avg_fn` for lists of Variables, of which the first is written to."""
    return _of_many(get_ema_avg_fn(decay))


class AveragedModel(Module):
    """A copy of a model whose parameters are averages of the model's, over all calls of `update_parameters`.

    The mean of all unless `avg_fn`, or `multi_avg_fn` for lists, says otherwise. Buffers are those of the model, or
    averaged as well with `use_buffers`.
    """

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: Any = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise ValueError("AveragedModel: give avg_fn or multi_avg_fn, not both")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module.to(device)
        self.register_buffer("n_averaged", Variable(np.zeros((), np.int64), requires_grad=False))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """Run the copy."""
        return self.module(*inputs, **options)

    def update_parameters(self, model: Module) -> None:
        """Take what the model has now into the averages."""
        first, count = self.n_averaged == 0, self.n_averaged
        update = self.multi_avg_fn or _of_many(self.avg_fn or get_swa_avg_fn())
        with no_grad():
            ours, theirs = list(self.module.parameters()), list(model.parameters())
            kept, given = list(self.module.buffers()), list(model.buffers())
            if self.use_buffers:
                whole = [k for k, value in enumerate(kept) if value.dtype.kind == "f"]
                ours += [kept[k] for k in whole]
                theirs += [given[k] for k in whole]
            theirs = [now.detach().to(average.device) for average, now in zip(ours, theirs, strict=True)]
            update(ours, theirs, count)
            for average, now in zip(ours, theirs, strict=True):
                average.copy_(where(first, now, average))
            for average, now in zip(kept, given, strict=True):
                if not (self.use_buffers and average.dtype.kind == "f"):
                    average.copy_(now)
            self.n_averaged.add_(1)


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Have batch norms take their running figures from all batches of a loader alike, without training."""
    norms = [module for module in model.modules() if hasattr(module, "reset_running_stats")]
    norms = [module for module in norms if getattr(module, "running_mean", None) is not None]
    if not norms:
        return
    before, training = [module.momentum for module in norms], model.training
    model.train()
    try:
        for module in norms:
            module.reset_running_stats()
            module.momentum = None
        with no_grad():
            for batch in loader:
                x = batch[0] if isinstance(batch, list | tuple) else batch
                model(x if device is None else x.to(device))
    finally:
        for module, momentum in zip(norms, before, strict=True):
            module.momentum = momentum
        model.train(training)


class SWALR(LRScheduler):
    """The rate goes to `swa_lr` within some epochs, along a cosine or evenly, and stays there."""

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: Any,
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"SWALR: anneal_strategy is 'cos' or 'linear', not {anneal_strategy!r}")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"SWALR: anneal_epochs is a whole number from 0, got {anneal_epochs}")
        count = len(optimizer.param_groups)
        rates = list(swa_lr) if isinstance(swa_lr, list | tuple) else [swa_lr] * count
        if len(rates) != count:
            raise ValueError(f"SWALR: {len(rates)} rates for {count} groups of parameters")
        for rate, group in zip(rates, optimizer.param_groups, strict=True):
            group["swa_lr"] = rate
        self.anneal_epochs, self.anneal_strategy = anneal_epochs, anneal_strategy
        super().__init__(optimizer, last_epoch)

    def _share(self, epoch: int) -> float:
        share = max(0.0, min(1.0, epoch / max(1, self.anneal_epochs)))
        return share if self.anneal_strategy == "linear" else (1 - math.cos(math.pi * share)) / 2

    def rate(self, base: float, now: float, number: int) -> float:
        target = float(self.optimizer.param_groups[number]["swa_lr"])
        epoch = max(1, self.last_epoch) if self.anneal_epochs == 0 else self.last_epoch
        before, share = self._share(epoch - 1), self._share(epoch)
        begun = target if before == 1 else (now - before * target) / (1 - before)
        return target * share + begun * (1 - share)
