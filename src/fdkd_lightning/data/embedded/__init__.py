"""Data sets that run offline."""
