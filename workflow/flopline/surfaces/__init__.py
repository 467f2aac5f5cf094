"""Loss surfaces as data: formula, gradient and closed-form optimum of each."""
