"""What the laws share: results, bootstrap, power laws, tests of lack of fit."""
