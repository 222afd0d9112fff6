"""Twisted services in one line: echo, poetry, and a TCP bridge to RabbitMQ."""
