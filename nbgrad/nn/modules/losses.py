"""Losses as modules."""

from __future__ import annotations

from typing import Any

from .declared import DeclaredLoss, declared


def _loss(name: str, function: str, sentence: str, **options: Any) -> Any:
    return declared(name, function, sentence, base=DeclaredLoss, show=False, module=__name__, **options)


_OLD = {"size_average": None, "reduce": None, "reduction": "mean"}

L1Loss = _loss("L1Loss", "l1_loss", "Absolute differences.", **_OLD)
MSELoss = _loss("MSELoss", "mse_loss", "Squared differences.", **_OLD)
SmoothL1Loss = _loss("SmoothL1Loss", "smooth_l1_loss", "Squares for small differences, else sizes.", **_OLD, beta=1.0)
HuberLoss = _loss("HuberLoss", "huber_loss", "Squares for small differences, else sizes.", reduction="mean", delta=1.0)
BCELoss = _loss("BCELoss", "binary_cross_entropy", "Cross-entropy of probabilities.", weight=None, **_OLD)
BCEWithLogitsLoss = _loss(
    "BCEWithLogitsLoss",
    "binary_cross_entropy_with_logits",
    "Cross-entropy of probabilities given as logits.",
    weight=None,
    **_OLD,
    pos_weight=None,
)
CrossEntropyLoss = _loss(
    "CrossEntropyLoss",
    "cross_entropy",
    "Cross-entropy of classes, or of their probabilities, given logits.",
    weight=None,
    size_average=None,
    ignore_index=-100,
    reduce=None,
    reduction="mean",
    label_smoothing=0.0,
)
NLLLoss = _loss(
    "NLLLoss",
    "nll_loss",
    "Cross-entropy of classes given logarithms of probabilities.",
    weight=None,
    size_average=None,
    ignore_index=-100,
    reduce=None,
    reduction="mean",
)
KLDivLoss = _loss("KLDivLoss", "kl_div", "Divergence from target probabilities.", **_OLD, log_target=False)
PoissonNLLLoss = _loss(
    "PoissonNLLLoss",
    "poisson_nll_loss",
    "Minus log-likelihood of counts.",
    log_input=True,
    full=False,
    size_average=None,
    eps=1e-8,
    reduce=None,
    reduction="mean",
)
GaussianNLLLoss = _loss(
    "GaussianNLLLoss",
    "gaussian_nll_loss",
    "Minus log-likelihood of numbers with their variances.",
    full=False,
    eps=1e-6,
    reduction="mean",
)
SoftMarginLoss = _loss("SoftMarginLoss", "soft_margin_loss", "log(1 + exp(-y * x)).", **_OLD)
HingeEmbeddingLoss = _loss("HingeEmbeddingLoss", "hinge_embedding_loss", "Distances, or margins.", margin=1.0, **_OLD)
MarginRankingLoss = _loss("MarginRankingLoss", "margin_ranking_loss", "Which is larger.", margin=0.0, **_OLD)
CosineEmbeddingLoss = _loss("CosineEmbeddingLoss", "cosine_embedding_loss", "Angles.", margin=0.0, **_OLD)
MultiMarginLoss = _loss(
    "MultiMarginLoss", "multi_margin_loss", "Margins of the right class.", p=1, margin=1.0, weight=None, **_OLD
)
MultiLabelMarginLoss = _loss("MultiLabelMarginLoss", "multilabel_margin_loss", "Margins of right classes.", **_OLD)
MultiLabelSoftMarginLoss = _loss(
    "MultiLabelSoftMarginLoss", "multilabel_soft_margin_loss", "One loss for each class.", weight=None, **_OLD
)
TripletMarginLoss = _loss(
    "TripletMarginLoss",
    "triplet_margin_loss",
    "Nearer to one than to another.",
    margin=1.0,
    p=2.0,
    eps=1e-6,
    swap=False,
    **_OLD,
)
TripletMarginWithDistanceLoss = _loss(
    "TripletMarginWithDistanceLoss",
    "triplet_margin_with_distance_loss",
    "Nearer to one than to another, by a distance of one's own.",
    distance_function=None,
    margin=1.0,
    swap=False,
    reduction="mean",
)
CTCLoss = _loss(
    "CTCLoss", "ctc_loss", "Sequences whose places are not known.", blank=0, reduction="mean", zero_infinity=False
)
