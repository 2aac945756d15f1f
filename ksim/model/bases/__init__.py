"""Shipped bases, one file each, found by their names; a file has one BASE."""
