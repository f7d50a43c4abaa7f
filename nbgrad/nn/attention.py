"""Attention: means of values, weighed by how well keys fit queries."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from ..arrays import Array
from ..function import Operation
from ..kernels import dispatch
from ..ops.elementwise import add, logical_not, logical_or, mul, where
from ..ops.joining import cat
from ..ops.linalg import matmul
from ..ops.reduction import Softmax, SoftmaxVjp, mean, softmax
from ..ops.shape import expand, permute, reshape, swapaxes, unsqueeze
from ..ops.slicing import chunk
from ..ops.statistics import any as any_true
from ..variable import Variable, data_of
from .dropout import dropout
from .linear import linear
from .padding import pad
from .windows import any_operand, operand

__all__ = ["multi_head_attention_forward", "scaled_dot_product_attention"]


class Attention(Operation):
    """softmax(query @ key.T * factor) @ value of as many matrices each, as one node; if causal, of no later sources."""

    __slots__ = ("causal", "factor", "weights")
    arity = 3

    def __init__(self, factor: float, causal: bool) -> None:
        self.factor, self.causal = factor, causal

    def forward(self, query: Array, key: Array, value: Array) -> Array:
        with np.errstate(all="ignore"):  # infinities and NaN are as silent as everywhere
            if not _are_many(query, key):
                self.weights, y = self._attended(query, key, value)
                return y
            self.weights = np.empty((*query.shape[:-1], key.shape[-2]), query.dtype)
            y = np.empty((*query.shape[:-1], value.shape[-1]), query.dtype)
            for place in np.ndindex(*query.shape[:-2]):
                self.weights[place], y[place] = self._attended(query[place], key[place], value[place])
            return y

    def _attended(self, query: Array, key: Array, value: Array) -> tuple[Array, Array]:
        scores = np.matmul(query * self.factor, key.swapaxes(-1, -2))
        if self.causal:
            np.copyto(scores, -np.inf, where=_later(*scores.shape[-2:]))
        weights = Softmax.apply(scores, scores.ndim - 1)
        return weights, np.matmul(weights, value)

    def _slopes(self, gy: Array, weights: Array, query: Array, key: Array, value: Array) -> tuple[Array | None, ...]:
        gq = gk = gv = None
        if self.needs(2):
            gv = np.matmul(weights.swapaxes(-1, -2), gy)
        if self.needs(0) or self.needs(1):
            slope = SoftmaxVjp.apply(np.matmul(gy, value.swapaxes(-1, -2)), weights, query.ndim - 1)
            if self.needs(0):
                gq = np.matmul(slope, key)
                gq *= self.factor
            if self.needs(1):
                gk = np.matmul(slope.swapaxes(-1, -2), query)
                gk *= self.factor
        return gq, gk, gv

    def vjp(self, gy: Any, y: Any, query: Any, key: Any, value: Any) -> Any:
        if type(gy) is type(query) is type(key) is type(value) is np.ndarray:
            arrays = gy, self.weights, query, key, value
            with np.errstate(all="ignore"):
                if not _are_many(query, key):
                    return self._slopes(*arrays)
                found = [np.empty(x.shape, x.dtype) if self.needs(i) else None for i, x in enumerate(arrays[2:])]
                for place in np.ndindex(*query.shape[:-2]):
                    for whole, part in zip(found, self._slopes(*[x[place] for x in arrays]), strict=True):
                        if whole is not None:
                            whole[place] = part
                return tuple(found)
        axis = query.ndim - 1
        scores = matmul(mul(query, self.factor), swapaxes(key, -1, -2))
        if self.causal:
            scores = where(_later(*scores.shape[-2:]), -np.inf, scores)
        weights = softmax(scores, axis)
        slope = mul(SoftmaxVjp.apply(matmul(gy, swapaxes(value, -1, -2)), weights, axis), self.factor)
        gq = matmul(slope, key) if self.needs(0) else None
        gk = matmul(swapaxes(slope, -1, -2), query) if self.needs(1) else None
        gv = matmul(swapaxes(weights, -1, -2), gy) if self.needs(2) else None
        return gq, gk, gv


#: Bytes of weights from which matrices are taken one after the other, each through all steps while it is in the caches.
_MANY = 1 << 20


def _are_many(query: Array, key: Array) -> bool:
    count = query[..., 0].size * key.shape[-2]
    return query.ndim > 2 and count * query.itemsize > _MANY


@lru_cache(16)
def _later(targets: int, sources: int) -> Array:
    """Tell which sources come later than each target."""
    return np.triu(np.ones((targets, sources), np.bool_), 1)


def _are_alike(query: Any, key: Any, value: Any) -> bool:
    """Tell whether these are NumPy's floats of one dtype, as many matrices each, that fit each other."""
    q, k, v = arrays = [x._array if type(x) is Variable else x for x in (query, key, value)]
    if not type(q) is type(k) is type(v) is np.ndarray or not q.dtype == k.dtype == v.dtype or q.ndim < 2:
        return False
    stack, width, sources = q.shape[:-2], q.shape[-1:], k.shape[-2:-1]
    fit = q.dtype.char in "fd" and k.shape == (*stack, *sources, *width) and v.shape[:-1] == (*stack, *sources)
    return fit and all([a.size for a in arrays])


def scaled_dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """Give ``softmax(query @ key.T * scale + mask) @ value``: (..., targets, width of value).

    query has the shape (..., targets, width), key (..., sources, width), value (..., sources, width of value); `scale`
    is ``1 / sqrt(width)`` unless given. A mask of dtype bool tells what counts, a floating one is added; with
    `is_causal` targets see no later sources. A target that sees nothing gets zeros. `dropout_p` leaves weights out.
    With `enable_gqa` several heads of the query, in the third dimension from the end, share one of key and value.

    Raises ValueError for shapes that do not match, and for a mask besides `is_causal`.
    """
    plain = attn_mask is None and not dropout_p and not enable_gqa
    if plain and (scale is None or isinstance(scale, int | float)) and _are_alike(query, key, value):
        factor = 1 / math.sqrt(query.shape[-1]) if scale is None else float(scale)
        return Attention(factor, is_causal)(query, key, value)
    what = "scaled_dot_product_attention"
    q, k, v = operand(what, query), operand(what, key), operand(what, value)
    if min(q.ndim, k.ndim, v.ndim) < 2 or q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ValueError(
            f"{what}: query, key and value have shapes {q.shape}, {k.shape} and {v.shape}: they are (..., targets, "
            "width), (..., sources, width) and (..., sources, width of value)"
        )
    if not q.dtype == k.dtype == v.dtype:
        raise TypeError(f"{what}: query, key and value have dtypes {q.dtype}, {k.dtype} and {v.dtype}: give one")
    if is_causal and attn_mask is not None:
        raise ValueError(f"{what}: give a mask or is_causal, not both")
    if enable_gqa:
        k, v = (_repeated(what, x, q) for x in (k, v))
    factor = 1 / math.sqrt(q.shape[-1] or 1) if scale is None else scale
    scores = matmul(mul(q, factor), swapaxes(k, -1, -2))
    if is_causal:
        attn_mask = dispatch.beside(np.tri(q.shape[-2], k.shape[-2], dtype=np.bool_), data_of(q))
    nothing: Any = None
    if attn_mask is not None:
        mask = any_operand(what, attn_mask)
        if mask.dtype == np.bool_:
            # where nothing is seen, all of it is, and then counts for nothing: infinities alone would make NaN
            nothing = None if is_causal else logical_not(any_true(mask, -1, True))
            scores = where(mask if nothing is None else logical_or(mask, nothing), scores, -np.inf)
        else:
            scores = add(scores, mask)
    weights = softmax(scores, -1)
    if nothing is not None:
        weights = where(nothing, 0.0, weights)
    if dropout_p:
        weights = dropout(weights, dropout_p)
    return matmul(weights, v)


def _repeated(what: str, x: Any, query: Any) -> Any:
    """Give key or value with as many heads as the query has."""
    if x.ndim < 3 or query.ndim < 3 or query.shape[-3] % x.shape[-3]:
        raise ValueError(
            f"{what}: {query.shape} has heads in the third dimension from the end, which {x.shape} must divide"
        )
    times = query.shape[-3] // x.shape[-3]
    if times == 1:
        return x
    wide = expand(unsqueeze(x, -3), *x.shape[:-2], times, *x.shape[-2:])
    return reshape(wide, *x.shape[:-3], x.shape[-3] * times, *x.shape[-2:])


def multi_head_attention_forward(
    query: Any,
    key: Any,
    value: Any,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Any,
    in_proj_bias: Any,
    bias_k: Any,
    bias_v: Any,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Any,
    out_proj_bias: Any,
    training: bool = True,
    key_padding_mask: Any = None,
    need_weights: bool = True,
    attn_mask: Any = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Any = None,
    k_proj_weight: Any = None,
    v_proj_weight: Any = None,
    static_k: Any = None,
    static_v: Any = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Any, Any]:
    """Give the attention of several heads between projections, projected back, and the weights or None.

    query has the shape (targets, samples, width), key and value (sources, samples, width), or all are without samples;
    in_proj_weight has the three projections one below the other, or each has its own weight. `bias_k` and `bias_v` are
    a further source, `add_zero_attn` one of zeros. Masks of dtype bool tell what does not count (as torch has it here),
    floating ones are added; key_padding_mask has the shape (samples, sources), attn_mask (targets, sources) or
    (samples * heads, targets, sources). Weights are the heads' mean unless told otherwise.

    Raises ValueError for shapes that do not match.
    """
    what = "multi_head_attention_forward"
    q, k, v = operand(what, query), operand(what, key), operand(what, value)
    alone = q.ndim == 2
    if q.ndim not in (2, 3) or not q.ndim == k.ndim == v.ndim:
        raise ValueError(
            f"{what}: query, key and value have shapes {q.shape}, {k.shape} and {v.shape}: see (length, samples, width)"
        )
    if alone:
        q, k, v = unsqueeze(q, 1), unsqueeze(k, 1), unsqueeze(v, 1)
        key_padding_mask = None if key_padding_mask is None else unsqueeze(key_padding_mask, 0)
    targets, samples, width = q.shape
    if width != embed_dim_to_check or width % num_heads:
        raise ValueError(f"{what}: query of {width} features, for {embed_dim_to_check}, in {num_heads} heads")
    if is_causal and attn_mask is None:
        raise ValueError(f"{what}: is_causal is a hint about attn_mask, which is missing")
    q, k, v = _projected(
        what,
        (q, k, v),
        in_proj_weight,
        in_proj_bias,
        use_separate_proj_weight,
        (q_proj_weight, k_proj_weight, v_proj_weight),
    )
    further = 0
    if bias_k is not None and bias_v is not None:
        k, v = (cat([x, expand(b, 1, samples, width)]) for x, b in ((k, bias_k), (v, bias_v)))
        further += 1
    head = width // num_heads
    q = _heads(q, samples, num_heads, head)
    k = _heads(k, samples, num_heads, head) if static_k is None else reshape(static_k, samples, num_heads, -1, head)
    v = _heads(v, samples, num_heads, head) if static_v is None else reshape(static_v, samples, num_heads, -1, head)
    if add_zero_attn:
        k, v = (pad(x, (0, 0, 0, 1)) for x in (k, v))
        further += 1
    sources = k.shape[2]
    mask = None
    if attn_mask is not None:
        mask = _added(what, attn_mask, q, further)
        mask = mask if mask.ndim == 2 else reshape(mask, samples, num_heads, targets, sources)
    if key_padding_mask is not None:
        padding = _added(what, key_padding_mask, q, further)
        if padding.shape != (samples, sources):
            raise ValueError(f"{what}: key_padding_mask has shape {key_padding_mask.shape}: it is (samples, sources)")
        padding = reshape(padding, samples, 1, 1, sources)
        mask = padding if mask is None else add(mask, padding)
    probability = dropout_p if training else 0.0
    weights = None
    if need_weights:
        scores = matmul(mul(q, 1 / math.sqrt(head)), swapaxes(k, -1, -2))
        weights = softmax(scores if mask is None else add(scores, mask), -1)
        weights = dropout(weights, probability) if probability else weights
        found = matmul(weights, v)
    else:
        found = scaled_dot_product_attention(q, k, v, mask, probability)
    rows = reshape(permute(found, 2, 0, 1, 3), targets * samples, width)
    y = linear(rows, out_proj_weight, out_proj_bias)
    y = reshape(y, targets, samples, y.shape[1])
    if weights is not None and average_attn_weights:
        weights = mean(weights, 1)
    if alone:
        y = reshape(y, targets, y.shape[2])
        weights = None if weights is None else reshape(weights, *weights.shape[1:])
    return y, weights


def _projected(
    what: str, inputs: tuple[Any, ...], weight: Any, bias: Any, separate: bool, weights: tuple[Any, ...]
) -> tuple[Any, ...]:
    """Give query, key and value after their projections."""
    if not separate:
        if weight is None or weight.shape[0] != 3 * inputs[0].shape[-1]:
            raise ValueError(f"{what}: in_proj_weight must have the three projections one below the other")
        weights = chunk(weight, 3)
    elif None in weights:
        raise ValueError(f"{what}: use_separate_proj_weight needs q_proj_weight, k_proj_weight and v_proj_weight")
    biases = (None, None, None) if bias is None else chunk(bias, 3)
    return tuple([linear(x, w, b) for x, w, b in zip(inputs, weights, biases, strict=True)])


def _heads(x: Any, samples: int, heads: int, width: int) -> Any:
    """Give (length, samples, heads * width) as (samples, heads, length, width)."""
    return permute(reshape(x, x.shape[0], samples, heads, width), 1, 2, 0, 3)


def _added(what: str, mask: Any, like: Any, further: int) -> Any:
    """Give a mask as numbers to add: minus infinity for what does not count, of which further sources are none."""
    mask = any_operand(what, mask)
    if mask.dtype == np.bool_:
        mask = mul(where(mask, -np.inf, 0.0), 1.0).astype(like.dtype)
    elif mask.dtype.kind != "f":
        raise TypeError(f"{what}: a mask has dtype {mask.dtype}: it is bool or floating")
    return pad(mask, (0, further)) if further else mask
