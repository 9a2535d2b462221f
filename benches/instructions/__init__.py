"""The parts of benches/instructions.py."""
