"""Callbacks that show or log how training goes: progress, probes, sample images, warnings."""
