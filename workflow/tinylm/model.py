"""The two model families of the tinylm sweep: a transformer and a minGRU.

Both are pre-norm residual stacks of (token mixer, MLP) blocks over one tied
embedding; they differ in the mixer only, so a gap between their scaling laws
is a gap between attention and recurrence.
"""

from __future__ import annotations

import math

import torch
from shape import Shape
from torch import Tensor, nn
from torch.nn import functional as F


class Scan(torch.autograd.Function):
    """h_t = h_{t-1} + z_t (c_t - h_{t-1}) from h_0 = 0, along the first axis.

    Written out with its gradient: autograd would keep a graph of T steps.
    """

    @staticmethod
    def forward(ctx, z: Tensor, c: Tensor) -> Tensor:
        """z, c: (T, B, d) gate in (0, 1) and candidate; returns h: (T, B, d)."""
        h = z * c
        keep = 1 - z
        for t in range(1, z.shape[0]):
            h[t].addcmul_(keep[t], h[t - 1])
        ctx.save_for_backward(z, c, h, keep)
        return h

    @staticmethod
    def backward(ctx, grad: Tensor) -> tuple[Tensor, Tensor]:
        """The same recurrence run backwards in time gives dL/dh_t; the rest is elementwise."""
        z, c, h, keep = ctx.saved_tensors
        total = grad.clone()
        for t in range(z.shape[0] - 2, -1, -1):
            total[t].addcmul_(keep[t + 1], total[t + 1])
        before = torch.cat([torch.zeros_like(h[:1]), h[:-1]])
        return total * (c - before), total * z


def rotary(seq_len: int, head: int) -> tuple[Tensor, Tensor]:
    """Cosine and sine tables (T, head/2) of rotary position embedding, base 10,000."""
    angle = torch.arange(seq_len)[:, None] * 10000.0 ** (-torch.arange(0, head, 2) / head)
    return angle.cos(), angle.sin()


class Attention(nn.Module):
    """Causal multi-head attention with rotary positions; (T, B, d) to (T, B, d)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.n_head
        self.qkv = nn.Linear(shape.d_model, 3 * shape.d_model, bias=False)
        self.out = nn.Linear(shape.d_model, shape.d_model, bias=False)
        cos, sin = rotary(shape.seq_len, shape.d_model // shape.n_head)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def turn(self, x: Tensor) -> Tensor:
        """Rotate the halves of each head by its position; x: (B, heads, T, head)."""
        a, b = x.chunk(2, -1)
        return torch.cat([a * self.cos - b * self.sin, a * self.sin + b * self.cos], -1)

    def forward(self, x: Tensor) -> Tensor:
        """Mix along time; x: (T, B, d)."""
        steps, batch, d = x.shape
        q, k, v = self.qkv(x).view(steps, batch, 3, self.heads, -1).permute(2, 1, 3, 0, 4)
        mixed = F.scaled_dot_product_attention(self.turn(q), self.turn(k), v, is_causal=True)
        return self.out(mixed.permute(2, 0, 1, 3).reshape(steps, batch, d))


class MinGRU(nn.Module):
    """minGRU of Feng et al. (2024): gate and candidate see the input only; (T, B, d) in and out."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_and_candidate = nn.Linear(shape.d_model, 2 * shape.d_model, bias=False)
        self.out = nn.Linear(shape.d_model, shape.d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Mix along time; x: (T, B, d)."""
        z, c = self.gate_and_candidate(x).chunk(2, -1)
        return self.out(Scan.apply(z.sigmoid(), c))


class Block(nn.Module):
    """x + mixer(norm x), then x + MLP(norm x) with a hidden layer of 4d and squared ReLU."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        d = shape.d_model
        self.norm_mixer = nn.RMSNorm(d)
        self.mixer = Attention(shape) if shape.family == "transformer" else MinGRU(shape)
        self.norm_mlp = nn.RMSNorm(d)
        self.up = nn.Linear(d, 4 * d, bias=False)
        self.down = nn.Linear(4 * d, d, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Add both branches; x: (T, B, d)."""
        x = x + self.mixer(self.norm_mixer(x))
        return x + self.down(F.relu(self.up(self.norm_mlp(x))).square())


class Model(nn.Module):
    """A causal character model: tokens (T, B) to mean cross-entropy in nats per token."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embedding = nn.Embedding(shape.vocab, shape.d_model)
        self.blocks = nn.ModuleList(Block(shape) for _ in range(shape.n_layer))
        self.norm = nn.RMSNorm(shape.d_model)
        self.shape = shape
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5)
        nn.init.normal_(self.embedding.weight, std=shape.d_model**-0.5)
        for block in self.blocks:
            # A block adds to the residual stream twice: its variance must not grow with depth.
            for last in (block.mixer.out, block.down):
                last.weight.data /= math.sqrt(2 * shape.n_layer)

    def forward(self, tokens: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy of targets given tokens, both (T, B)."""
        x = self.embedding(tokens) * math.sqrt(self.shape.d_model)
        for block in self.blocks:
            x = block(x)
        logits = F.linear(self.norm(x), self.embedding.weight)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())
