"""Where partitions lie and how they are read and written: tables, artifacts, former versions, records."""
