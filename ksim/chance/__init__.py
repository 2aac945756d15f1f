"""Floor 1: chance. Laws of durations, addressed random numbers, and functions with the same bits everywhere."""
