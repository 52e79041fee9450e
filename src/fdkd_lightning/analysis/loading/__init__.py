"""Run the networks of a configuration over its data: features, layers and gradients as tensors."""
