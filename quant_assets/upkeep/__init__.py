"""The house in order: doctor, cleaning up, backup and restore."""
