"""Laws that are fitted to runs, one folder each, and what they share (`common`)."""
