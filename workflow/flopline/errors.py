"""The one exception that a user is meant to read."""


class FloplineError(Exception):
    """A mistake in the input, told in one sentence: which file, which place, which mend."""
