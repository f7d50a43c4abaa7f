"""Linear maps, embeddings, shapes and what drops."""

from __future__ import annotations

import math
from typing import Any

from ...ops.creation import empty
from ...ops.shape import flatten
from .. import functional, init
from ..parameter import Parameter
from .declared import REQUIRED, declared
from .module import Module


class Identity(Module):
    """What is given, whatever the options were."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        """Give the input."""
        return input


class Linear(Module):
    """``x @ weight.T + bias``, where the weight has the shape (outputs, inputs), drawn as PyTorch draws it.

    >>> import nbgrad
    >>> nbgrad.nn.Linear(3, 2)(nbgrad.ones(5, 3)).shape
    (5, 2)
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(empty(out_features, in_features, dtype=dtype, device=device))
        self.register_parameter("bias", Parameter(empty(out_features, dtype=dtype, device=device)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(self.in_features) if self.in_features else 0
            init.uniform_(self.bias, -bound, bound)

    def forward(self, input: Any) -> Any:
        """Apply the map to the last dimension."""
        return functional.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Show the options."""
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Bilinear(Module):
    """``x1 @ weight[k] @ x2 + bias[k]`` for each output k."""

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.in1_features, self.in2_features, self.out_features = in1_features, in2_features, out_features
        self.weight = Parameter(empty(out_features, in1_features, in2_features, dtype=dtype, device=device))
        self.register_parameter("bias", Parameter(empty(out_features, dtype=dtype, device=device)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        bound = 1 / math.sqrt(self.in1_features)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)

    def forward(self, input1: Any, input2: Any) -> Any:
        """Apply the map to the last dimensions."""
        return functional.bilinear(input1, input2, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Show the options."""
        features = f"in1_features={self.in1_features}, in2_features={self.in2_features}"
        return f"{features}, out_features={self.out_features}, bias={self.bias is not None}"


def _unusual(module: Any, *names: str) -> str:
    """Show options of what picks rows that are not the usual ones."""
    shown = {name: getattr(module, name) for name in names}
    return "".join(f", {name}={value}" for name, value in shown.items() if value not in (None, False, 2.0))


class Embedding(Module):
    """A row of numbers for each whole number: ``weight[input]``."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        sparse: bool = False,
        _weight: Any = None,
        _freeze: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if padding_idx is not None:
            if not -num_embeddings <= padding_idx < num_embeddings:
                raise ValueError(f"Embedding: padding_idx is {padding_idx}, of {num_embeddings} rows")
            padding_idx %= num_embeddings
        self.num_embeddings, self.embedding_dim, self.padding_idx = num_embeddings, embedding_dim, padding_idx
        self.max_norm, self.norm_type = max_norm, norm_type
        self.scale_grad_by_freq, self.sparse = scale_grad_by_freq, sparse
        if _weight is None:
            self.weight = Parameter(empty(num_embeddings, embedding_dim, dtype=dtype, device=device), not _freeze)
            self.reset_parameters()
        elif tuple(_weight.shape) != (num_embeddings, embedding_dim):
            raise ValueError(f"Embedding: the weight has shape {_weight.shape}, not {(num_embeddings, embedding_dim)}")
        else:
            self.weight = Parameter(_weight, not _freeze)

    @classmethod
    def from_pretrained(cls, embeddings: Any, freeze: bool = True, padding_idx: Any = None, **options: Any) -> Any:
        """Make one of rows that there are, which are not trained unless `freeze` is False."""
        rows, size = embeddings.shape
        return cls(rows, size, padding_idx, _weight=embeddings, _freeze=freeze, **options)

    def reset_parameters(self) -> None:
        """Draw the rows anew; the one for padding is zero."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            self.weight.data[self.padding_idx] = 0

    def forward(self, input: Any) -> Any:
        """Pick the rows."""
        return functional.embedding(
            input, self.weight, self.padding_idx, self.max_norm, self.norm_type, self.scale_grad_by_freq, self.sparse
        )

    def extra_repr(self) -> str:
        """Show the options."""
        options = _unusual(self, "padding_idx", "max_norm", "norm_type", "scale_grad_by_freq")
        return f"{self.num_embeddings}, {self.embedding_dim}{options}"


class EmbeddingBag(Module):
    """Sums, means or largest numbers of bags of rows."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,
        norm_type: float = 2.0,
        scale_grad_by_freq: bool = False,
        mode: str = "mean",
        sparse: bool = False,
        _weight: Any = None,
        include_last_offset: bool = False,
        padding_idx: int | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        self.num_embeddings, self.embedding_dim, self.mode = num_embeddings, embedding_dim, mode
        self.max_norm, self.norm_type, self.sparse = max_norm, norm_type, sparse
        self.scale_grad_by_freq, self.include_last_offset = scale_grad_by_freq, include_last_offset
        self.padding_idx = padding_idx
        given = empty(num_embeddings, embedding_dim, dtype=dtype, device=device) if _weight is None else _weight
        self.weight = Parameter(given)
        if _weight is None:
            init.normal_(self.weight)
            if padding_idx is not None:
                self.weight.data[padding_idx] = 0

    def forward(self, input: Any, offsets: Any = None, per_sample_weights: Any = None) -> Any:
        """Pick rows, and bring each bag's together."""
        return functional.embedding_bag(
            input,
            self.weight,
            offsets,
            self.max_norm,
            self.norm_type,
            self.scale_grad_by_freq,
            self.mode,
            self.sparse,
            per_sample_weights,
            self.include_last_offset,
            self.padding_idx,
        )

    def extra_repr(self) -> str:
        """Show the options."""
        options = _unusual(self, "max_norm", "norm_type", "scale_grad_by_freq")
        last = _unusual(self, "padding_idx")
        return f"{self.num_embeddings}, {self.embedding_dim}{options}, mode={self.mode!r}{last}"


class Flatten(Module):
    """The dimensions from one to another as one."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Any) -> Any:
        """Give the input in that shape."""
        return flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        """Show the options."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """One dimension as several."""

    def __init__(self, dim: int, unflattened_size: Any) -> None:
        super().__init__()
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, input: Any) -> Any:
        """Give the input in that shape."""
        dim, shape, sizes = self.dim % input.ndim, input.shape, self.unflattened_size
        if -1 in sizes:
            known = -math.prod(sizes)
            sizes = tuple(shape[dim] // known if size == -1 else size for size in sizes)
        if math.prod(sizes) != shape[dim]:
            raise ValueError(f"Unflatten: dimension {dim} has {shape[dim]} elements, not as many as {sizes}")
        return input.reshape((*shape[:dim], *sizes, *shape[dim + 1 :]))

    def extra_repr(self) -> str:
        """Show the options."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


def _distance(name: str, function: str, sentence: str, **options: Any) -> Any:
    return declared(name, function, sentence, show=False, module=__name__, **options)


CosineSimilarity = _distance("CosineSimilarity", "cosine_similarity", "Cosines of angles.", dim=1, eps=1e-8)
PairwiseDistance = _distance(
    "PairwiseDistance", "pairwise_distance", "Distances in a norm.", p=2.0, eps=1e-6, keepdim=False
)
PixelShuffle = declared(
    "PixelShuffle", "pixel_shuffle", "Channels as finer pixels.", module=__name__, upscale_factor=REQUIRED
)
PixelUnshuffle = declared(
    "PixelUnshuffle", "pixel_unshuffle", "Pixels as more channels.", module=__name__, downscale_factor=REQUIRED
)
ChannelShuffle = declared(
    "ChannelShuffle", "channel_shuffle", "Channels of groups in turn.", module=__name__, groups=REQUIRED
)


class _Dropping(Module):
    _function = ""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"{type(self).__name__}: a probability is from 0 to 1, got {p}")
        self.p, self.inplace = p, inplace

    def forward(self, input: Any) -> Any:
        """Drop, if in training."""
        return getattr(functional, self._function)(input, self.p, self.training)

    def extra_repr(self) -> str:
        """Show the options."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_Dropping):
    """Zeros with a probability, in training; the rest grows so that the expectation stays."""

    _function = "dropout"


class Dropout1d(_Dropping):
    """Dropout of whole channels of sequences."""

    _function = "dropout1d"


class Dropout2d(_Dropping):
    """Dropout of whole channels of images."""

    _function = "dropout2d"


class Dropout3d(_Dropping):
    """Dropout of whole channels of volumes."""

    _function = "dropout3d"


class AlphaDropout(_Dropping):
    """Dropout that keeps mean and variance of what SELU gives."""

    _function = "alpha_dropout"


class FeatureAlphaDropout(_Dropping):
    """Alpha dropout of whole channels."""

    _function = "feature_alpha_dropout"
