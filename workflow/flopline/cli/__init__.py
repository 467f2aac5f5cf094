"""The command `flopline`: a project folder, its runs, and what is asked of their results."""
