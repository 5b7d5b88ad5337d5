"""Fuzzing: hostile texts, photos, stores, servers and model folders, made from valid ones; `make fuzz`."""
