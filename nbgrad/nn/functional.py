"""PyTorch's `nn.functional`: each function in a room with others of its kind, imported when it is asked for."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .activations import *  # noqa: F403
    from .adaptive_pooling import *  # noqa: F403
    from .attention import *  # noqa: F403
    from .classes import *  # noqa: F403
    from .convolution import *  # noqa: F403
    from .ctc import *  # noqa: F403
    from .distances import *  # noqa: F403
    from .dropout import *  # noqa: F403
    from .embedding import *  # noqa: F403
    from .linear import *  # noqa: F403
    from .losses import *  # noqa: F403
    from .margins import *  # noqa: F403
    from .normalisation import *  # noqa: F403
    from .padding import *  # noqa: F403
    from .pooling import *  # noqa: F403
    from .sampling import *  # noqa: F403

#: The functions, by the rooms they are in.
ROOMS = {
    "activations": """celu celu_ elu elu_ gelu glu gumbel_softmax hardshrink hardsigmoid hardswish hardtanh hardtanh_
        leaky_relu leaky_relu_ log_softmax logsigmoid mish prelu relu relu6 relu_ rrelu rrelu_ selu selu_ sigmoid silu
        softmax softmin softplus softshrink softsign tanh tanhshrink threshold threshold_""",
    "adaptive_pooling": """adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d
        adaptive_max_pool1d_with_indices adaptive_max_pool2d adaptive_max_pool2d_with_indices adaptive_max_pool3d
        adaptive_max_pool3d_with_indices fractional_max_pool2d fractional_max_pool2d_with_indices fractional_max_pool3d
        fractional_max_pool3d_with_indices""",
    "attention": "multi_head_attention_forward scaled_dot_product_attention",
    "classes": "cross_entropy linear_cross_entropy nll_loss",
    "convolution": """conv1d conv2d conv3d conv_tbc conv_transpose1d conv_transpose2d conv_transpose3d fold unfold""",
    "ctc": "ctc_loss",
    "distances": "cosine_similarity pairwise_distance pdist",
    "dropout": "alpha_dropout dropout dropout1d dropout2d dropout3d feature_alpha_dropout",
    "embedding": "embedding embedding_bag one_hot",
    "linear": "bilinear linear",
    "losses": """binary_cross_entropy binary_cross_entropy_with_logits gaussian_nll_loss huber_loss kl_div l1_loss
        mse_loss poisson_nll_loss smooth_l1_loss""",
    "margins": """cosine_embedding_loss hinge_embedding_loss margin_ranking_loss multi_margin_loss
        multilabel_margin_loss multilabel_soft_margin_loss soft_margin_loss triplet_margin_loss
        triplet_margin_with_distance_loss""",
    "normalisation": """batch_norm group_norm instance_norm layer_norm local_response_norm normalize rms_norm""",
    "padding": "channel_shuffle native_channel_shuffle pad pixel_shuffle pixel_unshuffle",
    "pooling": """avg_pool1d avg_pool2d avg_pool3d lp_pool1d lp_pool2d lp_pool3d max_pool1d max_pool1d_with_indices
        max_pool2d max_pool2d_with_indices max_pool3d max_pool3d_with_indices max_unpool1d max_unpool2d max_unpool3d""",
    "sampling": "affine_grid grid_sample interpolate upsample upsample_bilinear upsample_nearest",
}

#: The room of each function.
HOMES = {name: room for room, names in ROOMS.items() for name in names.split()}

__all__ = [*HOMES]

if not TYPE_CHECKING:

    def __getattr__(name):
        """Import what is asked for."""
        from importlib import import_module

        if name not in HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = globals()[name] = getattr(import_module(f".{HOMES[name]}", __package__), name)
        return found

    def __dir__():
        return [*globals(), *HOMES]
