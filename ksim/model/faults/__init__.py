"""Fault sources, one file each, found by their names; a file has one FAULT."""
