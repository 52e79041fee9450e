"""Export of the student alone: weights, graphs, and a folder for the Hugging Face Hub."""
