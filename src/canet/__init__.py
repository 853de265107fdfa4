"""Skeletons of shapes with the Context Attention Network (CANet).

The way of the data, module by module: `recipe` (what to do) → `dataset` (shapes and skeletons
on disk; `demo` generates some) → `folds` → `distance` (the network's input) → `map_cache` →
`samples` → `augment` → `network` + `losses` → `fitting` (the loop) → `training` (a fold;
`loss_search` before it, `adversarial` beside it) → `prediction` → `postprocess` +
`threshold_search` → `submission`, judged by `metrics` and `scoring`, beside `classical`; `report`
shows all of it on one page.

Many trainings as rows of tables: `tables` → `table_training` → `table_results`.

Without a network: `geometry` (compact skeletons, candidates, a forest that chooses) →
`selection_training` → `submission`.

Beside them: `distributed` (several processes at one training or folder), `parallel_folds`,
`study` and `database` (searches by one worker or many), `png` and `files` (what is read and
written, and by whom), `timing`, `stage` (what the scripts share).
"""
