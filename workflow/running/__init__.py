"""What goes on around the work of a run: one run at a time, whole files, progress, failures."""
