"""Compiled code of the geometry, loaded once: for the fork server that `scripts` starts."""

import numpy as np

from canet.geometry import compact_skeleton, salient_medial_axis

salient_medial_axis(np.ones((8, 8), bool))
compact_skeleton(np.ones((8, 8), bool), 1.0).draw((8, 8))
