"""What costs scripts their first second, done once: for the fork server that `scripts` starts."""

import gc

import numpy as np
from optuna.storages import RDBStorage

from canet.geometry import compact_skeleton, salient_medial_axis

salient_medial_axis(np.ones((8, 8), bool))
# OpenCV must not start its threads here: they are lost in processes that are forked later
compact_skeleton(np.ones((8, 8), bool), 1.0, longest_piece=True).draw((8, 8))
RDBStorage("sqlite://")  # imports SQLAlchemy and Alembic
gc.freeze()  # a collection in a fork would visit, and so copy, all that is here
