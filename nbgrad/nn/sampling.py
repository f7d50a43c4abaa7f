"""Images at other places than their pixels': other sizes, and grids of places."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from ..arrays import Array
from ..function import constant
from ..kernels import dispatch
from ..kernels.cpu import sampling
from ..ops import elementwise as plain
from ..ops.elementwise import add, elementwise, mul, sub, where
from ..ops.indexing import getitem
from ..ops.joining import stack, take_along_dim
from ..ops.linalg import matmul
from ..ops.places import FEW, At, is_few, moving, summing
from ..ops.reduction import sum
from ..ops.shape import reshape, swapaxes, unsqueeze
from ..variable import Variable, data_of
from .adaptive_pooling import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d
from .by_kernel import ByKernel, have_kernels
from .windows import operand

__all__ = ["affine_grid", "grid_sample", "interpolate", "upsample", "upsample_bilinear", "upsample_nearest"]

# ---- other sizes ----------------------------------------------------------------------------------------------------

#: The modes, with the numbers of dimensions of images that they are for.
_MODES = {
    "nearest": (1, 2, 3),
    "nearest-exact": (1, 2, 3),
    "linear": (1,),
    "bilinear": (2,),
    "trilinear": (3,),
    "bicubic": (2,),
    "lanczos": (2,),
    "area": (1, 2, 3),
}


def interpolate(
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Any:
    """Give images of (samples, channels, ...) in another size, or by a factor.

    `mode` is "nearest", "nearest-exact", "linear", "bilinear", "trilinear" (by dimensions), "bicubic" or "area", which
    are means. With `align_corners` the centres of the corners stay where they are, otherwise their edges do. With
    `recompute_scale_factor` the factor is that of the rounded sizes. `antialias` widens the filters where images become
    smaller ("bilinear", "bicubic", "lanczos").

    Raises ValueError for another mode, and arguments that do not go together.

    >>> import nbgrad
    >>> nbgrad.nn.functional.interpolate(nbgrad.tensor([[[1.0, 3.0]]]), scale_factor=2, mode="linear")
    Variable([[[1. , 1.5, 2.5, 3. ]]])
    """
    work = _moved if mode == "nearest" or mode == "nearest-exact" else _added_up
    return work(input, size, scale_factor, mode, align_corners, recompute_scale_factor, antialias)


def _resized(
    input: Any, size: Any, scale_factor: Any, mode: str, align_corners: Any, recompute_scale_factor: Any, antialias: Any
) -> Any:
    x = operand("interpolate", input)
    dims = x.ndim - 2
    if dims not in _MODES.get(mode, ()):
        raise ValueError(f"interpolate: mode {mode!r} for shape {x.shape}: modes and dimensions are {_MODES}")
    if align_corners is not None and mode in ("nearest", "nearest-exact", "area"):
        raise ValueError(f"interpolate: align_corners is for linear and cubic modes, got {mode!r}")
    if antialias and mode not in ("bilinear", "bicubic", "lanczos"):
        raise ValueError(f"interpolate: antialias is for 'bilinear', 'bicubic' and 'lanczos', got {mode!r}")
    if mode == "lanczos" and (not antialias or align_corners):
        raise ValueError("interpolate: mode 'lanczos' needs antialias, and does not align corners")
    sizes, factors = _sizes(x, size, scale_factor, dims, bool(recompute_scale_factor), mode)
    if 0 in x.shape[1:] or min(sizes) < 1:
        raise ValueError(f"interpolate: from shape {x.shape} to {sizes}: only samples may be none")
    if mode == "area":
        return (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)[dims - 1](x, sizes)
    for axis in range(dims):
        old, new, factor = x.shape[2 + axis], sizes[axis], factors[axis]
        if mode.startswith("nearest"):
            x = _picked(x, 2 + axis, _nearest(old, new, factor, mode))
        elif antialias:
            x = _filtered(x, 2 + axis, new, factor, mode, bool(align_corners))
        else:
            x = _weighed(x, 2 + axis, *_taps(old, new, factor, mode == "bicubic", bool(align_corners), x.dtype))
    return x


_moved, _added_up = moving(_resized), summing(_resized)


@lru_cache(64)
def _nearest(old: int, new: int, factor: float | None, mode: str) -> Array:
    """Give the pixel along a dimension that each new one is."""
    step = old / new if factor is None else 1 / factor
    places = np.floor((np.arange(new) + (0.5 if mode == "nearest-exact" else 0.0)) * np.float32(step))
    return np.minimum(places.astype(np.int64), old - 1)


def _sizes(x: Any, size: Any, factor: Any, dims: int, again: bool, mode: str) -> tuple[list[int], list[float | None]]:
    """Give the sizes, and the factors where these decide which pixels are seen."""
    if (size is None) == (factor is None):
        raise ValueError("interpolate: give size or scale_factor")
    if size is not None:
        given = list(size) if isinstance(size, tuple | list) else [size] * dims
        if len(given) != dims or any([type(n) is not int and not hasattr(n, "__index__") for n in given]):
            raise ValueError(f"interpolate: size is {size} for shape {x.shape}: give one whole number, or {dims}")
        if again:
            raise ValueError("interpolate: recompute_scale_factor is for scale_factor")
        return [int(n) for n in given], [None] * dims
    factors = list(factor) if isinstance(factor, tuple | list) else [factor] * dims
    if len(factors) != dims:
        raise ValueError(f"interpolate: scale_factor is {factor} for shape {x.shape}: give one number, or {dims}")
    sizes = [math.floor(n * f) for n, f in zip(x.shape[2:], factors, strict=True)]
    return sizes, [None] * dims if again or mode == "area" else [float(f) for f in factors]


def _picked(x: Any, axis: int, places: Array) -> Any:
    return getitem(x, (slice(None),) * axis + (dispatch.beside(places, data_of(x)),))


def _weighed(x: Any, axis: int, places: Array, weights: Array) -> Any:
    """Give sums of pixels at places, (taps, new size), times weights."""
    ends = (1,) * (x.ndim - axis - 1)
    total: Any = None
    for where_, weight in zip(places, weights, strict=True):
        factor = dispatch.beside(weight.reshape(-1, *ends), data_of(x))
        if type(x) is Variable:
            factor = constant(factor)
        part = mul(_picked(x, axis, where_), factor)
        total = part if total is None else add(total, part)
    return total


def _step(old: int, new: int, factor: float | None, corners: bool) -> float:
    if corners:
        return (old - 1) / (new - 1) if new > 1 else 0.0
    return 1 / factor if factor else old / new


@lru_cache(64)
def _taps(
    old: int, new: int, factor: float | None, cubic: bool, corners: bool, dtype: np.dtype[Any]
) -> tuple[Array, Array]:
    """Give the pixels that each new one is made of, (taps, new size), and their weights."""
    step = _step(old, new, factor, corners)
    centres = np.arange(new) * step if corners else (np.arange(new) + 0.5) * step - 0.5
    if not cubic:
        centres = np.maximum(centres, 0.0)
    first = np.floor(centres)
    share = centres - first
    low = first.astype(np.int64)
    if not cubic:
        low = np.minimum(low, old - 1)
        return np.stack([low, np.minimum(low + 1, old - 1)]), np.stack([1 - share, share]).astype(dtype)
    weights = np.stack([_cubic(share + 1), _cubic(share), _cubic(1 - share), _cubic(2 - share)])
    return np.clip(np.stack([low - 1, low, low + 1, low + 2]), 0, old - 1), weights.astype(dtype)


def _cubic(t: Any, a: float = -0.75) -> Any:
    """Give the weight of a pixel at a distance t, from 0 to 2 (Keys, 1981)."""
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0.0))


#: The filters of `antialias`, with how far they reach.
_FILTERS: dict[str, tuple[float, Callable[[Any], Any]]] = {
    "bilinear": (1.0, lambda t: np.maximum(1 - t, 0.0)),
    "bicubic": (2.0, lambda t: _cubic(t, -0.5)),
    "lanczos": (3.0, lambda t: np.where(t < 3, np.sinc(t) * np.sinc(t / 3), 0.0)),
}


def _filtered(x: Any, axis: int, new: int, factor: float | None, mode: str, corners: bool) -> Any:
    """Give means by a filter that is as wide as a new pixel, at least as an old one: a product with its weights."""
    old = x.shape[axis]
    step = _step(old, new, factor, corners)
    reach, kernel = _FILTERS[mode]
    wide = max(step, 1.0)
    weights = np.zeros((old, new))
    for place in range(new):
        centre = step * (place + 0.5)
        begin, end = max(int(centre - reach * wide + 0.5), 0), min(int(centre + reach * wide + 0.5), old)
        values = kernel(np.abs(np.arange(begin, end) - centre + 0.5) / wide)
        weights[begin:end, place] = values / values.sum()
    beside = dispatch.beside(weights.astype(x.dtype), data_of(x))
    return swapaxes(matmul(swapaxes(x, axis, -1), beside), axis, -1)


def upsample(
    input: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None
) -> Any:
    """Give `interpolate`."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """Give `interpolate` of mode "nearest"."""
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input: Any, size: Any = None, scale_factor: Any = None) -> Any:
    """Give `interpolate` of mode "bilinear" with aligned corners."""
    return interpolate(input, size, scale_factor, "bilinear", True)


# ---- grids of places ------------------------------------------------------------------------------------------------


@summing
def affine_grid(theta: Any, size: Sequence[int], align_corners: bool | None = None) -> Any:
    """Give the places that affine maps send the pixels of (samples, channels, height, width) to, or of volumes.

    theta has the shape (samples, 2, 3), or (samples, 3, 4) for five numbers in `size`; places, from -1 to 1, come as
    (samples, height, width, 2), the last coordinate first. Raises ValueError for other shapes.
    """
    t = operand("affine_grid", theta)
    dims = len(size) - 2
    if dims not in (2, 3) or t.shape != (size[0], dims, dims + 1) or min(size) < 1:
        raise ValueError(f"affine_grid: theta has shape {t.shape} for images of {tuple(size)}: see (samples, 2, 3)")
    along = []
    for count in size[2:]:
        line = np.linspace(-1, 1, count) if count > 1 else np.zeros(1)
        along.append(line if align_corners else line * (count - 1) / count)
    places = np.stack([*np.meshgrid(*along, indexing="ij")[::-1], np.ones(size[2:])], -1).astype(t.dtype)
    flat = dispatch.beside(places.reshape(1, -1, dims + 1), data_of(t))
    return reshape(matmul(flat, swapaxes(t, 1, 2)), size[0], *size[2:], dims)


def grid_sample(
    input: Any, grid: Any, mode: str = "bilinear", padding_mode: str = "zeros", align_corners: bool | None = None
) -> Any:
    """Give images at places of a grid: (samples, channels, *grid).

    Input has the shape (samples, channels, height, width), grid (samples, rows, columns, 2), from -1 to 1, the last
    coordinate first; or both one dimension more. `mode` is "bilinear", "nearest" or "bicubic"; outside are zeros, or
    what `padding_mode` "border" or "reflection" says. With `align_corners` -1 and 1 are the centres of the corners'
    pixels, otherwise their edges.

    Raises ValueError for other shapes and modes.
    """
    x, g = operand("grid_sample", input), operand("grid_sample", grid)
    dims = x.ndim - 2
    if dims not in (2, 3) or g.ndim != x.ndim or g.shape[-1] != dims or g.shape[0] != x.shape[0] or 0 in x.shape[2:]:
        raise ValueError(
            f"grid_sample: input has shape {x.shape}, grid {g.shape}: they are (samples, channels, height, width) and "
            "(samples, rows, columns, 2), or with one dimension more"
        )
    if mode not in ("bilinear", "nearest", "bicubic") or (mode == "bicubic" and dims == 3):
        raise ValueError(
            f"grid_sample: mode is {mode!r} for {dims} dimensions: give 'bilinear', 'nearest' or 'bicubic'"
        )
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(f"grid_sample: padding_mode is {padding_mode!r}: give 'zeros', 'border' or 'reflection'")
    corners = bool(align_corners)
    if dims == 2 and mode == "bilinear" and padding_mode != "reflection" and g.size and have_kernels(x, g):
        return GridSample(padding_mode == "border", corners)(x, g)
    return _grid_sample(x, g, mode, padding_mode, corners)


def _grid_sample(x: Any, g: Any, mode: str, padding_mode: str, corners: bool) -> Any:
    """Give `grid_sample`, composed."""
    dims = x.ndim - 2
    # places along each dimension, in pixels
    along = []
    for axis, size in enumerate(x.shape[2:]):
        place = getitem(g, (..., dims - 1 - axis))
        place = mul(add(place, 1.0), (size - 1) / 2) if corners else sub(mul(add(place, 1.0), size / 2), 0.5)
        along.append(place if mode == "bicubic" else _brought_in(place, size, padding_mode, corners))
    return _mixed(x, along, mode, padding_mode, corners)


class GridSample(ByKernel):
    """`grid_sample` of images of two dimensions, bilinear, with zeros outside or what is at the border."""

    __slots__ = ("border", "corners")
    arity = 2

    def __init__(self, border: bool, corners: bool) -> None:
        self.border, self.corners = border, corners

    def forward(self, *xs: Array) -> Array:
        x, grid = xs
        y = sampling.bilinear(x, grid.reshape(len(grid), -1, 2), self.border, self.corners)
        return y.reshape(x.shape[:2] + grid.shape[1:3])

    def slopes(self, gy: Array, *xs: Array) -> tuple[Array, Array]:
        x, grid = xs
        flat = gy.reshape(*gy.shape[:2], -1), x, grid.reshape(len(grid), -1, 2)
        gx, gg = sampling.bilinear_slopes(*flat, self.border, self.corners)
        return gx, gg.reshape(grid.shape)

    def composed(self, *xs: Any) -> Any:
        x, grid = xs
        return _grid_sample(x, grid, "bilinear", "border" if self.border else "zeros", self.corners)


def _brought_in(place: Any, size: int, padding_mode: str, corners: bool) -> Any:
    """Give places with those outside brought in, as the mode says: lines of slope 1, -1 or 0."""
    if padding_mode == "zeros":
        return place
    data = data_of(place)
    there, slope = data, 1.0
    if padding_mode == "reflection":
        low, width = (0.0, size - 1.0) if corners else (-0.5, float(size))
        if not width:
            return mul(place, 0.0)
        distance = plain.abs(sub(data, low))
        odd = plain.ne(plain.remainder(plain.floor_divide(distance, width), 2.0), 0.0)
        rest = plain.remainder(distance, width)
        there = add(plain.where(odd, sub(width, rest), rest), low)
        slope = mul(plain.where(odd, -1.0, 1.0), plain.where(plain.lt(data, low), -1.0, 1.0)).astype(data.dtype)
    held = plain.clamp(there, 0.0, size - 1.0)
    slope = plain.where(plain.logical_and(plain.gt(there, 0.0), plain.lt(there, size - 1.0)), slope, 0.0)
    slope = slope.astype(data.dtype)
    return add(mul(place, slope), sub(held, mul(data, slope)))


def _floor(x: Any) -> Any:
    """Give the whole numbers below, without a gradient, as numbers and as what else counts with them."""
    data = data_of(x)
    return plain.floor_divide(data, data.dtype.type(1))


def _mixed(x: Any, along: list[Any], mode: str, padding_mode: str, corners: bool) -> Any:
    """Give sums of the pixels around places, times weights: products of one for each dimension."""
    if mode == "bilinear" and is_few(x) and all([is_few(place) for place in along]):
        if 2 ** len(along) * along[0].size * x.shape[1] <= FEW:
            return _mixed_at_once(x, along)
    taps: list[list[tuple[Any, Any]]] = []
    for place in along:
        if mode == "nearest":
            data = data_of(place)
            whole = plain.floor_divide(data + data.dtype.type(0.5), data.dtype.type(1))
            # halves to the even one
            tie = plain.logical_and(plain.eq(plain.sub(whole, data), 0.5), plain.eq(plain.remainder(whole, 2.0), 1.0))
            taps.append([(plain.where(tie, whole - 1, whole), None)])
            continue
        first = _floor(place)
        share = sub(place, first)
        if mode == "bilinear":
            taps.append([(first, sub(1.0, share)), (first + 1, share)])
        else:
            taps.append([(first + i - 1, _keys(share, i)) for i in range(4)])
    total: Any = None
    images = reshape(x, *x.shape[:2], math.prod(x.shape[2:]))
    for chosen in _choices(taps):
        flat: Any = 0
        inside: Any = None
        weight: Any = None
        for (where_, share), size in zip(chosen, x.shape[2:], strict=True):
            if mode == "bicubic":
                where_ = data_of(_brought_in(where_, size, padding_mode, corners))
            there = plain.logical_and(plain.ge(where_, 0.0), plain.le(where_, size - 1.0))
            inside = there if inside is None else plain.logical_and(inside, there)
            flat = flat * size + plain.clamp(where_, 0.0, size - 1.0)
            if share is not None:
                weight = share if weight is None else mul(weight, share)
        places = plain.where(inside, flat, 0.0).astype(np.int64)
        rows = places.reshape(x.shape[0], 1, math.prod(places.shape[1:]))
        seen = reshape(take_along_dim(images, rows, 2), *x.shape[:2], *places.shape[1:])
        factor = inside.astype(x.dtype) if weight is None else mul(weight, inside.astype(x.dtype))
        part = mul(seen, unsqueeze(factor, 1))
        total = part if total is None else add(total, part)
    return total


def _mixed_at_once(x: Variable, along: list[Variable]) -> Any:
    """Do so for few, of two pixels along each dimension: all are picked by one list of places."""
    flat: Any = np.zeros((), np.int64)
    inside: Any = None
    weight: Any = None
    for place, size in zip(along, x.shape[2:], strict=True):
        data = place._array
        first = np.floor(data)
        share = sub(place, constant(first))
        both = stack([sub(1.0, share), share])
        weight = both if weight is None else mul(unsqueeze(weight, 1), both)
        weight = weight if weight is both else reshape(weight, -1, *weight.shape[2:])
        there = np.stack([first, first + 1])
        within = (there >= 0) & (there <= size - 1)
        here = np.where(within, there, 0.0).astype(np.int64)  # NaN is nowhere
        flat = here if inside is None else (flat[:, None] * size + here).reshape(-1, *data.shape)
        inside = within if inside is None else (inside[:, None] & within).reshape(-1, *data.shape)
    samples, channels = x.shape[:2]
    begins = np.arange(samples * channels).reshape(samples, channels, *(1,) * len(along)) * math.prod(x.shape[2:])
    places = np.where(inside[:, :, None], flat[:, :, None] + begins, -1)
    weight = where(constant(inside), weight, 0.0)  # what is nowhere counts for nothing, however far it is
    return sum(mul(At.apply(x, places), unsqueeze(weight, 2)), 0)


def _choices(taps: list[list[Any]]) -> list[list[Any]]:
    chosen: list[list[Any]] = [[]]
    for each in taps:
        chosen = [[*before, tap] for before in chosen for tap in each]
    return chosen


def _keys(share: Any, tap: int) -> Any:
    """Give the weight of one of four pixels around a place, which is a share beyond the second."""
    sign, shift = ((1.0, 1.0), (1.0, 0.0), (-1.0, 1.0), (-1.0, 2.0))[tap]
    return (_near if tap in (1, 2) else _far)(share, sign, shift)


_A = -0.75
_near = elementwise(
    lambda s, sign, shift: ((_A + 2) * (sign * s + shift) - (_A + 3)) * (sign * s + shift) * (sign * s + shift) + 1,
    name="cubic_near",
)
_far = elementwise(
    lambda s, sign, shift: (
        ((_A * (sign * s + shift) - 5 * _A) * (sign * s + shift) + 8 * _A) * (sign * s + shift) - 4 * _A
    ),
    name="cubic_far",
)
