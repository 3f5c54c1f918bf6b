"""What runs by itself, and who is told: the daily refresh, sensors, restated months, freshness, alerts."""
