"""What tests are made of: loss surfaces, designs of runs, curves, fits, findings, page inputs.

Everything here is synthetic unless its docstring says otherwise. Tests take what they need from
these modules and from no other test; published constants stand in `surfaces` alone.
"""
