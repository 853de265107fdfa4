"""Training a fold: `augment`, `relabel`, `device_loader` (samples) → `losses` → `trainer` (the
loop) → `fold` (from images to a saved model); `side_by_side` runs several.
"""
