"""Floor 3, the exact reader: semi-Markov theory in place of sampling."""
