"""x"""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

laws = settings(deadline=None, derandomize=True)


counts = hnp.arrays(np.int64, st.integers(1, 12), elements=st.integers(0, 30))
