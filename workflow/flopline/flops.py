"""Training compute of a model in floating-point operations, by named convention.

Each convention says what one training token costs, forward and backward, from facts of the run;
docs/flops.md lists them. Adding one is adding an entry to CONVENTIONS and its name to the study
schema.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flopline.errors import FloplineError

Floats = NDArray[np.float64]
FactArrays = Mapping[str, Floats]

GEMSTONES_VOCABULARY: Final = 50_304
GEMSTONES_SEQUENCE: Final = 2_048
GEMSTONES_HEAD: Final = 128
GEMSTONES_FFN_RATIO: Final = 4

ARCHITECTURE: Final = ("depth", "width", "heads", "kv_size", "ffn", "vocab", "seq_len")
"""Facts of a transformer: layers, units, attention heads, units per head, units of the
feed-forward layer, entries of the vocabulary, tokens per sequence."""

MEASURED: Final = ("params", "params_total", "params_nonembedding", "flops_per_token")

NEEDS: Final = (*MEASURED, "batch_tokens", *ARCHITECTURE)
"""Facts of a run that tokens and FLOPs may be worked out from."""

NOTABLE_GAP: Final = 0.1
"""From this relative difference of 6ND and an exact count on, the report warns."""


def six_nd(params: ArrayLike, tokens: ArrayLike) -> Floats:
    """Training FLOPs as 6 x params x tokens (Kaplan et al. 2020, section 2.1)."""
    n, d = np.asarray(params, dtype=float), np.asarray(tokens, dtype=float)
    return np.asarray(6.0 * n * d, dtype=float)


def nonembedding_params(facts: FactArrays) -> Floats:
    """Weights without embeddings: as given, else 2 x width x depth x (2 x heads x kv_size + ffn).

    Four attention matrices and two feed-forward ones a layer, no biases and norms: Kaplan et al.
    2020 (arXiv 2001.08361), equation 2.1.
    """
    attention = facts["heads"] * facts["kv_size"]
    counted = 2.0 * facts["width"] * facts["depth"] * (2.0 * attention + facts["ffn"])
    given = facts["params_nonembedding"]
    return np.where(np.isnan(given), counted, given)


def total_params(facts: FactArrays) -> Floats:
    """Weights with embeddings: as given, else those without plus vocab x width, tied once."""
    counted = nonembedding_params(facts) + facts["vocab"] * facts["width"]
    given = facts["params_total"]
    return np.where(np.isnan(given), counted, given)


def hoffmann_params(facts: FactArrays) -> Floats:
    """Weights as the tables of Hoffmann et al. 2022 count them, embedding included.

    Five attention matrices a layer, as relative positions want: this gives the sizes of their
    Table A4 (73M to 6.8B), the usual four come out up to 7 % short.
    """
    attention = facts["heads"] * facts["kv_size"]
    layer = facts["width"] * (5.0 * attention + 2.0 * facts["ffn"])
    return facts["depth"] * layer + facts["vocab"] * facts["width"]


def hoffmann_flops_per_token(facts: FactArrays, *, vocabulary: bool = True) -> Floats:
    """Training FLOPs per token after Hoffmann et al. 2022 (arXiv 2203.15556), appendix F.

    Forward: embedding, per layer the query, key and value projections, scores, softmax, their
    product with the values, output projection and feed-forward, then logits; backward twice as
    much. As written there; without `vocabulary` the embedding and the logits are left out, which
    is what the ratios of their Table A4 were made from.
    """
    s, d, inner = facts["seq_len"], facts["width"], facts["heads"] * facts["kv_size"]
    projections = 2 * 3 * s * d * inner + 2 * s * inner * d
    attention = 2 * s * s * inner + 3 * facts["heads"] * s * s + 2 * s * s * inner
    feed_forward = 4 * s * d * facts["ffn"]
    forward = facts["depth"] * (projections + attention + feed_forward)
    if vocabulary:
        forward = forward + 4 * s * facts["vocab"] * d
    return 3.0 * forward / s


def deepseek_flops_per_token(facts: FactArrays) -> Floats:
    """Non-embedding training FLOPs per token, 72 n d^2 + 12 n d s, n layers of width d.

    Source: M of DeepSeek LLM (Bi et al. 2024, arXiv 2401.02954), section 3.2, equation 2; it holds
    for heads x kv_size = d and a feed-forward layer of 4 d.
    """
    n, d = facts["depth"], facts["width"]
    return 72.0 * n * d * d + 12.0 * n * d * facts["seq_len"]


def attention_flops_per_token(facts: FactArrays) -> Floats:
    """6 x params + 12 x depth x heads x kv_size x seq_len training FLOPs per token.

    Source: Chowdhery et al. 2022 (PaLM, arXiv 2204.02311), appendix B.
    """
    inner = facts["heads"] * facts["kv_size"]
    return 6.0 * facts["params"] + 12.0 * facts["depth"] * inner * facts["seq_len"]


def gemstones_flops_per_token(width: ArrayLike, depth: ArrayLike) -> Floats:
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
    attention_scores = s**2 * h * q + 3 * s**2 * q + 2 * s**2 * h * q
    output = 2 * s * w * h * q
    attention_forward = projections + attention_scores + output
    attention_backward = 2 * projections + 2.5 * attention_scores + 2 * output
    mlp = 6 * s * w * ffn + 10 * s * ffn + 2 * w * s
    norm, last_norm, logits = 14 * w * s, 7 * w * s, 2 * s * w * v
    rest = d * (mlp + norm) + last_norm + logits
    per_sequence = d * (attention_forward + attention_backward) + 3 * rest
    return np.asarray(per_sequence / s, dtype=float)


@dataclass(frozen=True, slots=True)
class Convention:
    """How training FLOPs are counted: a formula, the facts it needs and where it comes from.

    `per_token` turns facts into FLOPs per token; without it the FLOPs stand in the source.
    `needs` holds sets of facts, of which any one suffices.
    """

    name: str
    formula: str
    source: str
    per_token: Callable[[FactArrays], Floats] | None
    needs: tuple[tuple[str, ...], ...] = ()

    def lacks(self, known: set[str]) -> tuple[str, ...]:
        """The facts missing from `known`, of the set that lacks the fewest; empty if none."""
        missing = [tuple(f for f in facts if f not in known) for facts in self.needs]
        return min(missing, key=len, default=())


_WEIGHTS = ("width", "depth", "heads", "kv_size", "ffn")
_HOFFMANN = "Hoffmann et al. 2022 (arXiv 2203.15556), appendix F"

CONVENTIONS: Final = {
    convention.name: convention
    for convention in (
        Convention(
            "six_nd",
            "6 x params x tokens",
            "Kaplan et al. 2020 (arXiv 2001.08361), section 2.1",
            lambda facts: 6.0 * facts["params"],
            (("params",),),
        ),
        Convention(
            "six_nd_total",
            "6 x params with embeddings x tokens",
            "Kaplan et al. 2020 (arXiv 2001.08361), section 2.1, N with embeddings",
            lambda facts: 6.0 * total_params(facts),
            (("params_total",), ("params_nonembedding", "vocab", "width"), (*_WEIGHTS, "vocab")),
        ),
        Convention(
            "kaplan_nonemb",
            "6 x params without embeddings x tokens",
            "Kaplan et al. 2020 (arXiv 2001.08361), equations 2.1 and 2.2",
            lambda facts: 6.0 * nonembedding_params(facts),
            (("params_nonembedding",), _WEIGHTS),
        ),
        Convention(
            "six_nd_attention",
            "(6 x params + 12 x depth x heads x kv_size x seq_len) x tokens",
            "Chowdhery et al. 2022 (arXiv 2204.02311), appendix B",
            attention_flops_per_token,
            (("params", "depth", "heads", "kv_size", "seq_len"),),
        ),
        Convention(
            "hoffmann_app_f",
            "three times the forward pass, layer by layer, embedding and logits counted",
            f"{_HOFFMANN}, as written",
            hoffmann_flops_per_token,
            (ARCHITECTURE,),
        ),
        Convention(
            "hoffmann_table_a4",
            "three times the forward pass, layer by layer, embedding and logits left out",
            f"{_HOFFMANN}, as its Table A4 was made",
            lambda facts: hoffmann_flops_per_token(facts, vocabulary=False),
            (tuple(f for f in ARCHITECTURE if f != "vocab"),),
        ),
        Convention(
            "deepseek_m",
            "(72 x depth x width^2 + 12 x depth x width x seq_len) x tokens",
            "DeepSeek LLM, Bi et al. 2024 (arXiv 2401.02954), section 3.2",
            deepseek_flops_per_token,
            (("depth", "width", "seq_len"),),
        ),
        Convention(
            "gemstones",
            "per-layer count from width and depth",
            "McLeish et al. 2025 (arXiv 2502.06857), their FLOP counter",
            lambda facts: gemstones_flops_per_token(facts["width"], facts["depth"]),
            (("width", "depth"),),
        ),
        Convention(
            "per_token",
            "flops_per_token x tokens",
            "the run table",
            lambda facts: facts["flops_per_token"],
            (("flops_per_token",),),
        ),
        Convention("supplied", "the flops column as it stands", "the log", None, (("flops",),)),
    )
}
"""The conventions by name."""


def convention_named(name: str) -> Convention:
    """The convention of that name; raises FloplineError for an unknown one."""
    if name not in CONVENTIONS:
        raise FloplineError(
            f"flops_convention '{name}' is not known; known are: {', '.join(CONVENTIONS)}."
        )
    return CONVENTIONS[name]


def flops_per_token(convention: str, facts: FactArrays) -> Floats | None:
    """Training FLOPs per token of each run [FLOPs]; NaN where facts are missing.

    `facts` holds one array for each of NEEDS, a value per run. None for `supplied`. Raises
    FloplineError for an unknown convention.
    """
    count = convention_named(convention).per_token
    return None if count is None else np.asarray(count(facts), dtype=float)


def exact_flops_per_token(facts: FactArrays) -> Floats:
    """The exact count of each run where one is known [FLOPs per token], else NaN.

    The run table's `flops_per_token` comes first, then Hoffmann's appendix F as written.
    """
    given, counted = facts["flops_per_token"], hoffmann_flops_per_token(facts)
    return np.where(np.isnan(given), counted, given)
