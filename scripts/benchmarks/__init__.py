"""How fast, how large, how much memory: every figure beside what it is compared with, from the same run."""
