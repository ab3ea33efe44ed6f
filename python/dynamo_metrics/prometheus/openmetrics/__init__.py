"""OpenMetrics, and the escaping of names."""
