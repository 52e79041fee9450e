"""Arithmetic that several rooms need, of no method in particular."""
