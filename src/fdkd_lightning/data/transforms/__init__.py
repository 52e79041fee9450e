"""Transforms of whole batches, run on the device."""
