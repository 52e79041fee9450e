"""The files of a run: its folder, record, checkpoints, predictions and loggers."""
