"""Floor 3, the simulated reader: SimPy processes walk the lifecycle graph in float seconds."""
