"""The argument parser of a run: short help, and errors that name key, value and remedy."""
