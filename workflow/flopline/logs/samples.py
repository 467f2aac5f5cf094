"""Samples consumed at a step between two logged ones, under a batch that may ramp up."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Logged:
    """A logged iteration: samples consumed by its end and the batch of its last step."""

    step: int
    samples: int | None
    batch: int | None


@dataclass(frozen=True, slots=True)
class Ramp:
    """Megatron's `--rampup-batch-size START INCREMENT SAMPLES` up to the global batch size.

    The batch grows by `increment` after equal shares of `samples`
    (megatron/core/num_microbatches_calculator.py).
    """

    start: int
    increment: int
    samples: int
    final: int

    def batch(self, consumed: int) -> int:
        """The batch of the step that begins with `consumed` samples seen."""
        increments = (self.final - self.start) // self.increment
        if consumed > self.samples or increments <= 0:
            return self.final
        grown = int(consumed / (self.samples / increments)) if self.samples else increments
        return min(self.start + grown * self.increment, self.final)


def samples_at(
    step: int, before: Logged | None, after: Logged | None, ramp: Ramp | None
) -> int | None:
    """Samples consumed at the end of `step`, exactly; None where the log leaves it open.

    `before` and `after` are the logged iterations around it: what is counted on from the one must
    end at the other. Before the first of a run lies its start, where nothing was consumed.
    """
    if before and before.step == step:
        return before.samples
    if before is None or before.step > step:
        before = Logged(0, 0, after.batch if after else None)
    if after and after.step < step:
        after = None
    start, batch = before.samples, before.batch
    if start is None or batch is None or (before.step == 0 and after is None):
        return None
    if after is not None:
        end = _counted_on(start, batch, after.step - before.step, ramp)
        if end != after.samples:
            return None
    return _counted_on(start, batch, step - before.step, ramp)


def _counted_on(samples: int, batch: int, steps: int, ramp: Ramp | None) -> int:
    if ramp is None:
        return samples + steps * batch
    for _ in range(steps):
        samples += ramp.batch(samples)
    return samples
