"""The paper's experiments: its networks, its rivals, its tables and figures, and their runner."""
