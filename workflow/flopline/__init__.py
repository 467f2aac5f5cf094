"""Flopline: from training-run logs to scaling laws you can bet a budget on."""

__version__ = "0.1.0"
