"""Forecasts: what laws have missed when carried beyond their runs, and what follows for a target.

`errors_of_ladder` reads the scored steps of the held-out ladder, `discrepancy` learns from them,
`lines` forecasts with every line and with all of them together, `best_size` spends a budget by it.
"""
