"""Training: modules, callback and the step they share."""
