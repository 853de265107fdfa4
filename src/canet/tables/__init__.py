"""Tables of results: `plan` (rows, budgets) → `train` (rows on several splits) → `results`."""
