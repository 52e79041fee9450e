"""What is shown while a run trains: progress, probes, images, warnings."""
