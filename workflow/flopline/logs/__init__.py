"""Log formats: one module each, and what they share.

`formats` is the table of all, `readers` reads a log of any of them.
"""
