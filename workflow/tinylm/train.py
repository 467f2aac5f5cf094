"""Train one run of the tinylm sweep and write its raw log, one JSON object a line."""

from __future__ import annotations

import argparse
import gzip
import json
import math
import time
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from model import Model
from shape import Shape
from torch import Tensor

if TYPE_CHECKING:
    from design import Run


def windows(path: Path, seq_len: int) -> np.ndarray:
    """View a token file as (windows, seq_len + 1) uint8; every token is a target once."""
    tokens = np.memmap(path, np.uint8, "r")
    count = (tokens.size - 1) // seq_len
    shape, strides = (count, seq_len + 1), (seq_len, 1)
    return np.lib.stride_tricks.as_strided(tokens, shape, strides, writeable=False)


def to_tensor(rows: np.ndarray) -> Tensor:
    """(B, T+1) uint8 to a time-major (T+1, B) int64 tensor."""
    return torch.from_numpy(rows.T.astype(np.int64))


def lr_at(step: int, steps: int, warmup_steps: int, lr_max: float) -> float:
    """Learning rate of step 1..steps: linear warm-up, linear decay that reaches 0 at steps + 1."""
    if step <= warmup_steps:
        return lr_max * step / warmup_steps
    return lr_max * (steps + 1 - step) / (steps + 1 - warmup_steps)


def val_steps(steps: int, count: int) -> set[int]:
    """Steps after which to validate: log-spaced from 1 % of the horizon, the last step included."""
    first = max(1.0, steps / 100)
    return {round(first * (steps / first) ** (i / (count - 1))) for i in range(count)} | {steps}


class Log:
    """Append-only run log; a restart goes on in the same file, so nothing that happened is lost."""

    def __init__(self, path: Path, run: Run) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.file = path.open("a")
        self.run = run
        self.start = time.monotonic()

    def write(self, split: str, step: int, lr: float, loss: float) -> None:
        """One line; flops are 6 N tokens, loss is in nats per token."""
        tokens = step * self.run["batch_tokens"]
        line = {
            "run": self.run["run"],
            "split": split,
            "step": step,
            "tokens": tokens,
            "flops": 6 * self.run["params"] * tokens,
            "lr": float(f"{lr:.6g}"),
            "loss": float(f"{loss:.6g}"),
            "wall_s": round(time.monotonic() - self.start, 2),
        }
        self.file.write(json.dumps(line) + "\n")


def train(run: Run, settings: dict[str, Any], data: Path, raw: Path, log: Path) -> None:
    """Train one run of the design; the compressed log appears only when it has ended.

    `data` holds the tokens; rows are appended to `raw` as they come and packed into `log`.
    """
    torch.manual_seed(run["seed"])
    shape = Shape(*(run[field.name] for field in fields(Shape)))
    model = Model(shape)
    assert sum(p.numel() for p in model.parameters()) == run["params"]
    betas = tuple(settings["betas"])
    optimiser = torch.optim.Adam(model.parameters(), lr=1.0, betas=betas, fused=True)

    source = windows(data / "train.bin", shape.seq_len)
    batch = run["batch_tokens"] // shape.seq_len
    # Windows are drawn without replacement: no run sees a token twice, each seed sees others.
    order = np.random.default_rng(run["seed"]).permutation(len(source))[: run["steps"] * batch]
    assert len(order) == run["steps"] * batch, "the horizon is longer than one epoch"
    held_out = windows(data / "val.bin", shape.seq_len)
    count = settings["eval_tokens"] // shape.seq_len
    picked = np.linspace(0, len(held_out) - 1, count).round().astype(int)
    parts = np.array_split(picked, math.ceil(count / 32))
    evaluation = [to_tensor(held_out[part]) for part in parts]

    @torch.no_grad()
    def validate() -> float:
        """Mean loss on the fixed evaluation windows, nats per token."""
        return sum(model(x[:-1], x[1:]).item() * x.shape[1] for x in evaluation) / count

    stride = 1 if run["steps"] <= 600 else math.ceil(run["steps"] / 500)
    validations = val_steps(run["steps"], settings["evals"])
    warmup_steps = run["warmup_tokens"] // run["batch_tokens"]
    out = Log(raw, run)
    out.write("val", 0, 0.0, validate())
    for step in range(1, run["steps"] + 1):
        lr = lr_at(step, run["steps"], warmup_steps, run["lr_max"])
        x = to_tensor(source[np.sort(order[(step - 1) * batch : step * batch])])
        loss = model(x[:-1], x[1:])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings["clip"])
        optimiser.param_groups[0]["lr"] = lr
        optimiser.step()
        if step % stride == 0 or step == run["steps"]:
            out.write("train", step, lr, loss.item())
        if step in validations:
            out.write("val", step, lr, validate())
            out.file.flush()
    out.file.close()
    compress(raw, log)


def compress(raw: Path, log: Path) -> None:
    """Gzip without a time stamp, so that the same log gives the same bytes."""
    log.parent.mkdir(parents=True, exist_ok=True)
    part = log.with_suffix(".part")
    part.write_bytes(gzip.compress(raw.read_bytes(), 9, mtime=0))
    part.replace(log)


def main() -> None:
    """Command line: train.py DESIGN RUN DATA RAW LOG."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("design", type=Path, help="design.json, written by design.py")
    parser.add_argument("run", help="name of the run in the design")
    parser.add_argument("data", type=Path, help="folder of train.bin and val.bin")
    parser.add_argument("raw", type=Path, help="log while the run goes on")
    parser.add_argument("log", type=Path, help="compressed log at its end")
    args = parser.parse_args()
    torch.set_num_threads(1)  # two runs side by side beat one run on two threads at these sizes
    design = json.loads(args.design.read_text())
    train(design["runs"][args.run], design["train"], args.data, args.raw, args.log)


if __name__ == "__main__":
    main()
