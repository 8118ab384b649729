"""docker-compose.yml as plain processes, for tests and machines without a container engine.

Commands, environments, health checks and order are read from the file, so the two cannot drift apart. What an engine
would do is imitated: names of services become ports on loopback, volumes become folders. PostgreSQL is taken from a
server that runs already. Imports nothing of the workers or the producer; needs PyYAML (extra dev).
"""
