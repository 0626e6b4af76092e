"""What plugs into the kernel's interfaces: stores, cores on clusters, telemetry."""
