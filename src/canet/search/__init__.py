"""Searches by Optuna: `storage` (where studies are kept) → `study` (who runs which trial) →
`loss` (loss weights), `postprocess_space` and `threshold` (what comes after the network).
"""
