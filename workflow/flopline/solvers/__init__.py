"""Minimisers: a loss surface fitted to points under an objective, batched over resamples."""
