"""Reports the state of a process: metrics endpoint, collectors, status of registries."""
