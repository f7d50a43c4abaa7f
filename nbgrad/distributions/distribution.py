"""What distributions have in common: parameters that broadcast, shapes, checks, and drawing.

Parameters are Variables of one floating dtype, all of one batch shape, and results are Variables. Nothing is kept
between calls, so that each backward has a graph of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from ..arrays import is_stand_in
from ..grad_mode import no_grad
from ..kernels import dispatch
from ..kernels.shapes import broadcast_shapes
from ..ops.arguments import whole_numbers
from ..ops.drawing import drawn_beside
from ..ops.elementwise import sqrt
from ..ops.shape import astype, broadcast_to
from ..variable import Variable, as_variable, data_of, get_default_dtype
from .constraints import Constraint


def variables(*values: Any) -> list[Variable]:
    """Give parameters as Variables of one floating dtype, and Python's numbers beside the arrays among them."""
    arrays = [data_of(v) for v in values if not isinstance(v, int | float)]
    arrays = [np.asarray(a) if isinstance(a, list | tuple | np.generic) else a for a in arrays]
    dtypes = [a.dtype for a in arrays if a.dtype.kind == "f"]
    dtype = np.result_type(*dtypes) if dtypes else get_default_dtype()
    found = []
    for value in values:
        if isinstance(value, int | float):
            number = np.asarray(value, dtype)
            value = dispatch.beside(number, arrays[0]) if arrays else number
        x = as_variable(value)
        found.append(x if x.dtype == dtype else astype(x, dtype))
    return found


def sum_rightmost(x: Any, ndims: int) -> Any:
    """Add up over the last dimensions."""
    return x.sum(tuple(range(-ndims, 0))) if ndims else x


class Distribution:
    """A distribution for each element of a batch, of values with the shape of an event.

    `validate_args` has parameters and values looked at: those out of place are a ValueError. It is on unless Python
    runs with -O; compiled and vectorised functions have no elements to be looked at.
    """

    #: What parameters may be, by their names.
    arg_constraints: ClassVar[Mapping[str, Constraint]] = {}
    #: Whether `rsample` is there, whose samples have gradients.
    has_rsample: Any = False
    #: How many dimensions a value has.
    event_dim: ClassVar[int] = 0

    _validate_args = __debug__

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Say whether parameters and values are looked at where `validate_args` is not given."""
        Distribution._validate_args = bool(value)

    def __init__(self, validate_args: bool | None, **parameters: Any) -> None:
        if validate_args is not None:
            self._validate_args = validate_args
        dims = [self.arg_constraints[name].event_dim for name in parameters]
        given = variables(*parameters.values())
        for name, x, ndim in zip(parameters, given, dims, strict=True):
            if x.ndim < ndim:
                raise ValueError(f"{self._name}: {name} has shape {x.shape}: give {ndim} dimensions or more")
        try:
            batch = broadcast_shapes(*[x.shape[: x.ndim - n] for x, n in zip(given, dims, strict=True)])
        except ValueError:
            shapes = " and ".join(f"{name} of shape {x.shape}" for name, x in zip(parameters, given, strict=True))
            raise ValueError(f"{self._name}: {shapes} do not broadcast") from None
        self._parameters = dict(zip(parameters, given, strict=True))
        first = given[0].shape
        self._batch_shape, self._event_shape = batch, first[len(first) - self.event_dim :]
        self._spread(batch)
        if self._validate_args:
            for name, x in self._parameters.items():
                self._refuse(f"parameter {name}", x, self.arg_constraints[name])

    def _spread(self, batch: tuple[int, ...]) -> None:
        """Have all parameters be of a batch shape."""
        for name, x in self._parameters.items():
            event = x.shape[x.ndim - self.arg_constraints[name].event_dim :]
            self._parameters[name] = x if x.shape == (*batch, *event) else broadcast_to(x, (*batch, *event))

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["_parameters"][name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}") from None

    @property
    def _name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        given = [f"{n}: {x.tolist() if x.size == 1 else x.shape}" for n, x in self._parameters.items()]
        return f"{self._name}({', '.join(given)})"

    # ---- shapes -----------------------------------------------------------------------------------------------------

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The shape that parameters have together."""
        return self._batch_shape

    @property
    def event_shape(self) -> tuple[int, ...]:
        """The shape of one value."""
        return self._event_shape

    def expand(self, batch_shape: Any) -> Any:
        """Give the same distribution with parameters repeated to fill a batch shape, as views."""
        new = self._copy()
        new._batch_shape = whole_numbers("expand", tuple(batch_shape))
        new._parameters = dict(self._parameters)
        new._spread(new._batch_shape)
        return new

    def _copy(self) -> Any:
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        return new

    def _extended(self, sample_shape: Any) -> tuple[int, ...]:
        return (*whole_numbers("sample", tuple(sample_shape)), *self._batch_shape, *self._event_shape)

    # ---- checks -----------------------------------------------------------------------------------------------------

    @property
    def support(self) -> Constraint:
        """The set of values."""
        raise NotImplementedError(f"{self._name} has no support")

    @property
    def _like(self) -> Any:
        """An array of the dtype and on the device of values."""
        return next(iter(self._parameters.values()))._array

    def _refuse(self, what: str, x: Variable, wanted: Constraint) -> None:
        """Raise ValueError unless all values belong to a set."""
        array = dispatch.in_numpy(x._array)
        fits = None if is_stand_in(array) else wanted.check(array)
        if fits is not None and not is_stand_in(fits) and not bool(fits.all()):
            wrong = array[~fits] if fits.ndim else array
            raise ValueError(
                f"{self._name}: {what} of shape {array.shape} has to be {wanted}, and holds {wrong.reshape(-1)[:3]}"
            )

    def _valid(self, value: Any) -> Variable:
        """Give a value as a Variable, checked if that was asked for."""
        x = variables(value, self._like)[0] if isinstance(value, int | float) else as_variable(value)
        if x.dtype.kind != "f":
            x = astype(x, self._like.dtype)
        if self._validate_args:
            ndim = len(self._event_shape)
            if x.shape[x.ndim - ndim :] != self._event_shape or x.ndim < ndim:
                raise ValueError(f"{self._name}: value of shape {x.shape} for events of shape {self._event_shape}")
            try:
                broadcast_shapes(x.shape, (*self._batch_shape, *self._event_shape))
            except ValueError:
                raise ValueError(
                    f"{self._name}: value of shape {x.shape} does not broadcast with batch shape {self._batch_shape} "
                    f"and event shape {self._event_shape}"
                ) from None
            self._refuse("value", x, self.support)
        return x

    # ---- what users ask for -----------------------------------------------------------------------------------------

    def _missing(self, what: str) -> NotImplementedError:
        return NotImplementedError(f"{self._name}: there is no formula for its {what}")

    @property
    def mean(self) -> Any:
        """The mean."""
        raise self._missing("mean")

    @property
    def variance(self) -> Any:
        """The variance."""
        raise self._missing("variance")

    @property
    def mode(self) -> Any:
        """The value of the highest density."""
        raise self._missing("mode")

    @property
    def stddev(self) -> Any:
        """The standard deviation."""
        return sqrt(self.variance)

    def entropy(self) -> Any:
        """Give the entropy, in nats."""
        raise self._missing("entropy")

    def perplexity(self) -> Any:
        """Give the exponential of the entropy."""
        return self.entropy().exp()

    def log_prob(self, value: Any) -> Any:
        """Give the logarithm of the density, or of the probability, at a value that broadcasts with the batch."""
        return self._log_prob(self._valid(value))

    def cdf(self, value: Any) -> Any:
        """Give the share that lies below a value."""
        return self._cdf(self._valid(value))

    def icdf(self, value: Any) -> Any:
        """Give the number below which a share lies."""
        return self._icdf(variables(value, self._like)[0])

    def sample(self, sample_shape: Any = ()) -> Any:
        """Draw for each element of the batch, as many times as a shape says; samples have no gradient."""
        with no_grad():
            return self._sample(self._extended(sample_shape))

    def rsample(self, sample_shape: Any = ()) -> Any:
        """Draw samples that move with the parameters, and give these gradients."""
        if not self.has_rsample:
            raise NotImplementedError(
                f"{self._name}: samples do not move with the parameters: use sample, and log_prob for their gradient"
            )
        return self._rsample(self._extended(sample_shape))

    # ---- what each distribution says --------------------------------------------------------------------------------

    def _log_prob(self, x: Any) -> Any:
        raise self._missing("log_prob")

    def _cdf(self, x: Any) -> Any:
        raise self._missing("cdf")

    def _icdf(self, p: Any) -> Any:
        raise self._missing("icdf")

    def _sample(self, shape: tuple[int, ...]) -> Any:
        return self._rsample(shape)

    def _rsample(self, shape: tuple[int, ...]) -> Any:
        raise NotImplementedError(f"{self._name} cannot be drawn from")

    def _noise(self, kind: str, shape: tuple[int, ...]) -> Variable:
        """Draw from [0, 1), "random", or from the standard normal distribution, "standard_normal"."""
        like = self._like
        return Variable(drawn_beside(self._name, None, like, kind, shape, like.dtype), requires_grad=False)
