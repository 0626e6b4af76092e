"""Benchmarks of agents with and without the kernel, and the simulated endpoint they run against."""
