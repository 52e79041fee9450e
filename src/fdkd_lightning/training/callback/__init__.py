"""Distillation inside an existing LightningModule."""
