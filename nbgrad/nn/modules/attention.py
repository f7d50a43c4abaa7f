"""Attention, and the layers of transformers."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np

from ...arrays import as_array
from ...ops.creation import empty, zeros
from ...ops.elementwise import where
from ...ops.joining import cat
from ...variable import Variable
from .. import functional, init
from ..parameter import Parameter
from .containers import ModuleList
from .linear import Dropout, Linear
from .module import Module
from .normalisation import LayerNorm


def _data(mask: Any) -> Any:
    return mask if isinstance(mask, Variable) else as_array(mask)


def _masked(scores: Any, mask: Any) -> Any:
    """Add a mask of numbers to scores, or have those that are True count for nothing."""
    if mask.dtype == np.bool_:
        return where(mask, -math.inf, scores)
    return scores + mask


class MultiheadAttention(Module):
    """Softmax of products of queries and keys, by which values are added up; several heads, side by side.

    Inputs have the shape (steps, batch, features), (batch, steps, features) with `batch_first`, or no batch. Gives the
    output, and with `need_weights` the weights: their mean over the heads, or each head's.
    """

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if embed_dim <= 0 or num_heads <= 0 or embed_dim % num_heads:
            raise ValueError(f"MultiheadAttention: embed_dim {embed_dim} is no multiple of num_heads {num_heads}")
        self.embed_dim, self.num_heads, self.head_dim, self.dropout = (
            embed_dim,
            num_heads,
            embed_dim // num_heads,
            dropout,
        )
        self.kdim, self.vdim, self.batch_first = kdim or embed_dim, vdim or embed_dim, batch_first
        self.add_zero_attn = add_zero_attn
        self._together = self.kdim == self.vdim == embed_dim
        options: Any = {"device": device, "dtype": dtype}

        def parameter(name: str, wanted: bool, *shape: int) -> None:
            self.register_parameter(name, Parameter(empty(*shape, **options)) if wanted else None)

        parameter("in_proj_weight", self._together, 3 * embed_dim, embed_dim)
        parameter("q_proj_weight", not self._together, embed_dim, embed_dim)
        parameter("k_proj_weight", not self._together, embed_dim, self.kdim)
        parameter("v_proj_weight", not self._together, embed_dim, self.vdim)
        parameter("in_proj_bias", bias, 3 * embed_dim)
        self.out_proj = Linear(embed_dim, embed_dim, bias=bias, **options)
        parameter("bias_k", add_bias_kv, 1, 1, embed_dim)
        parameter("bias_v", add_bias_kv, 1, 1, embed_dim)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        for weight in (self.in_proj_weight, self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
            if weight is not None:
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.zeros_(self.in_proj_bias)
            init.zeros_(self.out_proj.bias)
        for bias in (self.bias_k, self.bias_v):
            if bias is not None:
                init.xavier_normal_(bias)

    def _projected(self, query: Any, key: Any, value: Any) -> list[Any]:
        size, bias = self.embed_dim, self.in_proj_bias
        if query is key and key is value and self._together:
            all_three = functional.linear(query, self.in_proj_weight, bias)
            return [all_three[..., k * size : (k + 1) * size] for k in range(3)]
        weights = (
            [self.in_proj_weight[k * size : (k + 1) * size] for k in range(3)]
            if self._together
            else [self.q_proj_weight, self.k_proj_weight, self.v_proj_weight]
        )
        biases = [None if bias is None else bias[k * size : (k + 1) * size] for k in range(3)]
        return [functional.linear(*each) for each in zip((query, key, value), weights, biases, strict=True)]

    def forward(
        self,
        query: Any,
        key: Any,
        value: Any,
        key_padding_mask: Any = None,
        need_weights: bool = True,
        attn_mask: Any = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Any, Any]:
        """Attend; True in a mask says that a key does not count, numbers are added to the scores.

        Raises ValueError for shapes that do not fit, and for `is_causal` without its mask.
        """
        if is_causal and attn_mask is None:
            raise ValueError("MultiheadAttention: is_causal is a hint, and needs attn_mask besides")
        alone = query.ndim == 2
        if query.ndim not in (2, 3) or key.ndim != query.ndim or value.ndim != query.ndim:
            raise ValueError(
                f"MultiheadAttention: query, key and value have 2 or 3 dimensions, all as many: {query.shape}, "
                f"{key.shape}, {value.shape}"
            )
        self._check_sizes(query.shape, key.shape, value.shape, alone)
        q, k, v = self._projected(query, key, value)
        if alone:
            q, k, v = q[None], k[None], v[None]
        elif not self.batch_first:
            q, k, v = q.swapaxes(0, 1), k.swapaxes(0, 1), v.swapaxes(0, 1)
        batch, targets = q.shape[:2]
        added = 0
        if self.bias_k is not None:
            shape = (batch, 1, self.embed_dim)
            k = cat([k, self.bias_k.broadcast_to(shape)], 1)
            v = cat([v, self.bias_v.broadcast_to(shape)], 1)
            added += 1
        if self.add_zero_attn:
            device: Any = getattr(q, "device", None)
            nothing = zeros(batch, 1, self.embed_dim, dtype=q.dtype, device=device)
            k, v = cat([k, nothing], 1), cat([v, nothing], 1)
            added += 1
        heads = [x.reshape((batch, x.shape[1], self.num_heads, self.head_dim)).swapaxes(1, 2) for x in (q, k, v)]
        scores = (heads[0] * (1 / math.sqrt(self.head_dim))) @ heads[1].swapaxes(2, 3)
        scores = self._with_masks(scores, attn_mask, key_padding_mask, added, alone)
        weights = functional.softmax(scores, -1)
        if self.dropout and self.training:
            weights = functional.dropout(weights, self.dropout, True)
        y = (weights @ heads[2]).swapaxes(1, 2).reshape((batch, targets, self.embed_dim))
        y = self.out_proj(y)
        shown: Any = None
        if need_weights:
            shown = weights.mean(1) if average_attn_weights else weights
            shown = shown[0] if alone else shown
        if alone:
            return y[0], shown
        return y if self.batch_first else y.swapaxes(0, 1), shown

    def _check_sizes(self, query: Any, key: Any, value: Any, alone: bool) -> None:
        along = 0 if alone or not self.batch_first else 1
        wanted = self.embed_dim, self.kdim, self.vdim
        batches = 0 if alone else len({shape[1 - along] for shape in (query, key, value)}) - 1
        if (query[-1], key[-1], value[-1]) != wanted or key[along] != value[along] or batches:
            raise ValueError(
                f"MultiheadAttention: query, key and value have {wanted} features, key and value as many steps, and "
                f"all one batch: {query}, {key}, {value}, batch_first={self.batch_first}"
            )

    def _with_masks(self, scores: Any, attn_mask: Any, key_padding_mask: Any, added: int, alone: bool) -> Any:
        batch, heads, targets, sources = scores.shape
        if attn_mask is not None:
            mask = _data(attn_mask)
            if mask.shape == (batch * heads, targets, sources - added):
                mask = mask.reshape((batch, heads, targets, sources - added))
            elif mask.shape != (targets, sources - added):
                raise ValueError(
                    f"MultiheadAttention: attn_mask has shape {mask.shape}, not {(targets, sources - added)} or "
                    f"{(batch * heads, targets, sources - added)}"
                )
            scores = _masked(scores, _with_more(mask, added))
        if key_padding_mask is not None:
            mask = _data(key_padding_mask)
            mask = mask[None] if alone else mask
            if mask.shape != (batch, sources - added):
                raise ValueError(
                    f"MultiheadAttention: key_padding_mask has shape {mask.shape}, not {(batch, sources - added)}"
                )
            scores = _masked(scores, _with_more(mask, added)[:, None, None, :])
        return scores


def _with_more(mask: Any, added: int) -> Any:
    """Give a mask with keys at the end that count."""
    if not added:
        return mask
    more = np.zeros((*mask.shape[:-1], added), mask.dtype)
    return cat([mask, more], -1) if isinstance(mask, Variable) else np.concatenate([mask, more], -1)


def _activation(name: Any) -> Any:
    if callable(name):
        return name
    if name not in ("relu", "gelu"):
        raise RuntimeError(f"activation is 'relu', 'gelu' or a function, not {name!r}")
    return getattr(functional, name)


class _TransformerLayer(Module):
    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        options: Any = {"device": device, "dtype": dtype}
        attention: Any = {"dropout": dropout, "bias": bias, "batch_first": batch_first, **options}
        self.self_attn = MultiheadAttention(d_model, nhead, **attention)
        if self.crosses:
            self.multihead_attn = MultiheadAttention(d_model, nhead, **attention)
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, **options)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, **options)
        self.norm_first = norm_first
        count = 3 if self.crosses else 2
        for number in range(1, count + 1):
            setattr(self, f"norm{number}", LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **options))
        for number in range(1, count + 1):
            setattr(self, f"dropout{number}", Dropout(dropout))
        self.activation = _activation(activation)

    crosses = False

    def _attended(self, attention: Any, x: Any, memory: Any, masks: tuple[Any, Any, bool], drop: Any) -> Any:
        mask, padding, is_causal = masks
        options = {"attn_mask": mask, "key_padding_mask": padding, "is_causal": is_causal}
        return drop(attention(x, memory, memory, need_weights=False, **options)[0])

    def _fed_forward(self, x: Any, drop: Any) -> Any:
        return drop(self.linear2(self.dropout(self.activation(self.linear1(x)))))

    def _around(self, norm: Any, x: Any, part: Any) -> Any:
        """Add what a part of the layer gives, normalised before or after."""
        return x + part(norm(x)) if self.norm_first else norm(x + part(x))


class TransformerEncoderLayer(_TransformerLayer):
    """Attention among the inputs, then two linear maps with an activation between, each added and normalised."""

    def forward(self, src: Any, src_mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool = False) -> Any:
        """Run the layer."""

        def attend(x: Any) -> Any:
            return self._attended(self.self_attn, x, x, (src_mask, src_key_padding_mask, is_causal), self.dropout1)

        x = self._around(self.norm1, src, attend)
        return self._around(self.norm2, x, lambda x: self._fed_forward(x, self.dropout2))


class TransformerDecoderLayer(_TransformerLayer):
    """Attention among the targets, then to the memory, then two linear maps, each added and normalised."""

    crosses = True

    def forward(
        self,
        tgt: Any,
        memory: Any,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool = False,
        memory_is_causal: bool = False,
    ) -> Any:
        """Run the layer."""

        def attend(x: Any) -> Any:
            return self._attended(self.self_attn, x, x, (tgt_mask, tgt_key_padding_mask, tgt_is_causal), self.dropout1)

        def look(x: Any) -> Any:
            masks = memory_mask, memory_key_padding_mask, memory_is_causal
            return self._attended(self.multihead_attn, x, memory, masks, self.dropout2)

        x = self._around(self.norm1, tgt, attend)
        x = self._around(self.norm2, x, look)
        return self._around(self.norm3, x, lambda x: self._fed_forward(x, self.dropout3))


class TransformerEncoder(Module):
    """Copies of an encoder layer, one after the other."""

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Any = None,
        enable_nested_tensor: bool = True,
        mask_check: bool = True,
    ) -> None:
        super().__init__()
        self.layers = ModuleList([copy.deepcopy(encoder_layer) for _ in range(num_layers)])
        self.num_layers, self.norm = num_layers, norm

    def forward(
        self, src: Any, mask: Any = None, src_key_padding_mask: Any = None, is_causal: bool | None = None
    ) -> Any:
        """Run the layers."""
        for layer in self.layers:
            src = layer(src, mask, src_key_padding_mask, bool(is_causal))
        return src if self.norm is None else self.norm(src)


class TransformerDecoder(Module):
    """Copies of a decoder layer, one after the other."""

    def __init__(self, decoder_layer: Module, num_layers: int, norm: Any = None) -> None:
        super().__init__()
        self.layers = ModuleList([copy.deepcopy(decoder_layer) for _ in range(num_layers)])
        self.num_layers, self.norm = num_layers, norm

    def forward(
        self,
        tgt: Any,
        memory: Any,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Any:
        """Run the layers."""
        masks = tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask
        for layer in self.layers:
            tgt = layer(tgt, memory, *masks, bool(tgt_is_causal), memory_is_causal)
        return tgt if self.norm is None else self.norm(tgt)


class Transformer(Module):
    """An encoder and a decoder."""

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = "relu",
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        shared = dim_feedforward, dropout, activation, layer_norm_eps, batch_first, norm_first, bias, device, dtype
        norm: Any = {"eps": layer_norm_eps, "bias": bias, "device": device, "dtype": dtype}
        encoding, decoding = (
            TransformerEncoderLayer(d_model, nhead, *shared),
            TransformerDecoderLayer(d_model, nhead, *shared),
        )
        self.encoder = TransformerEncoder(encoding, num_encoder_layers, LayerNorm(d_model, **norm))
        self.decoder = TransformerDecoder(decoding, num_decoder_layers, LayerNorm(d_model, **norm))
        for parameter in self.parameters():
            if parameter.ndim > 1:
                init.xavier_uniform_(parameter)
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first

    @staticmethod
    def generate_square_subsequent_mask(sz: int, device: Any = None, dtype: Any = None) -> Variable:
        """Give the mask by which no step looks ahead."""
        kind = empty(0, dtype=dtype).dtype
        return Variable(np.triu(np.full((sz, sz), -math.inf, kind), 1), requires_grad=False)

    def forward(
        self,
        src: Any,
        tgt: Any,
        src_mask: Any = None,
        tgt_mask: Any = None,
        memory_mask: Any = None,
        src_key_padding_mask: Any = None,
        tgt_key_padding_mask: Any = None,
        memory_key_padding_mask: Any = None,
        src_is_causal: bool | None = None,
        tgt_is_causal: bool | None = None,
        memory_is_causal: bool = False,
    ) -> Any:
        """Encode the source, and decode with it."""
        memory = self.encoder(src, src_mask, src_key_padding_mask, src_is_causal)
        return self.decoder(
            tgt,
            memory,
            tgt_mask=tgt_mask,
            memory_mask=memory_mask,
            tgt_key_padding_mask=tgt_key_padding_mask,
            memory_key_padding_mask=memory_key_padding_mask,
            tgt_is_causal=tgt_is_causal,
            memory_is_causal=memory_is_causal,
        )
