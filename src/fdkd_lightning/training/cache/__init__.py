"""Outputs of frozen teachers, computed once and stored by sample."""
