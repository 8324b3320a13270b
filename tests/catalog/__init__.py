"""Tests of the STAC catalog."""
