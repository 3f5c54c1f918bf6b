"""The pure core of the lab: tables in, tables and fitted artifacts out.

No orchestrator, no tracking server, no clock, no global random state; the network is touched only inside
`market/sources`.
"""
