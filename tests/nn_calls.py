"""How functions of `nn.functional` are called: with arrays that gradients go to, and with options, as in torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import cases
import numpy as np
from peers import peer

import nbgrad
from nbgrad.nn import functional


class Call(NamedTuple):
    """A call of a function by its name."""

    name: str
    shapes: tuple[tuple[int, ...], ...]
    options: dict[str, Any]
    domains: tuple[Any, ...] = ()
    #: Whether derivatives are held against differences, to second order.
    smooth: bool = True

    def __repr__(self) -> str:
        told = [f"{name}={value}" for name, value in self.options.items() if not isinstance(value, np.ndarray)]
        return f"{self.name}{self.shapes[0]} {', '.join(told)}".replace("(", "[").replace(")", "]")

    def arrays(self, dtype: str = "float64") -> list[Any]:
        domains = self.domains or (cases.ANY,) * len(self.shapes)
        return [
            cases.draw(domain, shape, dtype, seed)
            for seed, (shape, domain) in enumerate(zip(self.shapes, domains, strict=True))
        ]

    def here(self, *xs: Any) -> Any:
        """Call our function."""
        options = {
            name: value.astype(xs[0].dtype) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else value
            for name, value in self.options.items()
        }
        return self._called(functional, xs, options)

    def _called(self, module: Any, xs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        if self.name.startswith("embedding"):  # whose weight comes second
            xs = (options.pop("input"), *xs)
        result = getattr(module, self.name)(*xs, **options)
        return result[0] if isinstance(result, tuple) else result

    def there(self, torch: Any, *xs: Any) -> Any:
        """Call torch's."""

        def given(value: Any) -> Any:
            if not isinstance(value, np.ndarray):
                return value
            return torch.tensor(value, dtype=xs[0].dtype if value.dtype.kind == "f" else None)

        return self._called(torch.nn.functional, xs, {name: given(value) for name, value in self.options.items()})


def call(name: str, *shapes: tuple[int, ...], domains: Any = (), smooth: bool = True, **options: Any) -> Call:
    return Call(name, shapes, options, domains, smooth)


#: What values are held to: sums of float32 are rounded in another order, and torch has constants of float32 in float64.
TOLERANCE = {"float32": {"rtol": 3e-4, "atol": 3e-5}, "float64": {"rtol": 1e-7, "atol": 1e-10}}


def hold_against_torch(each: Call, dtype: str) -> None:
    cases.assert_same_as_torch(each.here, each.there, each.arrays(dtype), tolerance=TOLERANCE[dtype])


def hold_against_differences(each: Call) -> None:
    cases.check_to_second_order(each.here, each.arrays())


def hold_compiled_against_eager(each: Call) -> None:
    arrays = each.arrays()
    weights = np.random.default_rng(3).uniform(0.5, 2, each.here(*arrays).shape)
    function: Callable[..., Any] = nbgrad.value_and_grad(
        lambda *xs: (each.here(*xs) * weights).sum(), tuple(range(len(arrays)))
    )
    (value, gradients), (expected, slopes) = nbgrad.jit(function)(*arrays), function(*arrays)
    for fast, slow in zip((value, *gradients), (expected, *slopes), strict=True):
        np.testing.assert_allclose(fast, slow, rtol=1e-9, atol=1e-11)


def torch_function(name: str) -> Any:
    return getattr(peer("torch").nn.functional, name)
