"""Held-out images and their scores: thresholds swept, methods compared, pictures drawn."""
