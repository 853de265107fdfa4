"""What bounds each step, as ratios against a named alternative in the same run."""
