"""From folders of PNGs to what is trained on: `data_set` (listed, read, hashed once) → `checks` →
`folds` → `input_maps` → `map_cache` → `training_set`; `demo` generates shapes.
"""
