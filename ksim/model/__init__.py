"""Floor 2: the model, data only. A scenario becomes one lifecycle graph; readers walk or solve it."""
