"""The pure core of the lab: tables in, tables and fitted artifacts out.

No orchestrator, no tracking server, no clock, no global random state; the network is touched only inside
`market/sources`.
"""

import os

# Threads that wait for each other by spinning all but halt on a machine that does anything else: beside other work a
# GRU on two threads took three times as long. OpenMP reads this when it is loaded, so it stands before what loads it.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
