"""Forecasts that are written down before a run is made, and scored when it is there."""
