"""The AIOS kernel: schedules, limits, isolates and records the calls of agents."""
