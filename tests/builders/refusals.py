"""How a mistake of the user is told: one sentence, never a traceback."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flopline.errors import FloplineError


def refused(work: Callable[[], object], *words: str) -> None:
    """Hold that `work` is refused in one sentence that has all `words` in it."""
    with pytest.raises(FloplineError) as caught:
        work()
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert message.endswith("."), message
    assert "\n" not in message
