"""Twisted services that run in one line and embed in ten: echo, poetry, and a bridge to RabbitMQ."""
