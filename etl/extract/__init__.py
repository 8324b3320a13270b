"""The service: login, metadata and video, in that order."""
