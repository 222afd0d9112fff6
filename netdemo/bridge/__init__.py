"""Plain TCP on one side, RabbitMQ on the other."""
