"""Image classifiers that show their evidence."""
