"""Asset checks: which there are, which contract each table keeps, how a verdict is kept."""
