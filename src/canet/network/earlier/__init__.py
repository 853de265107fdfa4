"""The systems before CANet that the paper compares with, each as its source describes it."""
