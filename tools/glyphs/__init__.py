"""The steps of tools/build_glyphs.py: sources, rendering, laws, split, packing."""
