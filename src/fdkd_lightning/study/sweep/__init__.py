"""``fdkd sweep``: the trials of a Weights & Biases sweep file, on the service or locally."""
