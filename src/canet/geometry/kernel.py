"""How the inner loops are compiled."""

try:
    from numba import njit
except ImportError:  # no wheel for this platform: the same results, some hundred times slower

    def njit(**_):
        """Leave a function as it is."""
        return lambda function: function


compiled = njit(cache=True, nogil=True)
