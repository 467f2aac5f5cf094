"""What stands between a fit and a budget spent on it: the checks of a decision."""
