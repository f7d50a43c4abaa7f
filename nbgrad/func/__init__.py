"""Functions into functions, by JAX's and torch.func's names: derivatives forth and back, Jacobians, many examples.

All take and give nests: lists, tuples, dicts, dataclasses and what `register_nest` makes known. Arrays in, arrays out,
where no Variable is among the arguments; what is None, or whole, or a text is a constant.
"""

from ..autograd.transforms import grad as grad
from ..autograd.transforms import grad_and_value as grad_and_value
from ..autograd.transforms import value_and_grad as value_and_grad
from ..nests import register_nest as register_nest
from .functional_call import functional_call as functional_call
from .functional_call import stack_module_state as stack_module_state
from .jacobians import hessian as hessian
from .jacobians import jacfwd as jacfwd
from .jacobians import jacobian as jacobian
from .jacobians import jacrev as jacrev
from .products import hvp as hvp
from .products import jvp as jvp
from .products import linearize as linearize
from .products import vjp as vjp
from .vectorize import vmap as vmap

__all__ = [
    "functional_call",
    "grad",
    "grad_and_value",
    "hessian",
    "hvp",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jvp",
    "linearize",
    "register_nest",
    "stack_module_state",
    "value_and_grad",
    "vjp",
    "vmap",
]
