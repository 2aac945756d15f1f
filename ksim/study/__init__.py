"""Floor 4: studies. Replications in, estimates with intervals out, and the files that hold them."""
