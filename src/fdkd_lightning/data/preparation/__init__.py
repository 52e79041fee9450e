"""Decoding files once into a compact form."""
