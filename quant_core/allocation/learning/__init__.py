"""Learning to allocate: what a market looks like to an agent, the environment, the agents and their policies.

Nothing here is imported with the package; torch, gymnasium and Stable-Baselines3 come with the modules that need them.
"""
