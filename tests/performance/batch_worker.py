"""A gateway worker with a bound on its batches:  BENCH_BATCH_MAX=1 python -m tests.performance.batch_worker --fd N

The bound is no setting of the product: it is there to be compared with.
"""

import os
import sys
from functools import partial

from gateway import __main__ as gateway
from gateway import app
from gateway.pipeline import Pipeline

if __name__ == "__main__":
    vars(app)["Pipeline"] = partial(Pipeline, batch_max=int(os.environ["BENCH_BATCH_MAX"]))
    sys.exit(gateway.main())
