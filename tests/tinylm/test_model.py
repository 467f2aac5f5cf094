"""The models are what their counts say, and cannot see ahead. Skipped without PyTorch."""

import pytest

torch = pytest.importorskip("torch", reason="the tinylm sweep needs: pip install torch==2.13.0")

import model  # noqa: E402
import train  # noqa: E402
from shape import FAMILIES, Shape, params_total  # noqa: E402


def small(family: str) -> Shape:
    """A model that takes no time."""
    return Shape(family, 16, 2, 2, 96, 32)


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_are_counted(family):
    """N is the number of weights that PyTorch holds, the tied embedding once."""
    built = model.Model(small(family))
    assert sum(p.numel() for p in built.parameters()) == params_total(small(family))


@pytest.mark.parametrize("family", FAMILIES)
def test_causal(family):
    """Changing the last token leaves the loss at every earlier position as it was."""
    torch.manual_seed(0)
    built = model.Model(small(family))
    tokens = torch.randint(96, (32, 3))
    other = tokens.clone()
    other[-1] = (other[-1] + 1) % 96
    targets = torch.randint(96, (32, 3))
    targets[-1] = -100  # ignored by the cross-entropy
    assert built(tokens, targets).item() == pytest.approx(built(other, targets).item(), abs=1e-6)


def test_scan_gradient():
    """The recurrence's hand-written gradient is the numerical one."""
    torch.manual_seed(0)
    z = torch.rand(7, 2, 3, dtype=torch.float64, requires_grad=True)
    c = torch.randn(7, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(model.Scan.apply, (z, c))


def test_schedule():
    """Warm-up peaks at its last step; the decay is almost at zero at the last one."""
    rates = [train.lr_at(step, 400, 20, 0.01) for step in range(1, 401)]
    assert max(rates) == rates[19] == 0.01
    assert 0 < rates[-1] < 0.0001
    assert {400} < train.val_steps(400, 21)
    assert len(train.val_steps(400, 21)) == 21
