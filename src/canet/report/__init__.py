"""One page about a run: `facts`, `held_out` and `searches` gather, `plots` and `tiles` draw,
`content` says it, `page` renders and writes.

The page is about the user's data and stays in the run's folder. Nothing is shown that a run does
not have, and no figure is worked out a second way: F1 is that of `threshold.json` or
`selection.json`, all else comes from the predictions with the run's own threshold.
"""
