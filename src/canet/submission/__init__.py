"""From a folder of shapes to leaderboard files: `make` (which run) → `by_network`, `by_geometry` or
`by_method` → `write` (PNGs, zip, manifest) → `preview`; `read` takes submissions apart.
"""
