"""The report: one self-contained HTML page from tables, fits and figures."""
