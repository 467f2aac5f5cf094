"""Drafting a study: what a folder holds, and the study file and run table to begin with."""
