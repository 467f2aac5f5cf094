"""Shapes of the tinylm models, and what is counted from a shape: weights and FLOPs."""

from __future__ import annotations

from dataclasses import dataclass

FAMILIES = ("transformer", "mingru")


@dataclass(frozen=True)
class Shape:
    """What fixes a model: family, width, depth, heads, vocabulary, window length in tokens."""

    family: str
    d_model: int
    n_layer: int
    n_head: int
    vocab: int
    seq_len: int


def params_nonembedding(shape: Shape) -> int:
    """Weights outside the tied embedding: matrices of the blocks and norm gains."""
    d = shape.d_model
    mixer = {"transformer": 4 * d * d, "mingru": 3 * d * d}[shape.family]
    return shape.n_layer * (mixer + 8 * d * d + 2 * d) + d


def params_total(shape: Shape) -> int:
    """All weights; the tied embedding counts once."""
    return params_nonembedding(shape) + shape.vocab * shape.d_model


def flops_per_token(shape: Shape) -> float:
    """Forward and backward FLOPs per trained token, a multiply-add counting two.

    Counted: every matrix product (blocks and logits), causal attention over the
    (T+1)/2 keys that a position sees on average, and the three operations per
    channel of the recurrence. Backward costs twice forward. Not counted: norms,
    activations, softmax, embedding look-up, optimiser.
    """
    d, layers = shape.d_model, shape.n_layer
    matrices = params_nonembedding(shape) - d * (2 * layers + 1)
    forward = 2.0 * (matrices + shape.vocab * d)
    if shape.family == "transformer":
        forward += layers * 2 * 2.0 * d * (shape.seq_len + 1) / 2
    else:
        forward += layers * 3.0 * d
    return 3.0 * forward
