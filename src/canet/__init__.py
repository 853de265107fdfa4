"""Skeletons of shapes with the Context Attention Network (CANet), and by geometry.

Each folder imports only those before it (`tests/test_layers.py`):

`geometry` (masks, distances, compact skeletons, scores) → `core` (recipes, command line, files) →
`data` (images, folds, input maps) → `network` → `postprocess` → `inference` → `evaluation` →
`training` → `tables` → `search` → `selection` (a forest in place of a network) → `submission` →
`report` → `benchmarks`.
"""
