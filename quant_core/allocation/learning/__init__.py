"""Allocation that is learned: what an agent sees and does (`environment`, `vector`), and the agents themselves."""
