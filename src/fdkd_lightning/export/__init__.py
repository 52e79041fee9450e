"""The student alone, out: weights, graphs and a folder for the Hugging Face Hub."""
