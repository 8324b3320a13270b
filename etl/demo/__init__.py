"""A stand-in for the streaming service: real login, HTTP and video of synthetic scenes, faults on demand."""
