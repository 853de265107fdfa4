"""From probabilities to a skeleton: threshold, joined pieces, spurs; large shapes rescaled."""
