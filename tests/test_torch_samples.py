"""PyTorch's own samples: what its test suite calls its operations with, given to those that exist here.

Values, shapes, dtypes and gradients are compared for every sample in float64. What torch refuses is refused, or stands
in `ACCEPTED` with the reason. Importing the samples takes torch's testing package, and with it expecttest.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from peers import peer

import nbgrad
from nbgrad import Variable
from nbgrad.nn import functional

pytestmark = pytest.mark.slow

#: At most so many samples of an operation.
MOST = 150
#: Draw numbers of their own, or none: shapes and dtypes are all there is to compare.
UNDETERMINED = {"randn", "randint", "empty"}
#: Samples that disagree, by operation and what the error says, with the reason.
EXCEPTIONS = {
    # what the graph recorded before would be changed under it
    "zero_": "a Variable that requires a gradient cannot be changed in place while recording",
}
#: torch's wrong inputs that are right here, by operation, with the reason.
_NUMBERS = "functions take Python numbers and arrays where torch wants a tensor, as NumPy's do"
ACCEPTED = {
    **dict.fromkeys(
        (
            "clamp_max", "clamp_min", "atan2", "hypot", "logaddexp", "maximum", "minimum", "max", "min", "pow",
            "remainder", "eq", "ne", "lt", "le", "gt", "ge", "logical_and", "logical_or", "logical_xor",
            "__radd__", "__rmul__", "__rsub__", "__rmod__", "__rpow__",
        ),
        _NUMBERS,
    ),
    "mean": "the mean of whole numbers is floating, as NumPy's",
}  # fmt: skip


def function_of(operation: Any) -> Callable[..., Any] | None:
    """Give what we have by the name of one of torch's operations, with torch's order of arguments."""
    name = operation.name
    if name == "where":
        return lambda x, condition, y: nbgrad.where(condition, x, y)
    if name == "polygamma":
        return lambda x, n: nbgrad.polygamma(n, x)
    if name.startswith("nn.functional."):
        return getattr(functional, name.removeprefix("nn.functional."), None)
    for place in () if name.startswith("__") else (nbgrad, functional):
        if callable(getattr(place, name, None)):
            return getattr(place, name)
    method = getattr(Variable, name, None)
    return method.fget if isinstance(method, property) else method if callable(method) else None


def converted(value: Any, torch: Any) -> Any:
    """Give arguments with Variables, dtypes and names of devices in the place of torch's."""
    if isinstance(value, torch.Tensor):
        return Variable(value.detach().numpy().copy(), requires_grad=value.requires_grad)
    if isinstance(value, torch.dtype):
        return np.dtype(str(value).removeprefix("torch."))
    if isinstance(value, torch.device):
        return str(value)
    if isinstance(value, torch.Size):
        return tuple(value)
    if isinstance(value, dict):
        return {name: converted(part, torch) for name, part in value.items()}
    return type(value)(converted(part, torch) for part in value) if type(value) in (list, tuple) else value


def leaves(value: Any, kind: type) -> list[Any]:
    """Give all values of a kind in a nest, in order."""
    if isinstance(value, kind):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [leaf for part in parts for leaf in leaves(part, kind)]


def compare(operation: Any, function: Callable[..., Any], sample: Any, torch: Any) -> None:
    """Hold one sample's values, and gradients from the same cotangents, against torch's."""
    given = [sample.input, list(sample.args), dict(sample.kwargs)]
    ours = converted(given, torch)
    expected = operation(sample.input, *sample.args, **sample.kwargs)
    found = function(ours[0], *ours[1], **ours[2])
    theirs, mine = leaves(expected, torch.Tensor), leaves(found, Variable)
    if not theirs and not mine:
        np.testing.assert_equal(found, expected)
    assert len(theirs) == len(mine)
    for y, z in zip(theirs, mine, strict=True):
        assert (tuple(y.shape), str(y.dtype)) == (z.shape, f"torch.{z.dtype}")
        if operation.name not in UNDETERMINED:
            np.testing.assert_allclose(z.data, y.detach(), rtol=1e-7, atol=1e-9)
    pairs = [pair for pair in zip(theirs, mine, strict=True) if pair[0].requires_grad]
    inputs = [x for x in leaves(given, torch.Tensor) if x.requires_grad]
    if not pairs or not inputs or operation.name in UNDETERMINED:
        return
    random = np.random.default_rng(0)
    cotangents = [random.uniform(0.5, 2, tuple(y.shape)) for y, _ in pairs]
    by_torch = torch.autograd.grad(
        [y for y, _ in pairs], inputs, [torch.tensor(c) for c in cotangents], allow_unused=True
    )
    by_us = nbgrad.autograd.grad(
        [z for _, z in pairs],
        [x for x in leaves(ours, Variable) if x.requires_grad],
        [nbgrad.tensor(c) for c in cotangents],
        allow_unused=True,
    )
    for x, gradient, wanted in zip(inputs, by_us, by_torch, strict=True):
        zeros = np.zeros(x.shape)  # where there is none
        np.testing.assert_allclose(
            zeros if gradient is None else gradient.data, zeros if wanted is None else wanted, rtol=1e-7, atol=1e-9
        )


@pytest.fixture(scope="module")
def operations() -> Any:
    torch = peer("torch")
    peer("expecttest")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # as here
    database = peer("torch.testing._internal.common_methods_invocations").op_db
    yield [
        (operation, function)
        for operation in database
        if (function := function_of(operation)) and torch.float64 in operation.supported_dtypes("cpu")
    ]
    torch.set_default_dtype(before)


@pytest.mark.filterwarnings("ignore")
def test_samples_agree(operations: Any) -> None:
    torch = peer("torch")
    assert len(operations) > 120
    count, excused, wrong = 0, 0, []
    for operation, function in operations:
        samples = operation.sample_inputs("cpu", torch.float64, requires_grad=operation.supports_autograd)
        for _, sample in zip(range(MOST), samples, strict=False):
            count += 1
            try:
                compare(operation, function, sample, torch)
            except Exception as error:
                if operation.name in EXCEPTIONS and EXCEPTIONS[operation.name] in str(error):
                    excused += 1
                else:
                    wrong.append(f"{operation.name} {operation.variant_test_name}: {sample}: {error}"[:600])
    print(f"{100 - 100 * (len(wrong) + excused) / count:.1f} % of {count} samples agree")
    assert count > 1200 and excused < 5
    assert not wrong, "\n".join(wrong)


@pytest.mark.filterwarnings("ignore")
def test_wrong_inputs_are_refused(operations: Any) -> None:
    torch = peer("torch")
    count, accepted = 0, []
    for operation, function in operations:
        for wrong in operation.error_inputs("cpu") if operation.error_inputs_func else ():
            sample = wrong.sample_input
            count += 1
            try:
                ours = converted([sample.input, list(sample.args), dict(sample.kwargs)], torch)
                function(ours[0], *ours[1], **ours[2])
            except (TypeError, ValueError, IndexError, RuntimeError):
                continue
            if operation.name not in ACCEPTED:
                accepted.append(f"{operation.name} {operation.variant_test_name}: {sample}: {wrong.error_regex}"[:600])
    assert count > 100
    assert not accepted, "\n".join(accepted)
