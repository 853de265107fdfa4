"""A page to try it: draw or drop a shape, see its skeleton."""
