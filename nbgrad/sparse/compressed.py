"""Sparse Jacobians and Hessians of functions of one array: one walk for all colours, and a matrix of what it gives."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..arrays import Array
from ..autograd.linearised import Linearised
from ..batching.batched import leave
from ..batching.levels import Level
from ..batching.moving import Enter
from ..func.walking import chunks
from ..kernels import dispatch
from ..variable import Variable
from .coloring import color_columns, color_rows, color_symmetric
from .patterns import pattern_of, scipy_sparse

#: Elements that NumPy picks as fast as a kernel that is called for them.
FEW = 1 << 12


class Plan:
    """Where a matrix may differ from 0, the colours, and where each of its elements is among what is found."""

    def __init__(self, pattern: Any, symmetric: bool) -> None:
        pattern = scipy_sparse().csr_array(pattern)
        pattern.sort_indices()
        self.pattern, self.shape = pattern, pattern.shape
        columns = pattern.indices.astype(np.int64)
        rows = np.repeat(np.arange(self.shape[0]), np.diff(pattern.indptr))
        #: Whether tangents go forth, of columns together; else cotangents come back, of rows together.
        self.forward = True
        if symmetric:
            colors = color_symmetric(pattern)
            # an element is read where its row has none of that colour besides, or else across the diagonal
            keys = rows * (colors.max(initial=0) + 1) + colors[columns]
            _, place, count = np.unique(keys, return_inverse=True, return_counts=True)
            alone = count[place] == 1
            self.color, self.place = np.where(alone, colors[columns], colors[rows]), np.where(alone, rows, columns)
        else:
            colors, others = color_columns(pattern), color_rows(pattern)
            if others.max(initial=-1) < colors.max(initial=-1):
                self.forward, colors = False, others
                self.color, self.place = colors[rows], columns
            else:
                self.color, self.place = colors[columns], rows
        #: How many columns, or rows, are found at once, and for each colour ones for those that are.
        self.count = int(colors.max(initial=-1)) + 1
        self.colors = colors
        #: Where the elements are among what is found, in one dimension.
        self.places = _frozen(self.color * self.shape[0 if self.forward else 1] + self.place)
        self._seeds: dict[Any, Array] = {}

    def seeds(self, dtype: Any) -> Array:
        """Give for each colour a vector that has 1 at all of its columns, or rows."""
        if dtype not in self._seeds:
            seeds = np.zeros((self.count, self.colors.size), dtype)
            seeds[self.colors, np.arange(self.colors.size)] = 1
            self._seeds[dtype] = _frozen(seeds)
        return self._seeds[dtype]

    def matrix(self, found: Array) -> Any:
        """Give the matrix of what was found for all colours, of which it takes what may differ from 0."""
        if self.places.size <= FEW:
            values = found.reshape(-1).take(self.places)  # not in a compiled function, which would call it dearly
        else:
            values = dispatch.gather(found.reshape(-1, 1), self.places).reshape(-1)
        kind: Any = type(self.pattern)
        made = kind.__new__(kind)  # without what the constructor looks at
        made.__dict__.update(self.pattern.__dict__)
        made.data, made.indices, made.indptr = values, self.pattern.indices.copy(), self.pattern.indptr.copy()
        return made


def _frozen(array: Array) -> Array:
    """Give an array as one that nobody may write to, and no run of a compiled function has to look at again."""
    array.flags.writeable = False
    return array


class SparseJacobian:
    """A function that gives a sparse Jacobian; `plan` tells the structure, which is found once for a shape."""

    what = "jacobian"
    symmetric = False

    def __init__(
        self, function: Callable[..., Any], argnums: Any, has_aux: bool, chunk_size: int | None, sparsity: Any
    ) -> None:
        functools.update_wrapper(self, function, updated=())
        if not isinstance(argnums, int):
            raise TypeError(f"{self.what}: argnums is {argnums!r}: with sparsity there is one argument, and one number")
        if isinstance(sparsity, str) and sparsity != "detect":
            raise ValueError(f"{self.what}: sparsity is {sparsity!r}: it is 'detect' or a matrix")
        self.argnums, self.has_aux, self.chunk_size = argnums, has_aux, chunk_size
        #: A function that `nbgrad.jit` made is looked into, and the walks are compiled as well.
        jitted = getattr(function, "function", None) if hasattr(function, "explain") else None
        self.function: Any = function if jitted is None else jitted
        self.compiled: Any = None if jitted is None else type(function)
        self.sparsity = sparsity
        self._plans: dict[Any, Any] = {}

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Give the matrix at some arguments, and with `has_aux` what else there is."""
        x = arguments[self.argnums]
        if isinstance(x, Variable):
            if x.requires_grad:
                raise TypeError(f"{self.what}: a sparse matrix has no gradients: give x.detach()")
            x = x.data
        plan, values_of = self._planned(arguments, options)
        values, *aux = values_of(*arguments, **options)
        values = values.data if isinstance(values, Variable) else values
        matrix = plan.matrix(dispatch.in_numpy(values))
        return (matrix, aux[0]) if self.has_aux else matrix

    def plan(self, *arguments: Any, **options: Any) -> Plan:
        """Give the structure at some arguments: `count` is the number of colours, `forward` the direction."""
        plan: Plan = self._planned(arguments, options)[0]
        return plan

    def _planned(self, arguments: Sequence[Any], options: dict[str, Any]) -> Any:
        key = tuple([(getattr(y, "shape", None), getattr(y, "dtype", None)) for y in arguments])
        found = self._plans.get(key)
        if found is None:
            at = self._at(arguments, options)
            outputs = self._outputs(at)
            rows, columns = sum(y.size for y in outputs), at.inputs[0].size
            if isinstance(self.sparsity, str):
                pattern = pattern_of(outputs, at.inputs[0])
            else:
                pattern = scipy_sparse().csr_array(self.sparsity)
                pattern = scipy_sparse().csr_array(pattern != 0, dtype=np.int8)
            if pattern.shape != (rows, columns):
                raise ValueError(
                    f"{self.what}: sparsity is a pattern of shape {pattern.shape} for a matrix of shape "
                    f"{(rows, columns)}"
                )
            if self.symmetric:
                if (pattern != pattern.T).nnz and not isinstance(self.sparsity, str):
                    raise ValueError(f"{self.what}: the pattern is not symmetric: a Hessian is")
                pattern = pattern + pattern.T  # what a rule back reads besides may be found on one side only
            plan = Plan(pattern, self.symmetric)

            def values_of(*arguments: Any, **options: Any) -> Any:
                return self._values(plan, self._at(arguments, options))

            if self.compiled is not None:
                values_of = self.compiled(values_of, (), ())
            found = self._plans[key] = plan, values_of
        return found

    def _at(self, arguments: Sequence[Any], options: dict[str, Any]) -> Linearised:
        at = Linearised(self.what, self.function, self.argnums, arguments, options, self.has_aux)
        if len(at.inputs) != 1 or at.nests[0] is not None:
            raise TypeError(f"{self.what}: with sparsity the argument is one array, and no nest of them")
        return at

    def _outputs(self, at: Linearised) -> list[Variable]:
        if len(at.outputs) != 1 or at.structure is not None:
            raise TypeError(f"{self.what}: with sparsity the value is one array, and no nest of them")
        return at.outputs

    def _values(self, plan: Plan, at: Linearised) -> tuple[Any, ...]:
        """Give what is found for all colours, along the first axis, from one walk."""
        (x,), outputs = at.inputs, self._outputs(at)
        seeds = plan.seeds(x.dtype)
        parts = []
        for begin, end in chunks(plan.count, self.chunk_size, max(x.nbytes, outputs[0].nbytes)):
            with Level(end - begin, self.what) as level:
                like = x if plan.forward else outputs[0]
                array = dispatch.beside(seeds[begin:end].reshape((end - begin, *like.shape)), x.data)
                seed = Variable(Enter(level).forward(array), requires_grad=False)
                (found,) = at.pushed(outputs, [seed], False) if plan.forward else at.pulled([seed], False)
                parts.append(leave(level, found.data).reshape((end - begin, -1)))
        if not parts:
            return np.zeros(0, x.dtype), at.aux
        return parts[0] if len(parts) == 1 else dispatch.concatenate(self.what, parts, 0), at.aux


class SparseHessian(SparseJacobian):
    """A function that gives a sparse Hessian: the symmetric Jacobian of a gradient."""

    what = "hessian"
    symmetric = True

    def _outputs(self, at: Linearised) -> list[Variable]:
        return at.gradient()
