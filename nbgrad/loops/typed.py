"""What Numba has to know to use derivatives inside other compiled functions: ``f(x)``, ``f.vjp(x, g)``."""

from __future__ import annotations

from typing import Any

from numba import types
from numba.core import datamodel
from numba.core.imputils import lower_constant
from numba.core.typing.templates import AttributeTemplate
from numba.extending import infer_getattr, lower_getattr_generic, register_model

#: The derivatives that are functions for Numba as well.
DERIVATIVES = ("vjp", "jvp", "value_and_grad")


class DifferentiableType(types.Dispatcher):
    """The type of a function that knows its derivatives: a function of Numba's with attributes."""

    def __init__(self, function: Any) -> None:
        self.function = function
        super().__init__(function.dispatcher)


register_model(DifferentiableType)(datamodel.models.OpaqueModel)


@infer_getattr
class _Attributes(AttributeTemplate):
    key = DifferentiableType

    def generic_resolve(self, value: Any, attribute: str) -> Any:  # type: ignore[override]
        if attribute in DERIVATIVES:
            return getattr(value.function, attribute)._numba_type_
        return None


@lower_getattr_generic(DifferentiableType)
def _attribute(context: Any, builder: Any, kind: Any, value: Any, attribute: str) -> Any:
    return context.get_dummy_value()


@lower_constant(DifferentiableType)
def _constant(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    return context.get_dummy_value()
