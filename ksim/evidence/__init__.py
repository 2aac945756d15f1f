"""Floor 1: what happened. Readers emit transitions, the ledger folds them, statistics read only the ledger."""
