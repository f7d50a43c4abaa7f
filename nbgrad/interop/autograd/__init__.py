"""The names of HIPS autograd: its scripts run here when their import lines change.

``from autograd import grad`` becomes ``from nbgrad.interop.autograd import grad``, and so `extend`, `misc`, `test_util`
and `numpy`; `autograd.scipy` is `nbgrad.interop.scipy`. Arguments may be nests of lists, tuples and dicts of arrays.
Inside a function, values are Variables: with NumPy itself in place of `nbgrad.interop.autograd.numpy`
``np.array([x, y])`` of them is ``np.stack([x, y])``.

>>> import numpy as np
>>> from nbgrad.interop.autograd import elementwise_grad, hessian
>>> print(elementwise_grad(np.tanh)(np.array([0.0, 1.0])), hessian(lambda x: x[0] * x[1] ** 2)(np.array([1.0, 2.0])))
[1.         0.41997434] [[0. 4.]
 [4. 2.]]
"""

from .extend import primitive as primitive
from .operators import checkpoint as checkpoint
from .operators import deriv as deriv
from .operators import elementwise_grad as elementwise_grad
from .operators import grad as grad
from .operators import grad_and_aux as grad_and_aux
from .operators import grad_named as grad_named
from .operators import hessian as hessian
from .operators import hessian_tensor_product as hessian_tensor_product
from .operators import hessian_vector_product as hessian_vector_product
from .operators import holomorphic_grad as holomorphic_grad
from .operators import jacobian as jacobian
from .operators import make_ggnvp as make_ggnvp
from .operators import make_hvp as make_hvp
from .operators import make_jvp as make_jvp
from .operators import make_jvp_reversemode as make_jvp_reversemode
from .operators import make_vjp as make_vjp
from .operators import multigrad_dict as multigrad_dict
from .operators import tensor_jacobian_product as tensor_jacobian_product
from .operators import value_and_grad as value_and_grad
from .operators import vector_jacobian_product as vector_jacobian_product
