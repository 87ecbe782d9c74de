"""Image data sets and the input pipeline."""
