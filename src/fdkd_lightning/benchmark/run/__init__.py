"""Cost of the parts of a user's own training step."""
