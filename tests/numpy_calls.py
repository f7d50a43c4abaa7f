"""All functions of NumPy's, and how they are called where more is needed than an array."""

from __future__ import annotations

import io

import cases
import numpy as np
from cases import draw

from nbgrad import Variable

MATRIX = draw(cases.NONZERO, (3, 4))
SQUARE = draw(cases.POSITIVE, (3, 3)) + 3 * np.eye(3)
VECTOR = draw(cases.POSITIVE, (4,))

MODULES = (np, np.linalg, np.fft)
#: All functions of NumPy's that ask their arguments who is to answer (NEP 18), by name.
DISPATCHED = {
    f"{module.__name__}.{name}".replace("numpy", "np"): getattr(module, name)
    for module in MODULES
    for name in dir(module)
    if not name.startswith("_") and hasattr(getattr(module, name), "_implementation")
}
ALL_UFUNCS = {name: f for name, f in vars(np).items() if isinstance(f, np.ufunc) and name not in ("abs", "conj")}

#: How functions are called that take more than an array, or another one than MATRIX.
CALLS = {
    "np.allclose": lambda f, x: f(x, MATRIX),
    "np.append": lambda f, x: f(x, x),
    "np.apply_along_axis": lambda f, x: f(np.sum, 0, x),
    "np.apply_over_axes": lambda f, x: f(np.sum, x, [0]),
    "np.argpartition": lambda f, x: f(x, 2),
    "np.array_equal": lambda f, x: f(x, MATRIX),
    "np.array_equiv": lambda f, x: f(x, MATRIX),
    "np.array_split": lambda f, x: f(x, 3, 1),
    "np.astype": lambda f, x: f(x, np.float32),
    "np.average": lambda f, x: f(x, 1, VECTOR + x * x),
    "np.bincount": lambda f, x: f(np.arange(3), x[:, 0]),
    "np.block": lambda f, x: f([x, x]),
    "np.broadcast_to": lambda f, x: f(x, (2, 3, 4)),
    "np.can_cast": lambda f, x: f(x[0].data if isinstance(x, Variable) else x[0].dtype, np.float32),
    "np.choose": lambda f, x: f(np.array([0, 1, 0, 1]), x[:2]),
    "np.clip": lambda f, x: f(x, -1, 1),
    "np.column_stack": lambda f, x: f([x[:, 0], x[:, 1], x]),
    "np.compress": lambda f, x: f([True, False, True], x, 0),
    "np.concat": lambda f, x: f([x, MATRIX, x], 1),
    "np.concatenate": lambda f, x: f([x, MATRIX, x], axis=None),
    "np.convolve": lambda f, x: f(x[0], VECTOR),
    "np.copyto": lambda f, x: f(np.zeros((3, 4)), x),
    "np.correlate": lambda f, x: f(x[0], VECTOR),
    "np.cross": lambda f, x: f(x[0, :3], VECTOR[:3]),
    "np.delete": lambda f, x: f(x, 1, 0),
    "np.diag_indices_from": lambda f, x: f(x[:, :3]),
    "np.diagonal": lambda f, x: f(x, 1),
    "np.digitize": lambda f, x: f(x, np.array([-1.0, 0, 1])),
    "np.dot": lambda f, x: f(x, VECTOR),
    "np.dsplit": lambda f, x: f(x.reshape(1, 3, 4), 2),
    "np.dstack": lambda f, x: f([x, x * x]),
    "np.ediff1d": lambda f, x: f(x),
    "np.einsum": lambda f, x: f("ij->j", x),
    "np.einsum_path": lambda f, x: f("ij->j", x),
    "np.empty_like": lambda f, x: f(x).shape,
    "np.expand_dims": lambda f, x: f(x, (0, 2)),
    "np.extract": lambda f, x: f(MATRIX > 0, x),
    "np.fill_diagonal": lambda f, x: f(x, 0.0),
    "np.full_like": lambda f, x: f(x, 2.5),
    "np.geomspace": lambda f, x: f(abs(x[0, 0]), 3.0, 4),
    "np.gradient": lambda f, x: f(x, axis=1),
    "np.histogram": lambda f, x: (*f(x, 3), f(MATRIX, 3, weights=x)[0], f(x, [-1.0, 0, 1])[0]),
    "np.histogram2d": lambda f, x: f(x[0], x[1]),
    "np.hsplit": lambda f, x: f(x, [1, 3]),
    "np.hstack": lambda f, x: f([x[0], x[1], VECTOR]),
    "np.inner": lambda f, x: f(x, MATRIX),
    "np.insert": lambda f, x: f(x, 1, 0.0),
    "np.interp": lambda f, x: f(x, np.arange(3.0), np.arange(3.0)),
    "np.intersect1d": lambda f, x: f(x, MATRIX),
    "np.isclose": lambda f, x: f(x, MATRIX),
    "np.isin": lambda f, x: f(x, VECTOR),
    "np.ix_": lambda f, x: f(x[0], x[1]),
    "np.kron": lambda f, x: f(x, MATRIX),
    "np.lexsort": lambda f, x: f(x),
    "np.linspace": lambda f, x: f(x[0, 0], 3.0, 4),
    "np.logspace": lambda f, x: f(x[0, 0], 3.0, 4),
    "np.may_share_memory": lambda f, x: f(x, VECTOR),
    "np.meshgrid": lambda f, x: f(x[0], x[1]),
    "np.moveaxis": lambda f, x: f(x, 0, 1),
    "np.nanpercentile": lambda f, x: f(x, 30),
    "np.nanquantile": lambda f, x: f(x, 0.3),
    "np.outer": lambda f, x: f(x, [1.0, 2.0]),
    "np.pad": lambda f, x: f(x, ((1, 0), (0, 2))),
    "np.partition": lambda f, x: f(x, 2),
    "np.percentile": lambda f, x: f(x, 30),
    "np.piecewise": lambda f, x: f(x, [MATRIX > 1, MATRIX < 0], [np.exp, lambda x: x * x, 2.0]),
    "np.place": lambda f, x: f(x, MATRIX > 0, 1.0),
    "np.poly": lambda f, x: f(x[0]),
    "np.polyadd": lambda f, x: f(x[0], VECTOR),
    "np.polyder": lambda f, x: f(x[0]),
    "np.polydiv": lambda f, x: f(x[0], VECTOR[:2]),
    "np.polyfit": lambda f, x: f(VECTOR, x[0], 1),
    "np.polyint": lambda f, x: f(x[0]),
    "np.polymul": lambda f, x: f(x[0], VECTOR),
    "np.polysub": lambda f, x: f(x[0], VECTOR),
    "np.polyval": lambda f, x: f(x[0], VECTOR),
    "np.put": lambda f, x: f(x, [0], 1.0),
    "np.put_along_axis": lambda f, x: f(x, np.zeros((1, 4), int), 1.0, 0),
    "np.putmask": lambda f, x: f(x, MATRIX > 0, 1.0),
    "np.quantile": lambda f, x: f(x, 0.3),
    "np.repeat": lambda f, x: f(x, 2, 1),
    "np.reshape": lambda f, x: f(x, (2, 6)),
    "np.resize": lambda f, x: f(x, (2, 3)),
    "np.result_type": lambda f, x: f(x, np.float32),
    "np.roll": lambda f, x: f(x, 1, 0),
    "np.rollaxis": lambda f, x: f(x, 1),
    "np.roots": lambda f, x: f(x[0]),
    "np.searchsorted": lambda f, x: f(np.arange(3.0), x),
    "np.select": lambda f, x: f([MATRIX > 0], [x]),
    "np.setdiff1d": lambda f, x: f(x, MATRIX),
    "np.setxor1d": lambda f, x: f(x, MATRIX),
    "np.shares_memory": lambda f, x: f(x, VECTOR),
    "np.sort": lambda f, x: f(x, 0),
    "np.split": lambda f, x: f(x, [1], 0),
    "np.stack": lambda f, x: f([x, MATRIX], 1),
    "np.swapaxes": lambda f, x: f(x, 0, 1),
    "np.take": lambda f, x: f(x, [2, 0, 0], 0),
    "np.take_along_axis": lambda f, x: f(x, np.zeros((3, 1), int), 1),
    "np.tensordot": lambda f, x: f(x, MATRIX, ([0], [0])),
    "np.tile": lambda f, x: f(x, (2, 1)),
    "np.trim_zeros": lambda f, x: f(x[0] * np.array([0, 1, 1, 0])),
    "np.union1d": lambda f, x: f(x, VECTOR + 9),
    "np.unwrap": lambda f, x: f(x),
    "np.vander": lambda f, x: f(x[0]),
    "np.vdot": lambda f, x: f(x, MATRIX),
    "np.vsplit": lambda f, x: f(x, [1]),
    "np.vstack": lambda f, x: f([x, x[0]]),
    "np.where": lambda f, x: f(x > 0, x, 0.0),
    "np.save": lambda f, x: f(io.BytesIO(), x),
    "np.savetxt": lambda f, x: f(io.BytesIO(), x),
    "np.savez": lambda f, x: f(io.BytesIO(), x),
    "np.savez_compressed": lambda f, x: f(io.BytesIO(), x),
    "np.linalg.cross": lambda f, x: f(x[0, :3], VECTOR[:3]),
    "np.linalg.lstsq": lambda f, x: f(x, VECTOR[:3]),
    "np.linalg.matmul": lambda f, x: f(x, MATRIX.T),
    "np.linalg.matrix_power": lambda f, x: f(x[:, :3], 2),
    "np.linalg.multi_dot": lambda f, x: f([x, MATRIX.T]),
    "np.linalg.outer": lambda f, x: f(x[0], VECTOR),
    "np.linalg.solve": lambda f, x: f(SQUARE, x),
    "np.linalg.tensordot": lambda f, x: f(x, MATRIX, axes=2),
    "np.linalg.tensorinv": lambda f, x: f(x[:, :3], 1),
    "np.linalg.tensorsolve": lambda f, x: f(SQUARE, x[:, 0]),
    "np.linalg.vecdot": lambda f, x: f(x, VECTOR),
    **{f"np.linalg.{name}": lambda f, x: f(x[:, :3]) for name in ("cond", "det", "eig", "eigvals", "inv", "slogdet")},
    **{f"np.linalg.{name}": lambda f, x: f(x[:, :3] + x[:, :3].T) for name in ("eigh", "eigvalsh")},
    "np.linalg.cholesky": lambda f, x: f(x[:, :3] @ x[:, :3].T + np.eye(3)),
    "np.linalg.svd": lambda f, x: f(x, False),
    "np.cumulative_prod": lambda f, x: f(x, axis=1),
    "np.cumulative_sum": lambda f, x: f(x, axis=0, include_initial=True),
}
#: Those of dates, bits, whole positions and text, which never meet a gradient; and one that takes no array.
WITHOUT_GRADIENTS = {
    "busday_count", "busday_offset", "is_busday", "datetime_as_string", "packbits", "unpackbits", "ravel_multi_index",
    "unravel_index",
}  # fmt: skip
#: Those that write into an array, which is their first argument.
WRITING = {"copyto", "fill_diagonal", "place", "put", "put_along_axis", "putmask"}
NAMES = [name for name in DISPATCHED if name.rpartition(".")[2] not in WITHOUT_GRADIENTS | WRITING]
