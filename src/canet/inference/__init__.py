"""Trained networks at work: devices, processes, saved models, prediction, export."""
