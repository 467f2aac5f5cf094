"""Training compute of a model in floating-point operations, by named convention."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from flopline.errors import FloplineError

GEMSTONES_VOCABULARY: Final = 50_304
GEMSTONES_SEQUENCE: Final = 2_048
GEMSTONES_HEAD: Final = 128
GEMSTONES_FFN_RATIO: Final = 4


def six_nd(params: ArrayLike, tokens: ArrayLike) -> NDArray[np.float64]:
    """Training FLOPs as 6 x params x tokens (Kaplan et al. 2020, section 2.1)."""
    n, d = np.asarray(params, dtype=float), np.asarray(tokens, dtype=float)
    return np.asarray(6.0 * n * d, dtype=float)


def gemstones_flops_per_token(width: ArrayLike, depth: ArrayLike) -> NDArray[np.float64]:
    """Training FLOPs per token of a Gemstones model of `width` [units] and `depth` [layers].

    Forward and backward, embedding look-up left out, logits counted; grouped-query attention
    with half as many key-value heads as query heads, vocabulary 50,304, sequence 2,048, head
    size 128, feed-forward 4 x width. Source: McLeish et al. 2025 (arXiv 2502.06857), FLOP
    counter of the repository mcleish7/gemstone-scaling-laws at 5f42047.
    """
    w, d = np.asarray(width, dtype=float), np.asarray(depth, dtype=float)
    s, v, h = GEMSTONES_SEQUENCE, GEMSTONES_VOCABULARY, GEMSTONES_HEAD
    ffn = GEMSTONES_FFN_RATIO * w
    q = w / h
    kv = q  # q/2 heads each for keys and for values
    projections = 2 * s * (q + kv) * w * h + 3.5 * s * (q + kv / 2) * h
    scores = s**2 * h * q + 3 * s**2 * q + 2 * s**2 * h * q
    output = 2 * s * w * h * q
    attention_forward = projections + scores + output
    attention_backward = 2 * projections + 2.5 * scores + 2 * output
    mlp = 6 * s * w * ffn + 10 * s * ffn + 2 * w * s
    norm, last_norm, logits = 14 * w * s, 7 * w * s, 2 * s * w * v
    rest = d * (mlp + norm) + last_norm + logits
    per_sequence = d * (attention_forward + attention_backward) + 3 * rest
    return np.asarray(per_sequence / s, dtype=float)


NEEDS: Final = ("params", "batch_tokens", "flops_per_token", "width", "depth")
"""Facts of a run that tokens and FLOPs may be worked out from."""


def training_flops(
    convention: str,
    tokens: pd.Series,
    supplied: pd.Series,
    facts: Mapping[str, pd.Series],
) -> pd.Series:
    """Training FLOPs after `tokens` tokens under a named convention; NaN where facts are missing.

    All arguments are aligned row by row; `facts` holds the NEEDS of each row's run and `supplied`
    the FLOPs that the source itself gives. Raises FloplineError for an unknown convention.
    """
    if convention == "six_nd":
        return facts["params"] * tokens * 6.0
    if convention == "supplied":
        return supplied
    if convention == "per_token":
        return facts["flops_per_token"] * tokens
    if convention == "gemstones":
        return gemstones_flops_per_token(facts["width"], facts["depth"]) * tokens
    raise FloplineError(f"flops_convention '{convention}' is not known.")
