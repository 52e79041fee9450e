"""Transforms that run on the device, on whole batches."""
