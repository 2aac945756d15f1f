"""Sweeps: a study file, its design, cells that are computed once, and the store that keeps them."""
