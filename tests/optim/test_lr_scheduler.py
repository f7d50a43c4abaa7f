"""Schedulers against PyTorch's, epoch by epoch, and going on from a saved state."""

import math

import pytest
from peers import peer

import nbgrad
from nbgrad import optim

FIGURES = [1.0, 0.9, 0.9, 0.9, 0.9, float("nan"), 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]
CASES = {
    "StepLR": lambda s, o: s.StepLR(o, 4, 0.5),
    "MultiStepLR": lambda s, o: s.MultiStepLR(o, [3, 8, 8], 0.5),
    "ExponentialLR": lambda s, o: s.ExponentialLR(o, 0.9),
    "CosineAnnealingLR": lambda s, o: s.CosineAnnealingLR(o, 5, 0.01),
    "CosineAnnealingWarmRestarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, 2, 0.01),
    "OneCycleLR": lambda s, o: s.OneCycleLR(o, 1.0, 20),
    "OneCycleLR-linear": lambda s, o: s.OneCycleLR(o, 1.0, 20, anneal_strategy="linear", three_phase=True),
    "CyclicLR": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 3, 2),
    "CyclicLR-halves": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 3, mode="triangular2", cycle_momentum=False),
    "CyclicLR-falls": lambda s, o: s.CyclicLR(o, [0.01], [0.1], 3, mode="exp_range", gamma=0.9),
    "CyclicLR-own": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 3, scale_fn=lambda n: 1 / n),
    "get_lr": lambda s, o: warm_up(s)(o),
    "LambdaLR": lambda s, o: s.LambdaLR(o, lambda epoch: 1 / (1 + epoch)),
    "MultiplicativeLR": lambda s, o: s.MultiplicativeLR(o, lambda epoch: 0.9),
    "LinearLR": lambda s, o: s.LinearLR(o, 0.2, 0.8, 6),
    "ConstantLR": lambda s, o: s.ConstantLR(o, 0.5, 4),
    "PolynomialLR": lambda s, o: s.PolynomialLR(o, 8, 2.0),
    "SequentialLR": lambda s, o: s.SequentialLR(o, [s.LinearLR(o, 0.1, total_iters=4), s.ExponentialLR(o, 0.9)], [4]),
    "ChainedScheduler": lambda s, o: s.ChainedScheduler([s.ConstantLR(o, 0.5, 4), s.ExponentialLR(o, 0.9)]),
}


def warm_up(schedulers):
    """Write a scheduler as people do for PyTorch."""

    class WarmUp(schedulers._LRScheduler):
        def __init__(self, optimizer, steps=4, last_epoch=-1):
            self.steps = steps
            super().__init__(optimizer, last_epoch)

        def get_lr(self):
            return [base * min(1, (self.last_epoch + 1) / self.steps) for base in self.base_lrs]

    return WarmUp


def optimizers():
    torch = peer("torch")
    ours = optim.SGD([nbgrad.tensor([1.0], requires_grad=True)], lr=0.4, momentum=0.9)
    return ours, torch.optim.SGD([torch.ones(1, requires_grad=True)], lr=0.4, momentum=0.9)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_rates_are_those_of_pytorch(name):
    torch = peer("torch")
    one, other = optimizers()
    ours, theirs = CASES[name](optim.lr_scheduler, one), CASES[name](torch.optim.lr_scheduler, other)
    for _ in range(15):
        assert one.param_groups[0]["lr"] == pytest.approx(other.param_groups[0]["lr"], rel=1e-9)
        assert one.param_groups[0]["momentum"] == pytest.approx(other.param_groups[0]["momentum"], rel=1e-9)
        ours.step(), theirs.step()
    again, _ = optimizers()
    resumed = CASES[name](optim.lr_scheduler, again)
    resumed.load_state_dict(ours.state_dict())
    again.param_groups[0]["lr"] = one.param_groups[0]["lr"]
    ours.step(), resumed.step()
    assert again.param_groups[0]["lr"] == pytest.approx(one.param_groups[0]["lr"])


@pytest.mark.parametrize("options", [{"patience": 2}, {"patience": 1, "mode": "max", "cooldown": 2, "min_lr": 0.01}])
def test_plateaus_as_pytorch_has_them(options):
    torch = peer("torch")
    one, other = optimizers()
    ours = optim.lr_scheduler.ReduceLROnPlateau(one, **options)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(other, **options)
    for figure in FIGURES:
        ours.step(figure), theirs.step(figure)
        assert one.param_groups[0]["lr"] == pytest.approx(other.param_groups[0]["lr"])
    assert math.isfinite(ours.best)


def test_refusals():
    one, _ = optimizers()
    schedules = optim.lr_scheduler
    for call, error in (
        (lambda: schedules.StepLR(3, 1), TypeError),
        (lambda: schedules.StepLR(one, 1, last_epoch=3), KeyError),
        (lambda: schedules.OneCycleLR(one, 1.0), ValueError),
        (lambda: schedules.LambdaLR(one, [abs, abs]), ValueError),
        (lambda: schedules.ReduceLROnPlateau(one, factor=1.0), ValueError),
        (lambda: schedules.SequentialLR(one, [schedules.ExponentialLR(one, 0.9)], [1]), ValueError),
    ):
        with pytest.raises(error):
            call()


def test_what_no_scheduler_can_do_is_refused():
    ours = optim.SGD([nbgrad.tensor([1.0], requires_grad=True)], lr=0.4)
    schedulers = optim.lr_scheduler
    for make in (
        lambda: schedulers.CyclicLR(ours, 0.1, 1.0, mode="round"),
        lambda: schedulers.CyclicLR(ours, [0.1, 0.2], 1.0),
        lambda: schedulers.CyclicLR(optim.Adagrad(ours.param_groups[0]["params"]), 0.1, 1.0),
    ):
        with pytest.raises(ValueError, match="CyclicLR"):
            make()
    with pytest.raises(NotImplementedError, match=r"define get_lr\(self\)"):
        schedulers.LRScheduler(ours)
