"""Figures; the only package that imports matplotlib. Torch only in `network`."""
