"""Decode source files once into compact forms that load fast."""
