"""Choosing among compact skeletons: `features` → `forest` (of `trees`, decides) → `train`."""
