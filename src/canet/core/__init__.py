"""What every stage shares: recipes, command line, messages, files, images, provenance."""
